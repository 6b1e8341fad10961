"""What an administrator's machine knows of the nodes without being one: the API server's host tells the region.  Pure."""

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
    """The region in the name of an EKS API endpoint, else empty."""
    match = _EKS_HOST.fullmatch(host)
    return (match.group("old") or match.group("new")) if match else ""


def nodes_host(server: str, vpc_cidrs: Iterable[str]) -> str:
    """The host of a kubeconfig's server, if nodes reach the API server by it too: an EKS name, or an address of the VPC.

    A tunnel, a jump host or a management product in between is nothing that nodes know.
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
    """Facts for a machine that is no node, from vpc.cidrs and the region; without a region, names of AWS are unknown."""
    cidrs: tuple[str, ...] = settings.vpc.cidrs or ()
    v4, v6 = tuple(c for c in cidrs if ":" not in c), tuple(c for c in cidrs if ":" in c)
    if not region:
        return Facts("", "", v4, v6, "", "", "")
    known = facts_from_json(
        f'{{"instance_id": "i-0123456789abcdef0", "region": "{region}", "vpc_cidrs_v4": ["10.0.0.0/8"]}}'
    )
    return Facts("", "", v4, v6, region, known.domain, known.partition)


def missing_region(settings: Settings, cluster_info: ClusterInfo, facts: Facts) -> str:
    """What cannot be composed without a region, else empty."""
    if facts.region:
        return ""
    if settings.aws.direct:
        return "the names of aws.direct"
    unknown = not (settings.cluster.endpoint or cluster_info.endpoint)
    return "the API server's host" if unknown and settings.cluster.endpoint_access != "public" else ""


def uncertain(settings: Settings) -> list[str]:
    """What only a node can find out, and what is assumed of it instead."""
    found = []
    if settings.aws.direct is None:
        found.append(
            'aws.direct is "auto", which only a node can ask: the pods take the proxy for AWS, also where nodes need not'
        )
    if settings.cluster.endpoint_access == "auto":
        found.append('cluster.endpoint_access is "auto", which only a node can ask: the API server counts as private')
    if len(settings.proxy.url) > 1:
        several = f"proxy.url has {len(settings.proxy.url)} proxies, of which a node takes one that serves"
        found.append(several + ": the pods take the first")
    if found:
        found.append("to have the pods share a node's own values, copy its status.json here and give --from-node FILE")
    return found


def api_host(settings: Settings, cluster_info: ClusterInfo, composed: Intent) -> str:
    """The API server's host that NO_PROXY has to cover; empty when it is unknown, or reached through the proxy."""
    private = any(entry.reason == "api-endpoint" for entry in composed.no_proxy)
    return endpoint_host(settings, cluster_info) if private else ""
