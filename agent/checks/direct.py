"""Does that answer which is reached without the proxy?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agent.checks.context import CheckedNode
from agent.checks.finding import FAIL, OK, SKIP, Finding
from agent.core.intent.intent import endpoint_host
from agent.core.intent.reachability import ProbeResult, host_to_try
from agent.edges import tcp

GROUP = "direct"
#: Seconds for all hosts together; TCP port 443, as `aws.direct = "auto"` asks it.
BOUND = 2.0
_API = "api-endpoint"


def check(node: CheckedNode) -> Iterator[Finding]:
    """What the owner named has its endpoints when of each one name answers; that of the others may not exist.

    What was found out by trying is there because each of its names answered: it has to go on.
    """
    facts, cluster_info = node.resolved.facts, node.resolved.inputs.cluster_info
    wanted: dict[str, list[str]] = {}
    for entry in node.intent.no_proxy:
        if entry.reason == _API:
            host = endpoint_host(node.settings, cluster_info)
            wanted.setdefault(_API, []).extend([host] if host else [])
        elif entry.reason.startswith(("aws:", "direct:")):
            wanted.setdefault(entry.reason, []).append(host_to_try(entry.value, facts))
    answers = tcp.ask([host for hosts in wanted.values() for host in hosts], bound=BOUND)
    for reason, hosts in wanted.items():
        yield _found(reason, dict.fromkeys(hosts), answers)
    if not wanted:
        yield Finding(GROUP, "hosts", SKIP, "nothing but this network is reached directly")


def _found(reason: str, hosts: dict[str, None], answers: dict[str, ProbeResult]) -> Finding:
    if not hosts:
        text = "the API server's host is not known; all EKS endpoints of the region are direct"
        return Finding(GROUP, reason, SKIP, text, "name it in cluster.endpoint")
    silent = [host for part in parts(reason, hosts) if not any(answers[one].direct for one in part) for host in part]
    if not silent:
        good = [host for host in hosts if answers[host].direct]
        text = ", ".join("{} at {}".format(host, " ".join(answers[host].addresses)) for host in good)
        return Finding(GROUP, reason, OK, text + " accepts on port 443")
    told = "; ".join(f"{host}: {_why(answers[host])}" for host in silent)
    if reason == _API:
        hint = 'look at the cluster\'s security group; a public one: cluster.endpoint_access = "public"'
    else:
        hint = "make the VPC endpoint, or take {} out of aws.direct".format(reason.partition(":")[2])
        hint += "; found out by itself: eks-proxy-agent apply --refresh" if reason.startswith("direct:") else ""
    return Finding(GROUP, reason, FAIL, "direct, and nothing answers: " + told, hint)


def parts(reason: str, hosts: Iterable[str]) -> list[list[str]]:
    """The hosts of a service, those together that lead to the same endpoint: ECR has two, and Systems Manager, too."""
    found: dict[str, list[str]] = {}
    for host in hosts:
        part = "registry" if host[:12].isdigit() else "messages" if "messages." in host else ""
        found.setdefault(host if reason.startswith("direct:") else part, []).append(host)
    return list(found.values())


def _why(answer: ProbeResult) -> str:
    if not answer.addresses:
        return "has no address"
    return "{} accepts no connection on port 443".format(" ".join(answer.addresses))
