"""Does the proxy carry what a node's life needs?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import attrs

from agent.checks.context import NEEDS_ROOT, CheckedNode
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.core.intent.intent import endpoint_host
from agent.core.intent.probe_targets import endpoints, first_endpoint
from agent.core.net.proxy_health import Verdict
from agent.core.net.proxy_url import ProxyUrl
from agent.edges.proxy_probe import probe_each

GROUP = "proxy"
#: Seconds for all probes of one proxy together.
BOUND = 3.0

Endpoint = tuple[str, int]


@attrs.frozen
class Look:
    """A proxy and what it is asked for.  `failed` is the state if it does not serve.

    `needed`: the node reaches that through the proxy alone; else it only has to be alive.
    """

    proxy: ProxyUrl
    wanted: Sequence[Endpoint]
    failed: str = FAIL
    tls: bool = True
    needed: bool = True


def check(node: CheckedNode) -> Iterator[Finding]:
    """One line for each proxy and each kind of answer with its way out: what ails all endpoints alike is one thing."""
    looks = _looks(node)
    credentials = node.intent.credentials

    def probed(look: Look) -> tuple[Verdict, ...]:
        return probe_each(look.proxy, look.wanted, credentials, timeout=BOUND, tls=look.tls)

    with ThreadPoolExecutor(len(looks)) as pool:
        for look, verdicts in zip(looks, pool.map(probed, looks)):
            yield from _findings(look, verdicts, secret=not node.partial)


def _looks(node: CheckedNode) -> list[Look]:
    """The proxy that is used decides; the others of proxy.url are spares, of which one endpoint tells enough."""
    intent, settings, facts = node.intent, node.settings, node.resolved.facts
    first = [first_endpoint(settings, facts, intent)]
    wanted = endpoints(settings, facts, intent)
    looks = [Look(intent.https_proxy, wanted or first, tls=bool(wanted), needed=bool(wanted))]
    api = endpoint_host(settings, node.resolved.inputs.cluster_info)
    if api and not any(entry.reason == "api-endpoint" for entry in intent.no_proxy):
        # Its certificate is the cluster's own: nothing to be trusted here.
        looks.append(Look(intent.https_proxy, [(api, 443)], tls=False))
    if intent.http_proxy != intent.https_proxy:
        looks.append(Look(intent.http_proxy, first))
    used = (intent.http_proxy, intent.https_proxy)
    return looks + [Look(spare, first, WARN) for spare in settings.proxy.url if spare not in used]


def _findings(look: Look, verdicts: Sequence[Verdict], *, secret: bool) -> Iterator[Finding]:
    """`secret`: whether the credentials were known, should there be any."""
    found: dict[tuple[str, str], list[tuple[Endpoint, Verdict]]] = {}
    for endpoint, verdict in zip(look.wanted, verdicts):
        found.setdefault((verdict.kind, verdict.hint.replace(endpoint[0], "")), []).append((endpoint, verdict))
    for answers in found.values():
        first = answers[0][1]
        if first.ok:
            yield Finding(GROUP, str(look.proxy), OK, _served(answers))
            continue
        if first.kind == "credentials" and not secret:
            yield Finding(GROUP, str(look.proxy), SKIP, "asks for a user and a password; to send ours " + NEEDS_ROOT)
            continue
        text = first.text[len(f"{look.proxy}: ") :]  # the line begins with it already
        if not look.needed and first.kind in ("denied", "upstream"):
            text += "; it is alive, and nothing is known that has to go through it"
            yield Finding(GROUP, str(look.proxy), SKIP, text, "name in check.endpoints what it has to carry")
            continue
        yield Finding(GROUP, str(look.proxy), look.failed, text + _others(answers, len(look.wanted)), first.hint)


def shortened(hosts: Sequence[str]) -> str:
    """Names one after the other; what all end in stands once: `eks, s3 (.eu-west-1.amazonaws.com)`."""
    ends = [host.split(".")[::-1] for host in hosts]
    alike = list(itertools.takewhile(lambda labels: len(set(labels)) == 1, zip(*ends)))
    common = "".join("." + labels[0] for labels in reversed(alike))
    if len(hosts) < 2 or len(alike) < 2 or len(alike) == min(map(len, ends)) or common[-1].isdigit():
        return ", ".join(hosts)
    return "{} ({})".format(", ".join(host[: -len(common)] for host in hosts), common)


def _others(answers: Sequence[tuple[Endpoint, Verdict]], asked: int) -> str:
    if len(answers) == asked:
        return f"; the same for all {asked} endpoints" if asked > 1 else ""
    others = [host for (host, _), _ in answers[1:]]
    return "; the same for " + ", ".join(others) if others else ""


def _served(answers: Sequence[tuple[Endpoint, Verdict]]) -> str:
    hosts = shortened([host for (host, _), _ in answers])
    issuers = ", ".join(sorted({verdict.issuer for _, verdict in answers if verdict.issuer}))
    inspected = " (it inspects TLS)" if answers[0][1].kind == "tls-inspected" else ""
    by = f"; certificates of {issuers}{inspected}, trusted" if issuers else ""
    slowest = max(verdict.seconds for _, verdict in answers) * 1000
    return f"opens tunnels within {slowest:.0f} ms to {hosts}{by}"
