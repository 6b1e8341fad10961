"""`cluster apply`: one object after the other.

If a step fails, the completed steps are reported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, Callable

from agent.cluster.policy import deletable_policies, prove, write_policy
from agent.cluster.rollouts import wait_for_rollout
from agent.cluster.sources import write_source
from agent.cluster.steps import UP_TO_DATE, ClusterPlan, PolicyStep, Step
from agent.cluster.writes import UNDO_APPLY, completed_steps_on_failure, delete, is_needed, patch_workload, report
from agent.core.cluster.admission import name_of
from agent.core.cluster.mode import ENV_FROM, InjectionMode
from agent.core.cluster.objects import read_source
from agent.core.cluster.patch import Patch, apply_patch, revert_patch
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl
from agent.errors import AgentError


def apply_plan(kubectl: Kubectl, plan: ClusterPlan, *, take_over: bool, timeout: float) -> InjectionMode | None:
    """Carry out the plan; `timeout` is the seconds for the rollout of each workload.

    If a tentative policy has no effect, delete it again, and return the mode to use instead.
    Raises AgentError.  The completed steps and the command that undoes them are then on stderr.
    """
    done: list[str] = []
    with completed_steps_on_failure(done, UNDO_APPLY):
        _write(kubectl, plan, done)
        fallback = _fallback(kubectl, plan, done) if plan.policies else None
        if fallback:
            return fallback
        _write_policies(kubectl, plan.ca, done)
        for workload, _ in plan.workloads:
            is_patched = patch_workload(kubectl, workload, _patch(plan, workload, take_over=take_over))
            if is_patched:
                report(done, f"patched {workload}")
            wait_for_rollout(kubectl, workload, timeout, UNDO_APPLY, quiet=not is_patched)
        for path, obj in plan.surplus_policies:
            delete(kubectl, path, obj, name_of(obj), done)
        for path, obj in plan.surplus:
            if not is_needed(kubectl, obj, [workload for workload, _ in plan.workloads], done):
                delete(kubectl, path, obj, str(read_source(obj)), done)
    if not done:
        print(UP_TO_DATE, file=sys.stderr)
    return None


def _write(kubectl: Kubectl, plan: ClusterPlan, done: list[str]) -> None:
    """Write ConfigMaps and Secrets, then the policy, which refers to them."""
    for source_step in plan.sources:
        if source_step.step.changes:
            write_source(kubectl, source_step.source, source_step.manifest, dry_run=False)
            report(done, f"{_verb(source_step.step)} {source_step.source}")
    _write_policies(kubectl, plan.policies, done)


def _write_policies(kubectl: Kubectl, steps: Sequence[PolicyStep], done: list[str]) -> None:
    for policy_step in steps:
        if policy_step.step.changes:
            write_policy(kubectl, policy_step.manifest, dry_run=False)
            report(done, f"{_verb(policy_step.step)} {name_of(policy_step.manifest)}")


def _verb(step: Step) -> str:
    return "created" if step.verb == "create" else "changed"


def _patch(plan: ClusterPlan, workload: Workload, *, take_over: bool) -> Callable[[Any], Patch]:
    """Return what changes a template: with a policy, what an earlier apply wrote is removed."""
    if plan.mode.is_policy:
        return revert_patch
    return partial(apply_patch, source=plan.source(workload.namespace), take_over=take_over)


def _fallback(kubectl: Kubectl, plan: ClusterPlan, done: list[str]) -> InjectionMode | None:
    """Prove the policy; return None if it is in force, or if that cannot be found out.

    Raises AgentError if it has no effect, unless it is tentative.
    """
    proof = prove(kubectl, plan.sources[0].source, [workload for workload, _ in plan.workloads])
    if plan.mode.is_tentative and proof.problem:
        for path, obj in deletable_policies(kubectl):
            delete(kubectl, path, obj, name_of(obj), done)
        return InjectionMode(ENV_FROM, proof.problem)
    if proof.is_certain and proof.problem:
        hint = 'check the feature gate MutatingAdmissionPolicy of the API server, or set cluster.injection = "envFrom"'
        raise AgentError(f"the policy has no effect: {proof.problem}", hint=hint)
    if proof.problem:
        print(f"note: the policy is not proved: {proof.problem}", file=sys.stderr)
    return None
