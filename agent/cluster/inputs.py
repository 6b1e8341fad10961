"""Inputs of every `cluster` command: settings, cluster, and the Intent of nodes and pods."""

from __future__ import annotations

import argparse
import re
from typing import Optional

from agent.cluster.pod_ca import pod_bundle
from agent.cluster.service_cidr import LOOKUP, query_service_range
from agent.core.cluster.facts import (
    api_host,
    assumptions,
    facts_of_settings,
    host_for_nodes,
    missing_region,
    region_of,
)
from agent.core.cluster.objects import DEFAULT_NAMESPACE
from agent.core.cluster.service_cidr import ServiceRange, covers
from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent.inputs import Inputs, resolve
from agent.core.intent.intent import Intent
from agent.core.net.proxy_selection import current
from agent.core.net.proxy_url import Credentials, quoted
from agent.core.record import evolve, field, record
from agent.core.settings.schema import Settings
from agent.core.settings.user_data import UserData, read_user_data
from agent.core.settings.workloads import Workload
from agent.core.status.document import intent_from_status
from agent.edges.kubectl import Kubectl
from agent.errors import AgentError, MetadataError, SettingsError, UsageError
from agent.node.host import Host, host_of
from agent.node.inputs import cluster_info, credentials_of, facts_of, instance_layers, is_on_instance
from agent.node.proxies import remembered_choice
from agent.node.reachability import probe_directly
from agent.node.sources import StaticSettings, read_local_file, sources_of, static_settings


@record
class ClusterInputs:
    """Inputs of a `cluster` command.

    `direct` are pairs of a host or CIDR that NO_PROXY has to cover, and its name.  Each of
    `namespaces` has a ConfigMap.  `is_limited` means that --namespace limits the command.
    `ca` are the CA certificates for pods as PEM, or "".
    """

    settings: Settings
    intent: Intent
    namespaces: tuple[str, ...]
    workloads: tuple[Workload, ...]
    direct: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    is_limited: bool = False
    ca: str = field(default="", repr=False)


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return the settings of the files and flags alone."""
    return static_settings(host_of(arguments).files, sources_of(arguments)).settings


def kubectl_of(arguments: argparse.Namespace, settings: Settings) -> Kubectl:
    """Return kubectl with the flags that are passed through."""
    flags = ["--kubeconfig=" + arguments.kubeconfig] if arguments.kubeconfig else []
    flags += ["--context=" + arguments.context] if arguments.context else []
    return Kubectl(settings.cluster.kubectl, [*flags, f"--request-timeout={arguments.request_timeout:g}s"])


def scope(settings: Settings, namespace: str) -> tuple[tuple[str, ...], tuple[Workload, ...]]:
    """Return the namespaces and workloads of a command: cluster.workloads, or those of --namespace.

    They are in the order of the settings: rollouts follow it.
    """
    # The namespace becomes part of API paths.
    if namespace and not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
        raise UsageError(f"--namespace {quoted(namespace)}: not a valid namespace name")
    matches = (workload for workload in settings.cluster.workloads if namespace in ("", workload.namespace))
    workloads = tuple(dict.fromkeys(matches))
    namespaces = (namespace,) if namespace else tuple(dict.fromkeys(workload.namespace for workload in workloads))
    return namespaces or (DEFAULT_NAMESPACE,), workloads


def inputs_of(arguments: argparse.Namespace, kubectl: Kubectl | None) -> ClusterInputs:
    """Return all inputs; without `kubectl`, query no cluster.

    Raises SettingsError, and AgentError with the remedies if the VPC, the region or the service
    CIDR is unknown.
    """
    service = query_service_range(kubectl) if kubectl else None
    if arguments.from_node:
        settings, composed, cluster_info, warnings = _of_node(arguments, kubectl)
    else:
        settings, composed, cluster_info, warnings = _compose(arguments, kubectl, service)
    if composed is None:
        raise SettingsError(["proxy.url is not set, so there is no proxy for the pods"], hint=_REVERT)
    direct = _direct(service, api_host(settings, cluster_info, composed))
    return ClusterInputs(
        settings,
        composed,
        *scope(settings, arguments.namespace),
        direct,
        (*warnings, *_contradiction(settings, service)),
        bool(arguments.namespace),
        pod_bundle(host_of(arguments).files, settings),
    )


_REVERT = "to undo an earlier apply: eks-proxy-agent cluster revert"
_Composed = tuple[Settings, Optional[Intent], ClusterInfo, tuple[str, ...]]


def _of_node(arguments: argparse.Namespace, kubectl: Kubectl | None) -> _Composed:
    """Return a node's own Intent; workloads and credentials come from the settings."""
    host = host_of(arguments)
    settings = static_settings(host.files, sources_of(arguments)).settings
    credentials = _credentials(host, settings)
    text = read_local_file(arguments.from_node).decode("utf-8", "replace")
    endpoint = host_for_nodes(kubectl.server(), settings.vpc.cidrs or ()) if kubectl else ""
    return settings, intent_from_status(text, arguments.from_node, credentials), ClusterInfo(endpoint=endpoint), ()


