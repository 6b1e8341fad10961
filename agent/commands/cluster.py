"""`cluster`: give the cluster's pods the same proxy as the nodes have."""

from __future__ import annotations

import argparse

from agent.commands.cluster_inputs import inputs_of, kubectl_of, scope, settings_of
from agent.core.cluster_objects import DEFAULT_NAMESPACE
from agent.errors import UsageError


def run(arguments: argparse.Namespace) -> int:
    """One action."""
    settings = settings_of(arguments)
    kubectl = kubectl_of(arguments, settings)
    if arguments.action == "service-cidr":
        from agent.commands.cluster_service import print_service_range

        return print_service_range(arguments, kubectl)
    if arguments.action == "revert":
        from agent.commands.cluster_apply import revert

        namespaces, workloads = scope(settings, arguments.namespace)
        also = "" if arguments.namespace else DEFAULT_NAMESPACE
        revert(kubectl, workloads, namespaces, arguments.timeout, also)
        return 0
    return _of_intent(arguments)


def _of_intent(arguments: argparse.Namespace) -> int:
    """The actions that compose the variables first."""
    from agent.commands import cluster_apply, cluster_plan, cluster_render, cluster_show, cluster_verify

    kubectl = kubectl_of(arguments, settings_of(arguments))
    if arguments.action == "render":
        cluster = None if arguments.offline else kubectl
        if arguments.manifest and not arguments.output:
            raise UsageError("--manifest is for the patches, which are written with --output DIR")
        inputs = inputs_of(arguments, cluster)
        code = cluster_render.render(arguments, inputs, cluster)
        cluster_show.tell(inputs.warnings)
        return code
    inputs = inputs_of(arguments, kubectl)
    if arguments.action == "verify":
        return cluster_verify.print_verdict(arguments, cluster_verify.verify(kubectl, inputs), inputs)
    plan = cluster_plan.make_plan(kubectl, inputs, take_over=arguments.take_over)
    if arguments.action == "plan":
        return cluster_show.print_plan(arguments, plan, inputs.warnings)
    cluster_show.tell(inputs.warnings)
    cluster_show.tell([note for step in plan.steps for note in ("%s: %s" % (step.name, n) for n in step.notes)])
    cluster_apply.apply_plan(kubectl, plan, take_over=arguments.take_over, timeout=arguments.timeout)
    return 0
