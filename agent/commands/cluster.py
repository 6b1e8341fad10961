"""`cluster`: give the cluster's pods the same proxy as the nodes."""

from __future__ import annotations

import argparse

from agent.cluster.inputs import inputs_of, kubectl_of, scope, settings_of
from agent.core.cluster.objects import DEFAULT_NAMESPACE
from agent.edges.kubectl import Kubectl


def run(arguments: argparse.Namespace) -> int:
    """Run one action."""
    settings = settings_of(arguments)
    kubectl = kubectl_of(arguments, settings)
    if arguments.action == "service-cidr":
        from agent.cluster.service_cidr import print_service_range

        return print_service_range(arguments, kubectl)
    if arguments.action == "revert":
        from agent.cluster.apply import revert

        namespaces, workloads = scope(settings, arguments.namespace)
        also = "" if arguments.namespace else DEFAULT_NAMESPACE
        revert(kubectl, workloads, namespaces, arguments.timeout, also)
        return 0
    return _run_with_intent(arguments, kubectl)


def _run_with_intent(arguments: argparse.Namespace, kubectl: Kubectl) -> int:
    """Run one of the actions that first compose the Intent."""
    from agent.cluster import apply, plan, plan_view, render, verify

    if arguments.action == "render":
        cluster = None if arguments.offline else kubectl
        render.check_flags(arguments)
        inputs = inputs_of(arguments, cluster)
        code = render.render(arguments, inputs, cluster)
        plan_view.print_warnings(inputs.warnings)
        return code
    inputs = inputs_of(arguments, kubectl)
    if arguments.action == "verify":
        return verify.print_verdict(arguments, verify.verify(kubectl, inputs), inputs)
    cluster_plan = plan.make_plan(kubectl, inputs, take_over=arguments.take_over)
    if arguments.action == "plan":
        return plan_view.print_plan(arguments, cluster_plan, inputs.warnings)
    plan_view.print_warnings(inputs.warnings)
    plan_view.print_warnings([f"{step.name}: {note}" for step in cluster_plan.steps for note in step.notes])
    apply.apply_plan(kubectl, cluster_plan, take_over=arguments.take_over, timeout=arguments.timeout)
    return 0