def _compose(arguments: argparse.Namespace, kubectl: Kubectl | None, service: ServiceRange | None) -> _Composed:
    """Compose the Intent as on a node (agent/node/inputs.py), and add the cluster's values."""
    host = host_of(arguments)
    static = static_settings(host.files, sources_of(arguments))
    server = kubectl.server() if kubectl else ""
    layered, user_data, on_instance = static.layered, UserData(), False
    vpc_cidrs = layered.settings.vpc.cidrs
    if vpc_cidrs is not None and not static.sources.facts:
        region = region_of(layered.settings.cluster.endpoint or host_for_nodes(server, vpc_cidrs))
        facts = facts_of_settings(layered.settings, region)
    else:
        facts = _facts(static)
        user_data = read_user_data(facts.user_data)
        layered = static.with_instance(instance_layers(host.state, facts.instance_id, user_data))
        on_instance = is_on_instance(host, static.sources)
    settings = layered.settings
    info = cluster_info(host.files, settings, user_data)
    inputs = Inputs(layered, facts, info, on_instance=on_instance)
    results = probe_directly(host.state, inputs).results if on_instance else {}
    endpoint = host_for_nodes(server, settings.vpc.cidrs or facts.vpc_cidrs_v4 + facts.vpc_cidrs_v6)
    service_cidrs = (service.cidrs if service else ()) or info.service_cidrs
    info = evolve(info, endpoint=info.endpoint or endpoint, service_cidrs=service_cidrs)
    _refuse_gaps(settings, info, facts, service)
    credentials = _credentials(host, settings)
    chosen = current(settings.proxy.url, remembered_choice(host.state, inputs))
    composed = resolve(evolve(inputs, cluster_info=info, credentials=credentials), results, chosen).intent
    warnings = () if on_instance or composed is None else tuple(assumptions(settings))
    return settings, composed, info, warnings


def _credentials(host: Host, settings: Settings) -> Credentials | None:
    """Return the credentials for the Secret of the pods.

    `cluster` runs no proxy.credentials_command.  Without the credentials in force it would replace
    the Secret by a ConfigMap.
    """
    credentials = credentials_of(host, settings)
    if credentials is None and settings.proxy.credentials_keys:
        hint = "run this as root on a configured node, or set proxy.credentials_file"
        raise AgentError("proxy.credentials_command: not run by cluster, and no credentials are known here", hint=hint)
    return credentials


def _facts(static: StaticSettings) -> Facts:
    try:
        return facts_of(static)
    except MetadataError as error:
        if static.sources.facts:
            raise
        hint = (
            "set vpc.cidrs (in the settings or with --set), use --facts FILE or --from-node FILE, or run this on a node"
        )
        raise AgentError(f"the CIDRs of the VPC are unknown: {error}", hint=hint) from None


def _refuse_gaps(settings: Settings, cluster_info: ClusterInfo, facts: Facts, service: ServiceRange | None) -> None:
    if service and not cluster_info.service_cidrs and settings.cluster.service_cidr == "auto":
        raise AgentError(
            f"the service CIDR is unknown: {service.how}", hint=f"set cluster.service_cidr; to look it up: {LOOKUP}"
        )
    missing = missing_region(settings, cluster_info, facts) if settings.proxy.url else ""
    if missing:
        hint = "set cluster.endpoint to the https:// URL that the nodes use, or use --facts FILE"
        text = f"the region is unknown, and {missing} cannot be computed without it"
        raise AgentError(f"{text}: the kubeconfig names no EKS endpoint", hint=hint)


def _direct(service: ServiceRange | None, api_host: str) -> tuple[tuple[str, str], ...]:
    direct: list[tuple[str, str]] = [(api_host, "the API server")] if api_host else []
    if service and service.cidrs:
        direct += [(value, "the service CIDR") for value in service.cidrs]
    elif service:
        direct += [(value, "the service address") for value in service.addresses]
    return tuple(direct)


def _contradiction(settings: Settings, service: ServiceRange | None) -> tuple[str, ...]:
    configured = settings.cluster.service_cidr
    if service is None or configured == "auto" or covers((configured,), service.addresses):
        return ()
    return (f"cluster.service_cidr is {configured}, which is not the service CIDR of this cluster: {service.how}",)
