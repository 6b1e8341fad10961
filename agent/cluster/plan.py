"""Plan of `cluster apply`, each step with the result of the API server's dry run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.cluster.inputs import ClusterInputs
from agent.cluster.policy import deletable_policies, find_mode
from agent.cluster.policy_plan import make_policy_plan
from agent.cluster.sources import source_step, surplus
from agent.cluster.steps import ClusterPlan, Step
from agent.core.cluster.diff import changes
from agent.core.cluster.mode import ENV_FROM, InjectionMode
from agent.core.cluster.objects import CONFIG_MAP, SECRET
from agent.core.cluster.override_notes import override_notes
from agent.core.cluster.patch import EnvOverride, Patch, apply_patch, patch_text
from agent.core.record import evolve
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, KubectlError, retry
from agent.errors import AgentError


def make_plan(
    kubectl: Kubectl, inputs: ClusterInputs, *, take_over: bool, mode: InjectionMode | None = None
) -> ClusterPlan:
    """Read all objects, and let the server dry-run every write.

    So any problem shows before the first write.  `mode` is by default that of find_mode.  Raises
    AgentError; it names all absent workloads.
    """
    mode = mode or find_mode(kubectl, inputs)
    if not mode.is_policy:
        return _env_from_plan(kubectl, inputs, mode, take_over=take_over)
    try:
        return make_policy_plan(kubectl, inputs, mode)
    except KubectlError as error:
        if error.reason != "Forbidden" or not mode.is_tentative:
            raise
        return _env_from_plan(kubectl, inputs, InjectionMode(ENV_FROM, error.hint), take_over=take_over)


def _env_from_plan(kubectl: Kubectl, inputs: ClusterInputs, mode: InjectionMode, *, take_over: bool) -> ClusterPlan:
    """Return the plan that lets every container of the workloads refer to a ConfigMap or Secret."""
    if inputs.ca:
        why = mode.reason or "the templates have envFrom"
        mode = evolve(mode, reason=f"{why}; pods get no CA, because cluster.ca_in_pods requires the policy")
    objects = read_workloads(kubectl, inputs.workloads)
    sources = []
    unused: list[tuple[str, Mapping[str, Any]]] = []
    for namespace in inputs.namespaces:
        workloads = [workload for workload in inputs.workloads if workload.namespace == namespace]
        sources.append(source_step(kubectl, inputs, namespace, workloads))
        other_kind = CONFIG_MAP if sources[-1].source.kind == SECRET else SECRET
        unused += surplus(kubectl, inputs, other_kind, namespace)
    by_namespace = {step.source.namespace: step.source for step in sources}
    steps = []
    for workload, before in objects:
        patch = apply_patch(before, by_namespace[workload.namespace], take_over=take_over)
        if take_over:
            _refuse_passwords(workload, patch.env_overrides)
        after = dry_run_patch(kubectl, workload, patch) if patch.ops else before
        steps.append(
            (workload, Step(str(workload), "patch", changes(before, after), tuple(override_notes(patch.env_overrides))))
        )
    policies = [] if inputs.is_limited else deletable_policies(kubectl)
    return ClusterPlan(mode, tuple(sources), tuple(steps), tuple(unused), surplus_policies=tuple(policies))


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


def dry_run_patch(kubectl: Kubectl, workload: Workload, patch: Patch) -> Any:
    """Return a workload as it would be after a patch."""
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
