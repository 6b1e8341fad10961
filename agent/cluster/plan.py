"""What `cluster apply` would do, as the API server's dry run answers it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from agent.cluster.inputs import ClusterInputs
from agent.core.cluster.diff import FieldChange, changes
from agent.core.cluster.kubectl_errors import conflicting_managers
from agent.core.cluster.managed_fields import is_ours_alone
from agent.core.cluster.objects import (
    CONFIG_MAP,
    SECRET,
    Source,
    read_source,
    recorded_workloads,
    source_of,
    source_path,
)
from agent.core.cluster.patch import Beaten, Patch, apply_patch, patch_text
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, KubectlError, again
from agent.errors import AgentError


@attrs.frozen
class Step:
    """One object: what changes (nothing, perhaps), and what the person should know besides."""

    name: str
    verb: str
    changes: tuple[FieldChange, ...]
    notes: tuple[str, ...] = ()


@attrs.frozen
class SourceStep:
    """A ConfigMap or Secret to be written."""

    source: Source
    manifest: Mapping[str, Any] = attrs.field(repr=False)
    step: Step = attrs.field(kw_only=True)


@attrs.frozen
class ClusterPlan:
    """All steps in the order in which they are taken; `surplus` are objects of the other kind that are ours and go."""

    sources: tuple[SourceStep, ...]
    workloads: tuple[tuple[Workload, Step], ...]
    surplus: tuple[tuple[str, Mapping[str, Any]], ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        gone = (Step(str(read_source(found)), "delete", changes(found, None)) for _, found in self.surplus)
        return (*(one.step for one in self.sources), *(step for _, step in self.workloads), *gone)

    @property
    def pending(self) -> bool:
        return any(step.changes for step in self.steps)

    def source(self, namespace: str) -> Source:
        return next(one.source for one in self.sources if one.source.namespace == namespace)


def make_plan(kubectl: Kubectl, inputs: ClusterInputs, *, take_over: bool) -> ClusterPlan:
    """Read all objects, and have the server try every write without doing it.

    Whatever is wrong shows here, before the first write: raises AgentError that names all workloads
    that are absent.
    """
    found = read_workloads(kubectl, inputs.workloads)
    sources = []
    surplus: list[tuple[str, Mapping[str, Any]]] = []
    for namespace in inputs.namespaces:
        sources.append(_source_step(kubectl, inputs, namespace))
        other = CONFIG_MAP if sources[-1].source.kind == SECRET else SECRET
        path = source_path(other, namespace)
        left = kubectl.find(path, allowed=False)
        unused = left and set(recorded_workloads(left)) <= set(inputs.workloads)
        surplus += [(path, left)] if left and unused and is_ours_alone(left) else []
    by_namespace = {one.source.namespace: one.source for one in sources}
    workloads = []
    for workload, before in found:
        patch = apply_patch(before, by_namespace[workload.namespace], take_over=take_over)
        if take_over:
            _refuse_passwords(workload, patch.beaten)
        after = _tried(kubectl, workload, patch) if patch.ops else before
        step = Step(str(workload), "patch", changes(before, after), _notes(patch))
        workloads.append((workload, step))
    return ClusterPlan(tuple(sources), tuple(workloads), tuple(surplus))


def read_workloads(kubectl: Kubectl, workloads: Iterable[Workload]) -> list[tuple[Workload, Any]]:
    """All of them; raises AgentError that names every one that does not exist."""
    found = [(workload, kubectl.find(workload.path, f"reading {workload}")) for workload in workloads]
    absent = [str(workload) for workload, answer in found if answer is None]
    if absent:
        hint = "cluster.workloads names them: take out what this cluster does not have. Nothing was changed"
        raise AgentError("not in this cluster: {}".format(", ".join(absent)), hint=hint)
    return found


def _source_step(kubectl: Kubectl, inputs: ClusterInputs, namespace: str) -> SourceStep:
    kind = SECRET if inputs.intent.credentials else CONFIG_MAP
    before = kubectl.find(source_path(kind, namespace))
    salt = (read_source(before).salt if before else "") or secrets.token_hex(16)
    source = source_of(inputs.intent, namespace, salt)
    workloads = [one for one in inputs.workloads if one.namespace == namespace]
    recorded = [one for one in recorded_workloads(before) if one not in workloads]
    manifest = source.manifest([*workloads, *recorded])
    after = write_source(kubectl, source, manifest, dry_run=True)
    notes = tuple(
        f"{one} is not in cluster.workloads any more, but has the proxy still; revert takes it back too"
        for one in recorded
    )
    verb = "patch" if before else "create"
    return SourceStep(source, manifest, step=Step(str(source), verb, changes(before, after), notes))


def write_source(kubectl: Kubectl, source: Source, manifest: Mapping[str, Any], *, dry_run: bool) -> Any:
    """Server-side apply; somebody else's fields are reported, and stay theirs."""
    try:
        doing = f"{'trying to apply' if dry_run else 'applying'} {source}"
        return again(lambda: kubectl.apply(manifest, doing, dry_run=dry_run))
    except KubectlError as error:
        if error.reason != "ApplyConflict":
            raise
        managers = ", ".join(f'"{manager}"' for manager in conflicting_managers(error.stderr))
        fields = error.stderr.split("Please review")[0].strip()
        hint = (
            "ask who that is; or take it over yourself: eks-proxy-agent cluster render --output DIR, and kubectl apply"
            f" --server-side --force-conflicts --field-manager=eks-proxy-agent -f DIR/{source.namespace}-{source.kind.lower()}.yaml; pods that started"
            " meanwhile have the other values: kubectl rollout restart"
        )
        text = f"{source} belongs to field manager {managers}, with other values; it is left as it is\n{fields}"
        raise AgentError(text, hint=hint) from None


def _tried(kubectl: Kubectl, workload: Workload, patch: Patch) -> Any:
    doing = f"trying to patch {workload}"
    resource = f"{workload.kind.lower()}/{workload.name}"
    return again(lambda: kubectl.patch(resource, workload.namespace, patch_text(patch), doing, dry_run=True))


def _notes(patch: Patch) -> tuple[str, ...]:
    text = "and stays; --take-over removes it"
    secret = "and holds a password; remove it yourself: kubectl set env"
    return tuple(
        f"{one.where}: env {one.variable} beats envFrom, {secret if one.secret else text}" for one in patch.beaten
    )


def _refuse_passwords(workload: Workload, left: Sequence[Beaten]) -> None:
    """An env entry with a password would have to be written down to be given back: that is for its owner to remove."""
    ways = [
        f"kubectl -n {workload.namespace} set env {workload.kind.lower()}/{workload.name} -c {one.container} {one.variable}-"
        for one in left
        if one.secret
    ]
    if ways:
        text = f"{workload}: env with a password is not taken over, because revert could not give it back"
        raise AgentError(text, hint="remove it yourself: " + "; ".join(ways))
