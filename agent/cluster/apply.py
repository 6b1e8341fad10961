"""`cluster apply` and `cluster revert`: one object after the other, and what was done is told when something fails."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Callable

from agent.cluster.plan import ClusterPlan, write_source
from agent.cluster.pods import in_need
from agent.core.cluster.kubectl_errors import PASSING
from agent.core.cluster.managed_fields import is_ours, is_ours_alone, others
from agent.core.cluster.objects import (
    CONFIG_MAP,
    MANAGER,
    NAME,
    SECRET,
    all_sources_path,
    read_source,
    recorded_workloads,
    source_path,
)
from agent.core.cluster.patch import Patch, apply_patch, patch_text, revert_patch
from agent.core.cluster.rollout import Rollout, rollout
from agent.core.redact import redact
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, KubectlError, again
from agent.errors import AgentError, CommandError

#: Seconds between two looks at a rollout: at first, and at most.
LOOK, LOOK_AT_MOST = 0.5, 5.0
_BACK = "to go back: eks-proxy-agent cluster revert"
_FORTH = "to have it back: eks-proxy-agent cluster apply"


def apply_plan(kubectl: Kubectl, plan: ClusterPlan, *, take_over: bool, timeout: float) -> None:
    """Take the steps; raises AgentError that says what was done until then and how to go back."""
    done: list[str] = []
    with _told(done, _BACK):
        for one in plan.sources:
            if one.step.changes:
                write_source(kubectl, one.source, one.manifest, dry_run=False)
                _say(done, "{} {}".format("created" if one.step.verb == "create" else "changed", one.source))
        for workload, _ in plan.workloads:
            source = plan.source(workload.namespace)
            patched = _patch(kubectl, workload, partial(apply_patch, source=source, take_over=take_over))
            if patched:
                _say(done, f"patched {workload}")
            _wait(kubectl, workload, timeout, _BACK, quiet=not patched)
        for path, found in plan.surplus:
            if not _needed(kubectl, found, [workload for workload, _ in plan.workloads], done):
                kubectl.delete(path, str(found["metadata"]["uid"]), f"deleting {path}")
                _say(done, "deleted {} of {}".format(found["kind"], found["metadata"]["namespace"]))
    if not done:
        print("nothing to do: the cluster is as planned", file=sys.stderr)


def revert(
    kubectl: Kubectl, workloads: Sequence[Workload], namespaces: Sequence[str], timeout: float, also: str = ""
) -> None:
    """Take everything back: first the pods, which need the ConfigMap as long as they refer to it, then the ConfigMap.

    Who may not see Secrets has given none.  `also` is a namespace that the settings of an earlier
    apply may have meant; with it, what is in others still is told, and left: other settings may be
    about it.
    """
    objects = []
    looked_into = tuple(dict.fromkeys((*namespaces, *filter(None, [also]))))
    for namespace in looked_into:
        for kind in (CONFIG_MAP, SECRET):
            path = source_path(kind, namespace)
            found = kubectl.find(path, allowed=kind == CONFIG_MAP and namespace in namespaces)
            objects += [(path, found)] if found else []
    recorded = [workload for _, found in objects for workload in recorded_workloads(found)]
    workloads = tuple(dict.fromkeys([*workloads, *recorded]))
    done: list[str] = []
    with _told(done, _FORTH):
        for workload in workloads:
            if kubectl.find(workload.path, f"reading {workload}") is None:
                print(f"note: {workload} is not in this cluster", file=sys.stderr)
                continue
            if _patch(kubectl, workload, revert_patch):
                _say(done, f"reverted {workload}")
                _wait(kubectl, workload, timeout, _FORTH)
        for path, found in objects:
            if not (is_ours_alone(found) and _needed(kubectl, found, workloads, done)):
                _take_back(kubectl, path, found, done)
    if not done:
        print("nothing to do: nothing of this program is in {}".format(", ".join(looked_into)), file=sys.stderr)
    elsewhere = _elsewhere(kubectl, looked_into) if also else []
    for line in (*elsewhere, *_other_ways(workloads)):
        print("note: " + redact(line), file=sys.stderr)


def _elsewhere(kubectl: Kubectl, looked_into: Sequence[str]) -> list[str]:
    """What an apply with other settings gave to other namespaces, for people; who may not list them all is told so."""
    notes = []
    for kind in (CONFIG_MAP, SECRET):
        try:
            found = kubectl.get(all_sources_path(kind), f"looking for {kind}s of other namespaces")
        except CommandError as error:  # revert has done its work without it
            notes.append(str(error))
            continue
        for one in found.get("items") or []:
            namespace = one["metadata"]["namespace"]
            if namespace not in looked_into and is_ours(one):
                source = read_source({**one, "kind": kind})
                notes.append(f"left {source}: eks-proxy-agent cluster revert --namespace {namespace} takes it back")
    return notes


def _needed(kubectl: Kubectl, found: Mapping[str, Any], workloads: Sequence[Workload], done: list[str]) -> bool:
    """Whether a template, or pods that were not replaced, need a ConfigMap or Secret still; if so, that is told."""
    kind, namespace = str(found["kind"]), found["metadata"]["namespace"]
    users = (in_need(kubectl, one, kind) for one in workloads if one.namespace == namespace)
    user = next(filter(None, users), "")
    if user:
        kept = read_source(found)
        _say(done, f"kept {kept}: {user} could not start without it; run this again when nothing refers to it")
    return bool(user)


def _take_back(kubectl: Kubectl, path: str, found: Mapping[str, Any], done: list[str]) -> None:
    """Delete what is ours alone; of what others write too, give up what we wrote."""
    kind, metadata, name = str(found["kind"]), found["metadata"], str(read_source(found))
    if is_ours_alone(found):
        kubectl.delete(path, str(metadata["uid"]), f"deleting {name}")
        _say(done, f"deleted {name}")
    elif any(entry.get("manager") == MANAGER for entry in metadata.get("managedFields") or []):
        bare = {"apiVersion": "v1", "kind": kind, "metadata": {"name": NAME, "namespace": metadata["namespace"]}}
        kubectl.apply(bare, f"taking our fields out of {name}", dry_run=False)
        owner = ", ".join(f'"{one.manager}"' for one in others(found, ["f:data"]))
        _say(done, f"took our fields out of {name}; the rest belongs to field manager {owner}")
    elif recorded_workloads(found):  # what `render` wrote, and kubectl applied
        owner = ", ".join(f'"{one.manager}"' for one in others(found, ["f:data"]))
        way = "kubectl -n {} delete {} {}".format(metadata["namespace"], kind.lower(), NAME)
        print(f"note: left {name} to field manager {owner}; {way} removes it", file=sys.stderr)


def _patch(kubectl: Kubectl, workload: Workload, make: Callable[[Any], Patch]) -> bool:
    """Read, patch, and again from the reading when somebody wrote in between; whether there was anything to write."""
    doing = f"patching {workload}"

    def attempt() -> bool:
        patch = make(kubectl.get(workload.path, f"reading {workload}"))
        if patch.ops:
            resource = f"{workload.kind.lower()}/{workload.name}"
            kubectl.patch(resource, workload.namespace, patch_text(patch), doing, dry_run=False)
        return bool(patch.ops)

    return again(attempt, outdated=True)


def _wait(kubectl: Kubectl, workload: Workload, timeout: float, back: str, *, quiet: bool = False) -> None:
    """Until the rollout is done (`quiet` when it is so at once); `back` is the hint when it is not.

    An API server that does not answer meanwhile is no news: aws-node is its network.
    """
    from tenacity import RetryError, Retrying, retry_if_not_result, stop_after_delay, wait_incrementing

    progress = _Progress(str(workload))
    last: list[Rollout] = [Rollout(False, "the API server has not answered yet")]

    def look() -> Rollout:
        try:
            last[0] = rollout(kubectl.get(workload.path, f"waiting for {workload}"))
            if not (quiet and last[0].done):
                progress.show(last[0].text)
        except KubectlError as error:
            if error.reason not in PASSING:
                raise
            progress.show(f"the API server does not answer ({error.reason})")
            return Rollout(False, last[0].text)
        return last[0]

    finished = retry_if_not_result(lambda found: found.done or found.failed)
    try:
        found = Retrying(
            retry=finished,
            stop=stop_after_delay(timeout),
            wait=wait_incrementing(LOOK, 0.5, LOOK_AT_MOST),
            sleep=time.sleep,
        )(look)
    except RetryError:
        hint = f"kubectl -n {workload.namespace} describe {workload.kind.lower()} {workload.name}; {back}"
        raise AgentError(f"{workload}: not ready after {timeout:g} seconds: {last[0].text}", hint=hint) from None
    finally:
        progress.end()
    if found.failed:
        raise AgentError(f"{workload}: {found.text}", hint=back)
    if found.by_hand and quiet:  # else the progress told it
        print(f"note: {workload}: {found.text}", file=sys.stderr)


class _Progress:
    """One line that is written over on a terminal; elsewhere a line for each change."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._terminal = sys.stderr.isatty()
        self._shown = ""

    def show(self, text: str) -> None:
        if text != self._shown:
            self._shown = text
            line = f"{self._name}: {text}"
            print("\r\033[K" + line if self._terminal else line, end="" if self._terminal else "\n", file=sys.stderr)
            sys.stderr.flush()

    def end(self) -> None:
        if self._terminal and self._shown:
            print(file=sys.stderr)


@contextlib.contextmanager
def _told(done: list[str], back: str) -> Iterator[None]:
    """When something fails half way, what was done until then is part of the error."""
    try:
        yield
    except (AgentError, KeyboardInterrupt, OSError) as error:  # OSError: nobody reads our stdout any more
        told = "; ".join(done) or "nothing"
        print("until then: {}{}".format(told, ("; " + back) if done else ""), file=sys.stderr)
        if isinstance(error, AgentError) and not error.hint and done:
            error.hint = back
        raise


def _say(done: list[str], text: str) -> None:
    done.append(text)
    print(text, flush=True)


def _other_ways(workloads: Any) -> tuple[str, ...]:
    names = {one.name for one in workloads if one.namespace == "kube-system"}
    ways = [
        way for name, way in (("kube-proxy", "update-kube-proxy"), ("aws-node", "update-aws-node")) if name in names
    ]
    if not ways:
        return ()
    eksctl = " and ".join(f"eksctl utils {way}" for way in ways)
    return (f"{eksctl} put the add-ons back as EKS ships them; for a managed add-on, aws eks update-addon does",)
