"""`cluster apply` and `cluster revert`: one object after the other.

If a step fails, the completed steps are reported.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Callable

from agent.cluster.plan import UP_TO_DATE, ClusterPlan, write_source
from agent.cluster.pods import find_dependent
from agent.cluster.release import release_fields
from agent.core.cluster.kubectl_errors import TRANSIENT
from agent.core.cluster.managed_fields import is_ours, is_ours_alone, other_managers
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
from agent.edges.kubectl import Kubectl, KubectlError, retry
from agent.errors import AgentError, CommandError

#: Seconds between two polls of a rollout: at first, and at most.
POLL, POLL_AT_MOST = 0.5, 5.0
_UNDO_APPLY = "to undo: eks-proxy-agent cluster revert"
_UNDO_REVERT = "to undo: eks-proxy-agent cluster apply"


def apply_plan(kubectl: Kubectl, plan: ClusterPlan, *, take_over: bool, timeout: float) -> None:
    """Carry out the plan; `timeout` is the seconds for the rollout of each workload.

    Raises AgentError.  The completed steps and the command that undoes them are then on stderr.
    """
    done: list[str] = []
    with _completed_steps_on_failure(done, _UNDO_APPLY):
        for source_step in plan.sources:
            if source_step.step.changes:
                write_source(kubectl, source_step.source, source_step.manifest, dry_run=False)
                verb = "created" if source_step.step.verb == "create" else "changed"
                _report(done, f"{verb} {source_step.source}")
        for workload, _ in plan.workloads:
            source = plan.source(workload.namespace)
            is_patched = _patch(kubectl, workload, partial(apply_patch, source=source, take_over=take_over))
            if is_patched:
                _report(done, f"patched {workload}")
            _wait_for_rollout(kubectl, workload, timeout, _UNDO_APPLY, quiet=not is_patched)
        for path, obj in plan.surplus:
            if not _is_needed(kubectl, obj, [workload for workload, _ in plan.workloads], done):
                name = read_source(obj)
                kubectl.delete(path, str(obj["metadata"]["uid"]), f"deleting {name}")
                _report(done, f"deleted {name}")
    if not done:
        print(UP_TO_DATE, file=sys.stderr)


def revert(
    kubectl: Kubectl, workloads: Sequence[Workload], namespaces: Sequence[str], timeout: float, also: str = ""
) -> None:
    """Undo every apply.

    The pods come first, because they need the ConfigMap while they refer to it.  A Secret
    that the user may not see is treated as absent: without this permission the user cannot have
    created one.  `also` is a namespace that the settings of an earlier apply may have named.  With
    it, objects in other namespaces are reported but left: they may belong to other settings.
    `timeout` is the seconds for the rollout of each workload.
    """
    objects = []
    searched = tuple(dict.fromkeys((*namespaces, *filter(None, [also]))))
    for namespace in searched:
        for kind in (CONFIG_MAP, SECRET):
            path = source_path(kind, namespace)
            obj = kubectl.find(path, kind, allowed=kind == CONFIG_MAP and namespace in namespaces)
            objects += [(path, obj)] if obj else []
    recorded = [workload for _, obj in objects for workload in recorded_workloads(obj)]
    workloads = tuple(dict.fromkeys([*workloads, *recorded]))
    done: list[str] = []
    with _completed_steps_on_failure(done, _UNDO_REVERT):
        for workload in workloads:
            obj = kubectl.find(workload.path, workload.kind, f"reading {workload}")
            if obj is None:
                print(f"note: {workload}: not found in this cluster", file=sys.stderr)
                continue
            is_released = release_fields(kubectl, workload, obj)
            if _patch(kubectl, workload, revert_patch) or is_released:
                _report(done, f"reverted {workload}")
                _wait_for_rollout(kubectl, workload, timeout, _UNDO_REVERT)
        for path, obj in objects:
            if not (is_ours_alone(obj) and _is_needed(kubectl, obj, workloads, done)):
                _remove_source(kubectl, path, obj, done)
    if not done:
        print(f"nothing to do: the agent changed nothing in {', '.join(searched)}", file=sys.stderr)
    remaining = _remaining_sources(kubectl, searched) if also else []
    for line in (*remaining, *_add_on_defaults(workloads)):
        print("note: " + redact(line), file=sys.stderr)


def _remaining_sources(kubectl: Kubectl, searched: Sequence[str]) -> list[str]:
    """Return notes on the objects that an apply with other settings created in other namespaces.

    Without permission to list them, the note is the error.
    """
    notes = []
    for kind in (CONFIG_MAP, SECRET):
        try:
            listing = kubectl.get(all_sources_path(kind), f"{kind}List", f"listing {kind}s of other namespaces")
        except CommandError as error:  # revert is complete without it
            notes.append(str(error))
            continue
        for item in listing.get("items") or []:
            namespace = item["metadata"]["namespace"]
            if namespace not in searched and is_ours(item):
                source = read_source({**item, "kind": kind})
                command = f"eks-proxy-agent cluster revert --namespace {namespace}"
                notes.append(f"{source}: not reverted; to revert it: {command}")
    return notes


def _is_needed(kubectl: Kubectl, obj: Mapping[str, Any], workloads: Sequence[Workload], done: list[str]) -> bool:
    """Return True, and report it, if a template or an old pod still needs a ConfigMap or Secret."""
    kind, namespace = str(obj["kind"]), obj["metadata"]["namespace"]
    dependents = (find_dependent(kubectl, workload, kind) for workload in workloads if workload.namespace == namespace)
    dependent = next(filter(None, dependents), "")
    if dependent:
        source = read_source(obj)
        _report(done, f"kept {source}: {dependent} requires it; run this again when nothing refers to it")
    return bool(dependent)


def _remove_source(kubectl: Kubectl, path: str, obj: Mapping[str, Any], done: list[str]) -> None:
    """Delete the object if it is ours alone; if others write it too, remove only our fields."""
    kind, metadata, name = str(obj["kind"]), obj["metadata"], str(read_source(obj))
    if is_ours_alone(obj):
        kubectl.delete(path, str(metadata["uid"]), f"deleting {name}")
        _report(done, f"deleted {name}")
    elif any(entry.get("manager") == MANAGER for entry in metadata.get("managedFields") or []):
        bare = {"apiVersion": "v1", "kind": kind, "metadata": {"name": NAME, "namespace": metadata["namespace"]}}
        kubectl.apply(bare, f"removing the agent's fields from {name}", dry_run=False)
        text = f"removed the agent's fields from {name}"
        _report(done, f"{text}; the other fields belong to field manager {_data_managers(obj)}")
    elif recorded_workloads(obj):  # an object of `render` that kubectl applied
        command = f"kubectl -n {metadata['namespace']} delete {kind.lower()} {NAME}"
        text = f"{name}: not deleted, because it belongs to field manager {_data_managers(obj)}"
        print(f"note: {text}; to delete it: {command}", file=sys.stderr)


def _data_managers(obj: Mapping[str, Any]) -> str:
    return ", ".join(f'"{writer.manager}"' for writer in other_managers(obj, ["f:data"]))


def _patch(kubectl: Kubectl, workload: Workload, make: Callable[[Any], Patch]) -> bool:
    """Read and patch a workload, and return True if there was anything to write.

    If the workload was written in between, read it again.
    """
    doing = f"patching {workload}"

    def attempt() -> bool:
        patch = make(kubectl.get(workload.path, workload.kind, f"reading {workload}"))
        if patch.ops:
            kubectl.patch(workload, patch_text(patch), doing, dry_run=False)
        return bool(patch.ops)

    return retry(attempt, outdated=True)


def _wait_for_rollout(kubectl: Kubectl, workload: Workload, timeout: float, undo: str, *, quiet: bool = False) -> None:
    """Wait for a rollout, `timeout` seconds at most; with `quiet`, a finished one prints nothing.

    `undo` is the hint if it does not finish.  An API server that does not respond meanwhile is not
    an error: aws-node is its network.  Raises AgentError.
    """
    from tenacity import RetryError, Retrying, retry_if_not_result, stop_after_delay, wait_incrementing

    progress = _Progress(str(workload))
    last: list[Rollout] = [Rollout(False, "the API server has not responded yet")]

    def poll() -> Rollout:
        try:
            last[0] = rollout(kubectl.get(workload.path, workload.kind, f"waiting for {workload}"))
            if not (quiet and last[0].done):
                progress.show(last[0].text)
        except KubectlError as error:
            if error.reason not in TRANSIENT:
                raise
            progress.show(f"the API server does not respond ({error.reason})")
            return Rollout(False, last[0].text)
        return last[0]

    finished = retry_if_not_result(lambda state: state.done or state.failed)
    try:
        state = Retrying(
            retry=finished,
            stop=stop_after_delay(timeout),
            wait=wait_incrementing(POLL, 0.5, POLL_AT_MOST),
            sleep=time.sleep,
        )(poll)
    except RetryError:
        hint = f"kubectl -n {workload.namespace} describe {workload.kind.lower()} {workload.name}; {undo}"
        raise AgentError(f"{workload}: rollout timed out after {timeout:g} s: {last[0].text}", hint=hint) from None
    finally:
        progress.end()
    if state.failed:
        raise AgentError(f"{workload}: {state.text}", hint=undo)
    if state.by_hand and quiet:  # otherwise the progress has shown it
        print(f"note: {workload}: {state.text}", file=sys.stderr)


class _Progress:
    """Progress line: overwritten on a terminal, elsewhere a new line for each change."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_terminal = sys.stderr.isatty()
        self._shown = ""

    def show(self, text: str) -> None:
        if text != self._shown:
            self._shown = text
            line = f"{self._name}: {text}"
            if self._is_terminal:
                print(f"\r\033[K{line}", end="", file=sys.stderr)
            else:
                print(line, file=sys.stderr)
            sys.stderr.flush()

    def end(self) -> None:
        if self._is_terminal and self._shown:
            print(file=sys.stderr)


@contextlib.contextmanager
def _completed_steps_on_failure(done: list[str], undo: str) -> Iterator[None]:
    """Print the completed steps if a later one fails, and how to undo them."""
    try:
        yield
    except (AgentError, KeyboardInterrupt, OSError) as error:  # OSError: the reader of stdout is gone
        steps = "; ".join(done) or "nothing"
        print(f"completed before the error: {steps}{f'; {undo}' if done else ''}", file=sys.stderr)
        if isinstance(error, AgentError) and not error.hint and done:
            error.hint = undo
        raise


def _report(done: list[str], text: str) -> None:
    done.append(text)
    print(text, flush=True)


def _add_on_defaults(workloads: Sequence[Workload]) -> tuple[str, ...]:
    """Return a note on how to reset managed add-ons, if any of them is among the workloads."""
    add_ons = {"aws-node": "vpc-cni", "kube-proxy": "kube-proxy"}
    names = [workload.name for workload in workloads if workload.namespace == "kube-system"]
    found = " or ".join(add_ons[name] for name in names if name in add_ons)
    command = "aws eks update-addon --cluster-name NAME --addon-name ADD-ON --resolve-conflicts OVERWRITE"
    return (f"to reset a managed add-on ({found}) to its defaults: {command}",) if found else ()
