"""Steps of `cluster apply`, each with the result of the API server's dry run."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.cluster.inputs import ClusterInputs
from agent.core.cluster.diff import FieldChange, changes
from agent.core.cluster.kubectl_errors import conflicting_managers
from agent.core.cluster.managed_fields import is_ours_alone
from agent.core.cluster.objects import (
    CONFIG_MAP,
    MANAGER,
    SECRET,
    Source,
    read_source,
    recorded_workloads,
    source_of,
    source_path,
)
from agent.core.cluster.override_notes import override_notes
from agent.core.cluster.patch import EnvOverride, Patch, apply_patch, patch_text
from agent.core.record import field, record
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, KubectlError, retry
from agent.errors import AgentError

UP_TO_DATE = "nothing to do: the cluster is up to date"


@record
class Step:
    """Changes of one object, perhaps none, and notes for the operator."""

    name: str
    verb: str
    changes: tuple[FieldChange, ...]
    notes: tuple[str, ...] = ()


@record
class SourceStep:
    """ConfigMap or Secret to write."""

    source: Source
    manifest: Mapping[str, Any] = field(repr=False)
    step: Step = field(kw_only=True)


@record
class ClusterPlan:
    """All steps in their order; `surplus` are our objects of the other kind, which are deleted."""

    sources: tuple[SourceStep, ...]
    workloads: tuple[tuple[Workload, Step], ...]
    surplus: tuple[tuple[str, Mapping[str, Any]], ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        deletions = (Step(str(read_source(obj)), "delete", changes(obj, None)) for _, obj in self.surplus)
        writes = (source_step.step for source_step in self.sources)
        return (*writes, *(step for _, step in self.workloads), *deletions)

    @property
    def pending(self) -> bool:
        return any(step.changes for step in self.steps)

    def source(self, namespace: str) -> Source:
        return next(step.source for step in self.sources if step.source.namespace == namespace)


def make_plan(kubectl: Kubectl, inputs: ClusterInputs, *, take_over: bool) -> ClusterPlan:
    """Read all objects, and let the server dry-run every write.

    So any problem shows before the first write.  Raises AgentError; it names all absent workloads.
    """
    objects = read_workloads(kubectl, inputs.workloads)
    sources = []
    surplus: list[tuple[str, Mapping[str, Any]]] = []
    for namespace in inputs.namespaces:
        sources.append(_source_step(kubectl, inputs, namespace))
        other_kind = CONFIG_MAP if sources[-1].source.kind == SECRET else SECRET
        path = source_path(other_kind, namespace)
        other = kubectl.find(path, other_kind, allowed=False)
        is_unused = other and set(recorded_workloads(other)) <= set(inputs.workloads)
        surplus += [(path, other)] if other and is_unused and is_ours_alone(other) else []
    by_namespace = {source_step.source.namespace: source_step.source for source_step in sources}
    workloads = []
    for workload, before in objects:
        patch = apply_patch(before, by_namespace[workload.namespace], take_over=take_over)
        if take_over:
            _refuse_passwords(workload, patch.env_overrides)
        after = _dry_run(kubectl, workload, patch) if patch.ops else before
        step = Step(str(workload), "patch", changes(before, after), tuple(override_notes(patch.env_overrides)))
        workloads.append((workload, step))
    return ClusterPlan(tuple(sources), tuple(workloads), tuple(surplus))


def read_workloads(kubectl: Kubectl, workloads: Iterable[Workload]) -> list[tuple[Workload, Any]]:
    """Return each workload with its object.

    Raises AgentError; it names all workloads that do not exist.
    """
    objects = [(workload, kubectl.find(workload.path, workload.kind, f"reading {workload}")) for workload in workloads]
    absent = [str(workload) for workload, obj in objects if obj is None]
    if absent:
        hint = "remove from cluster.workloads what this cluster does not have; nothing was changed"
        raise AgentError(f"not found in this cluster: {', '.join(absent)}", hint=hint)
    return objects


def _source_step(kubectl: Kubectl, inputs: ClusterInputs, namespace: str) -> SourceStep:
    kind = SECRET if inputs.intent.credentials else CONFIG_MAP
    before = kubectl.find(source_path(kind, namespace), kind)
    salt = (read_source(before).salt if before else "") or secrets.token_hex(16)
    source = source_of(inputs.intent, namespace, salt)
    workloads = [workload for workload in inputs.workloads if workload.namespace == namespace]
    recorded = [workload for workload in recorded_workloads(before) if workload not in workloads]
    manifest = source.manifest([*workloads, *recorded])
    after = write_source(kubectl, source, manifest, dry_run=True)
    notes = tuple(
        f"{workload} is no longer in cluster.workloads but still has the proxy; cluster revert includes it"
        for workload in recorded
    )
    verb = "patch" if before else "create"
    return SourceStep(source, manifest, step=Step(str(source), verb, changes(before, after), notes))


def write_source(kubectl: Kubectl, source: Source, manifest: Mapping[str, Any], *, dry_run: bool) -> Any:
    """Write a ConfigMap or Secret by server-side apply, and return the result.

    Raises AgentError if other field managers own the fields: these are never forced.
    """
    try:
        doing = f"{'dry run: applying' if dry_run else 'applying'} {source}"
        return retry(lambda: kubectl.apply(manifest, doing, dry_run=dry_run))
    except KubectlError as error:
        if error.reason != "ApplyConflict":
            raise
        managers = ", ".join(f'"{manager}"' for manager in conflicting_managers(error.stderr))
        fields = error.stderr.split("Please review")[0].strip()
        file = f"DIR/{source.namespace}-{source.kind.lower()}.yaml"
        hint = (
            "find out who manages it, or take it over: eks-proxy-agent cluster render --output DIR, then kubectl apply"
            f" --server-side --force-conflicts --field-manager={MANAGER} -f {file};"
            " pods that started before have the other values until kubectl rollout restart"
        )
        text = f"{source}: belongs to field manager {managers}, with other values; it was not changed\n{fields}"
        raise AgentError(text, hint=hint) from None


def _dry_run(kubectl: Kubectl, workload: Workload, patch: Patch) -> Any:
    doing = f"dry run: patching {workload}"
    return retry(lambda: kubectl.patch(workload, patch_text(patch), doing, dry_run=True))


def _refuse_passwords(workload: Workload, overrides: Sequence[EnvOverride]) -> None:
    """Raise AgentError if an env entry has a password; the operator has to remove it.

    To restore such an entry, revert would need the password in the annotation.
    """
    resource = f"{workload.kind.lower()}/{workload.name}"
    commands = [
        f"kubectl -n {workload.namespace} set env {resource} -c {override.container} {override.variable}-"
        for override in overrides
        if override.secret
    ]
    if commands:
        text = f"{workload}: --take-over does not remove env with a password, because revert could not restore it"
        raise AgentError(text, hint="remove it yourself: " + "; ".join(commands))
