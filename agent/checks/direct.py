"""Connections to what is reached without the proxy: the API server and AWS services."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.checks.context import CheckedNode
from agent.checks.finding import FAIL, OK, SKIP, Finding
from agent.core.intent.intent import endpoint_host
from agent.core.intent.reachability import ProbeResult, host_to_probe
from agent.edges import tcp

GROUP = "direct"
#: Seconds for all hosts together; TCP port 443, as `aws.direct = "auto"` probes it.
BOUND = 2.0
_API = "api-endpoint"


def check(node: CheckedNode) -> Iterator[Finding]:
    """Probe the direct hosts, one finding for each reason of their NO_PROXY entries.

    A service of aws.direct is reachable if one name of each of its endpoints is; the other names
    may not exist.  A service that was detected by probing was added because each of its names
    was reachable, so each must still be.
    """
    facts, cluster_info = node.resolved.facts, node.resolved.inputs.cluster_info
    hosts_by_reason: dict[str, list[str]] = {}
    for entry in node.intent.no_proxy:
        if entry.reason == _API:
            host = endpoint_host(node.settings, cluster_info)
            hosts_by_reason.setdefault(_API, []).extend([host] if host else [])
        elif entry.reason.startswith(("aws:", "direct:")):
            hosts_by_reason.setdefault(entry.reason, []).append(host_to_probe(entry.value, facts))
    results = tcp.probe([host for hosts in hosts_by_reason.values() for host in hosts], bound=BOUND)
    for reason, hosts in hosts_by_reason.items():
        yield _finding(reason, dict.fromkeys(hosts), results)
    if not hosts_by_reason:
        yield Finding(GROUP, "hosts", SKIP, "nothing to probe: no API server or AWS service is direct")


def _finding(reason: str, hosts: dict[str, None], results: dict[str, ProbeResult]) -> Finding:
    if not hosts:
        text = "host of the API server is unknown; all EKS endpoints of the region are direct"
        return Finding(GROUP, reason, SKIP, text, "set cluster.endpoint")
    unreachable = [
        host
        for group in hosts_by_endpoint(reason, hosts)
        if not any(results[member].direct for member in group)
        for host in group
    ]
    if not unreachable:
        reachable = [f"{host} ({' '.join(results[host].addresses)})" for host in hosts if results[host].direct]
        return Finding(GROUP, reason, OK, "reachable on port 443: " + ", ".join(reachable))
    problems = "; ".join(f"{host}: {_problem(results[host])}" for host in unreachable)
    return Finding(GROUP, reason, FAIL, "in NO_PROXY but not reachable: " + problems, _remedy(reason))


def _remedy(reason: str) -> str:
    if reason == _API:
        return 'check the cluster\'s security group; for a public endpoint, set cluster.endpoint_access = "public"'
    kind, _, service = reason.partition(":")
    if kind == "direct":  # detected by probing, aws.direct does not name it
        return f"restore the VPC endpoint of {service}, or probe again: eks-proxy-agent apply --refresh"
    return f"create the VPC endpoint of {service}, or remove {service} from aws.direct"


def hosts_by_endpoint(reason: str, hosts: Iterable[str]) -> list[list[str]]:
    """Group a service's hosts by the endpoint behind them: ECR and Systems Manager have two."""
    groups: dict[str, list[str]] = {}
    for host in hosts:
        endpoint = "registry" if host[:12].isdigit() else "messages" if "messages." in host else ""
        groups.setdefault(host if reason.startswith("direct:") else endpoint, []).append(host)
    return list(groups.values())


def _problem(result: ProbeResult) -> str:
    if not result.addresses:
        return "does not resolve"
    return f"no connection to {' '.join(result.addresses)} on port 443"
