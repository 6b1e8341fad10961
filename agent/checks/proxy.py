"""Does the proxy carry what a node's life needs?"""

from __future__ import annotations

import itertools
from typing import Dict, Iterator, List, Sequence, Tuple

from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.checks.node import Node
from agent.core.endpoints import endpoints, first_endpoint
from agent.core.intent import endpoint_host
from agent.core.proxy_url import ProxyUrl
from agent.core.verdict import Verdict
from agent.edges.proxy_probe import probe_each

GROUP = "proxy"
#: Seconds for all probes of one proxy together.
BOUND = 3.0

Endpoint = Tuple[str, int]


def check(node: Node) -> Iterator[Finding]:
    """One line for each proxy and each kind of answer: what ails all endpoints alike is one thing."""
    intent, settings, facts = node.intent, node.settings, node.discovered.facts
    wanted = endpoints(settings, facts, intent)
    if wanted:
        yield from _probed(node, intent.https_proxy, wanted, FAIL)
    else:
        yield Finding(GROUP, str(intent.https_proxy), SKIP, "all of AWS is reached directly; see check.endpoints")
    api = endpoint_host(settings, node.discovered.hints)
    if api and not any(entry.reason == "api-endpoint" for entry in intent.no_proxy):
        # Its certificate is the cluster's own: nothing to be trusted here.
        yield from _probed(node, intent.https_proxy, [(api, 443)], FAIL, tls=False)
    first = first_endpoint(settings, facts, intent)
    if intent.http_proxy != intent.https_proxy:
        yield from _probed(node, intent.http_proxy, [first], FAIL)
    for spare in settings.proxy.url:
        if spare not in (intent.http_proxy, intent.https_proxy):
            yield from _probed(node, spare, [first], WARN)


def _probed(
    node: Node, proxy: ProxyUrl, wanted: Sequence[Endpoint], failed: str, *, tls: bool = True
) -> Iterator[Finding]:
    found: Dict[str, List[Tuple[Endpoint, Verdict]]] = {}
    for endpoint, verdict in zip(wanted, probe_each(proxy, wanted, node.intent.credentials, timeout=BOUND, tls=tls)):
        found.setdefault(verdict.kind, []).append((endpoint, verdict))
    for answers in found.values():
        first = answers[0][1]
        if first.ok:
            yield Finding(GROUP, str(proxy), OK, _served(answers))
            continue
        text = first.text.rpartition("%s: " % proxy)[2]  # the line begins with it already
        yield Finding(GROUP, str(proxy), failed, text + _others(answers, len(wanted)), first.hint)


def shortened(hosts: Sequence[str]) -> str:
    """Names one after the other; what all end in stands once: `eks, s3 (.eu-west-1.amazonaws.com)`."""
    ends = [host.split(".")[::-1] for host in hosts]
    alike = list(itertools.takewhile(lambda labels: len(set(labels)) == 1, zip(*ends)))
    common = "".join("." + labels[0] for labels in reversed(alike))
    if len(hosts) < 2 or len(alike) < 2 or len(alike) == min(map(len, ends)) or common[-1].isdigit():
        return ", ".join(hosts)
    return "%s (%s)" % (", ".join(host[: -len(common)] for host in hosts), common)


def _others(answers: Sequence[Tuple[Endpoint, Verdict]], asked: int) -> str:
    if len(answers) == asked:
        return "; the same for all %d endpoints" % asked if asked > 1 else ""
    others = [host for (host, _), _ in answers[1:]]
    return "; the same for " + ", ".join(others) if others else ""


def _served(answers: Sequence[Tuple[Endpoint, Verdict]]) -> str:
    hosts = shortened([host for (host, _), _ in answers])
    issuers = ", ".join(sorted({verdict.issuer for _, verdict in answers if verdict.issuer}))
    inspected = " (it inspects TLS)" if answers[0][1].kind == "tls-inspected" else ""
    by = "; certificates of %s%s, trusted" % (issuers, inspected) if issuers else ""
    slowest = max(verdict.seconds for _, verdict in answers) * 1000
    return "opens tunnels within %.0f ms to %s%s" % (slowest, hosts, by)
