"""ConfigMaps and Secrets of `cluster`: the step that writes one, and those that nothing needs."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.cluster.inputs import ClusterInputs
from agent.cluster.steps import SourceStep, Step
from agent.core.cluster.diff import changes
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
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, KubectlError, retry
from agent.errors import AgentError


def source_step(
    kubectl: Kubectl,
    inputs: ClusterInputs,
    namespace: str,
    workloads: Sequence[Workload],
    labels: Mapping[str, str] | None = None,
) -> SourceStep:
    """Return the step that writes the ConfigMap or Secret of a namespace, with these labels.

    It records the workloads whose templates refer to it.
    """
    kind = SECRET if inputs.intent.credentials else CONFIG_MAP
    before = kubectl.find(source_path(kind, namespace), kind)
    salt = (read_source(before).salt if before else "") or secrets.token_hex(16)
    source = source_of(inputs.intent, namespace, salt)
    recorded = [workload for workload in recorded_workloads(before) if workload not in inputs.workloads]
    manifest = source.manifest([*workloads, *recorded], labels)
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


def surplus(
    kubectl: Kubectl, inputs: ClusterInputs, kind: str, namespace: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield path and object of our ConfigMap or Secret, unless other settings use it."""
    path = source_path(kind, namespace)
    obj = kubectl.find(path, kind, allowed=False)
    if obj and set(recorded_workloads(obj)) <= set(inputs.workloads) and is_ours_alone(obj):
        yield path, obj
