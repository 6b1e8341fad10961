"""`cluster`: give the cluster's pods the same proxy as the nodes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from agent.cluster.inputs import ClusterInputs, inputs_of, kubectl_of, scope, settings_of
from agent.core.cluster.mode import InjectionMode
from agent.core.cluster.objects import DEFAULT_NAMESPACE
from agent.edges.kubectl import Kubectl

if TYPE_CHECKING:
    from agent.cluster.steps import ClusterPlan


def run(arguments: argparse.Namespace) -> int:
    """Run one action."""
    settings = settings_of(arguments)
    kubectl = kubectl_of(arguments, settings)
    if arguments.action == "service-cidr":
        from agent.cluster.service_cidr import print_service_range

        return print_service_range(arguments, kubectl)
    if arguments.action == "revert":
        from agent.cluster.revert import revert

        namespaces, workloads = scope(settings, arguments.namespace)
        also = "" if arguments.namespace else DEFAULT_NAMESPACE
        revert(kubectl, workloads, namespaces, arguments.timeout, also)
        return 0
    return _run_with_intent(arguments, kubectl)


def _run_with_intent(arguments: argparse.Namespace, kubectl: Kubectl) -> int:
    """Run one of the actions that first compose the Intent."""
    from agent.cluster import plan, plan_view, render, render_policy, restarts, verify

    if arguments.action == "render":
        cluster = None if arguments.offline else kubectl
        render.check_flags(arguments)
        inputs = inputs_of(arguments, cluster)
        code = (render_policy.render_policy if arguments.inject else render.render)(arguments, inputs, cluster)
        plan_view.print_warnings(inputs.warnings)
        return code
    inputs = inputs_of(arguments, kubectl)
    if arguments.action == "verify":
        return verify.print_verdict(arguments, verify.verify(kubectl, inputs), inputs)
    cluster_plan = plan.make_plan(kubectl, inputs, take_over=arguments.take_over)
    if arguments.action == "plan":
        code = plan_view.print_plan(arguments, cluster_plan, inputs.warnings)
        restarts.print_older_pods(kubectl, inputs, cluster_plan.mode)
        return code
    plan_view.print_warnings(inputs.warnings)
    mode = _apply(arguments, kubectl, inputs, cluster_plan)
    if arguments.rollout:
        restarts.restart_older_pods(kubectl, inputs, mode, arguments.timeout)
    else:
        restarts.print_older_pods(kubectl, inputs, mode)
    return 0


def _apply(
    arguments: argparse.Namespace, kubectl: Kubectl, inputs: ClusterInputs, cluster_plan: ClusterPlan
) -> InjectionMode:
    """Carry out a plan, and if its policy has no effect, one with envFrom; return the mode."""
    from agent.cluster import apply, plan, plan_view

    while True:
        plan_view.print_mode(cluster_plan.mode)
        plan_view.print_warnings([f"{step.name}: {note}" for step in cluster_plan.steps for note in step.notes])
        mode = apply.apply_plan(kubectl, cluster_plan, take_over=arguments.take_over, timeout=arguments.timeout)
        if mode is None:
            return cluster_plan.mode
        cluster_plan = plan.make_plan(kubectl, inputs, take_over=arguments.take_over, mode=mode)
