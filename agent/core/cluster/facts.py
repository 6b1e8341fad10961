"""Facts about the nodes that are known on a machine that is not a node.

The host name of the API server contains the region.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts, facts_from_json
from agent.core.intent.intent import Intent, endpoint_host
from agent.core.settings import parsers
from agent.core.settings.schema import Settings

#: ID.gr7.REGION.eks.DOMAIN, and dual-stack ID.eks-cluster.REGION.api.aws (EKS user guide, "Cluster
#: API server endpoint").
_EKS_HOST = re.compile(r"[^.]+\.(?:[^.]+\.)?(?:(?P<old>[a-z0-9-]+)\.eks|eks-cluster\.(?P<new>[a-z0-9-]+)\.api)\..+")


def region_of(host: str) -> str:
    """Return the region in the host name of an EKS API endpoint, or ""."""
    match = _EKS_HOST.fullmatch(host)
    return (match.group("old") or match.group("new")) if match else ""


def host_for_nodes(server: str, vpc_cidrs: Iterable[str]) -> str:
    """Return the host of a kubeconfig's server if nodes reach the API server by it too, or "".

    That is an EKS name or an address of the VPC.  Nodes do not know a tunnel, a jump host or a
    management product in between.
    """
    try:
        host = parsers.endpoint_host(server)
    except ValueError:
        return ""
    if region_of(host):
        return host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    return host if any(address in ipaddress.ip_network(cidr) for cidr in vpc_cidrs) else ""


def facts_of_settings(settings: Settings, region: str) -> Facts:
    """Return the facts for a machine that is not a node, from vpc.cidrs and the region.

    Without a region, AWS host names are unknown.
    """
    cidrs: tuple[str, ...] = settings.vpc.cidrs or ()
    v4, v6 = tuple(c for c in cidrs if ":" not in c), tuple(c for c in cidrs if ":" in c)
    if not region:
        return Facts("", "", v4, v6, "", "", "")
    regional = facts_from_json(
        f'{{"instance_id": "i-0123456789abcdef0", "region": "{region}", "vpc_cidrs_v4": ["10.0.0.0/8"]}}'
    )
    return Facts("", "", v4, v6, region, regional.domain, regional.partition)


def missing_region(settings: Settings, cluster_info: ClusterInfo, facts: Facts) -> str:
    """Return the part of the Intent that cannot be composed without a region, or ""."""
    if facts.region:
        return ""
    if any("." not in service for service in settings.aws.direct or ()):  # a single host needs none
        return "the hosts of aws.direct"
    is_unknown = not (settings.cluster.endpoint or cluster_info.endpoint)
    return "the host of the API server" if is_unknown and settings.cluster.endpoint_access != "public" else ""


def assumptions(settings: Settings) -> list[str]:
    """Return a warning for each value that only a node can determine, with the assumed value."""
    warnings = []
    if settings.aws.direct is None:
        warnings.append(
            'aws.direct is "auto", which only a node can probe; the pods use the proxy for all AWS services,'
            " even for those that nodes reach directly"
        )
    if settings.cluster.endpoint_access == "auto":
        warnings.append(
            'cluster.endpoint_access is "auto", which only a node can probe; the API server is assumed to be private'
        )
    if len(settings.proxy.url) > 1:
        warnings.append(
            f"proxy.url has {len(settings.proxy.url)} proxies, and only a node can check them; the pods use the first"
        )
    if warnings:
        warnings.append("to give the pods the values of a node, copy its status.json and use --from-node FILE")
    return warnings


def api_host(settings: Settings, cluster_info: ClusterInfo, composed: Intent) -> str:
    """Return the API server's host that NO_PROXY has to cover.

    It is "" if the host is unknown or reached through the proxy.
    """
    is_private = any(entry.reason == "api-endpoint" for entry in composed.no_proxy)
    return endpoint_host(settings, cluster_info) if is_private else ""
