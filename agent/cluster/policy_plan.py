"""Plan of `cluster apply` with the policy of the API server."""

from __future__ import annotations

from typing import Any

from agent.cluster.inputs import ClusterInputs
from agent.cluster.policy import chosen_namespaces, deletable_policies, write_policy
from agent.cluster.sources import source_step, surplus
from agent.cluster.steps import RULES_ADDED, RULES_CHANGED, ClusterPlan, PolicyStep, SourceStep, Step
from agent.core.cluster.admission import Manifest, name_of, path_of
from agent.core.cluster.ca_policy import CA_KEY, CA_NAME, ca_config_map, ca_policy, summary
from agent.core.cluster.diff import FieldChange, changes
from agent.core.cluster.managed_fields import is_for_policy
from agent.core.cluster.mode import InjectionMode
from agent.core.cluster.objects import CONFIG_MAP, DEFAULT_NAMESPACE, OURS, SECRET
from agent.core.cluster.patch import patch_text, revert_patch
from agent.core.cluster.policy import proxy_policy
from agent.core.record import evolve
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, retry


def make_policy_plan(kubectl: Kubectl, inputs: ClusterInputs, mode: InjectionMode) -> ClusterPlan:
    """Return the plan; every write is dry-run.

    A workload that does not exist gets the variables when it appears.  Raises AgentError.
    """
    is_secret = bool(inputs.intent.credentials)
    kind, other_kind = (SECRET, CONFIG_MAP) if is_secret else (CONFIG_MAP, SECRET)
    chosen = [*chosen_namespaces(kubectl, inputs.workloads)] if is_secret or inputs.ca else []
    namespaces = chosen if is_secret else [DEFAULT_NAMESPACE]
    workloads = [(workload, _without_env_from(kubectl, workload)) for workload in inputs.workloads]
    unused = [found for name in inputs.namespaces for found in surplus(kubectl, inputs, other_kind, name)]
    rest = [name for name in inputs.namespaces if name not in namespaces]
    unused += [found for name in rest for found in surplus(kubectl, inputs, kind, name)]
    ca = [*(ca_config_map(name, inputs.ca) for name in chosen), *ca_policy(inputs.workloads)] if inputs.ca else []
    return ClusterPlan(
        mode,
        sources=tuple(_source_step(kubectl, inputs, namespace) for namespace in namespaces),
        policies=tuple(_policy_step(kubectl, obj) for obj in proxy_policy(inputs.workloads, secret=is_secret)),
        ca=tuple(_policy_step(kubectl, obj) for obj in ca),
        workloads=tuple((workload, step) for workload, step in workloads if step is not None),
        # Pods of the policy may need others, and would lose their proxy when a container restarts.
        surplus=tuple((path, obj) for path, obj in unused if not is_for_policy(obj)),
        surplus_policies=() if inputs.ca else tuple(deletable_policies(kubectl, CA_NAME)),
    )


def _source_step(kubectl: Kubectl, inputs: ClusterInputs, namespace: str) -> SourceStep:
    step = source_step(kubectl, inputs, namespace, [], OURS)
    if step.source.kind != SECRET:
        return step
    readers = f"everyone who may read Secrets or create pods in {namespace} can read the password"
    note = f"{readers}; a proxy that knows the nodes by their addresses needs none"
    return evolve(step, step=evolve(step.step, notes=(*step.step.notes, note)))


def _policy_step(kubectl: Kubectl, manifest: Manifest) -> PolicyStep:
    before = kubectl.find(path_of(manifest), manifest["kind"], f"reading {name_of(manifest)}")
    after = write_policy(kubectl, manifest, dry_run=True)
    verb = "patch" if before else "create"
    if manifest["kind"] == CONFIG_MAP:
        shown = [None if obj is None else summary((obj.get("data") or {}).get(CA_KEY, "")) for obj in (before, after)]
        bundle = () if shown[0] == shown[1] else (FieldChange("", CA_KEY, *shown),)
        return PolicyStep(manifest, Step(name_of(manifest), verb, bundle))
    is_equal = before is not None and before["spec"] == after["spec"]
    rules = () if is_equal else (RULES_CHANGED if before else RULES_ADDED,)
    return PolicyStep(manifest, Step(name_of(manifest), verb, rules))


def _without_env_from(kubectl: Kubectl, workload: Workload) -> Step | None:
    """Return the step that removes what an apply with envFrom wrote into a template."""
    before: Any = kubectl.find(workload.path, workload.kind, f"reading {workload}")
    if before is None:
        return None
    patch = revert_patch(before)
    doing = f"dry run: patching {workload}"
    after = retry(lambda: kubectl.patch(workload, patch_text(patch), doing, dry_run=True)) if patch.ops else before
    return Step(str(workload), "patch", changes(before, after))
