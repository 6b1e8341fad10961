"""Tunnels through the proxy to the endpoints that a node needs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from agent.checks.context import NEEDS_ROOT, CheckedNode
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.core.intent.intent import endpoint_host
from agent.core.intent.probe_targets import endpoints, first_endpoint
from agent.core.net.proxy_health import Verdict
from agent.core.net.proxy_url import ProxyUrl
from agent.core.record import record
from agent.edges.proxy_probe import probe_each

GROUP = "proxy"
#: Seconds for all health checks of one proxy together.
BOUND = 3.0

Endpoint = tuple[str, int]


@record
class ProxyEndpoints:
    """A proxy and the endpoints to request through it.

    `failure_state`: the state of the finding if it does not open a tunnel.  `is_required`: the node
    reaches these endpoints only through the proxy; otherwise the proxy only has to be up.
    """

    proxy: ProxyUrl
    endpoints: Sequence[Endpoint]
    failure_state: str = FAIL
    tls: bool = True
    is_required: bool = True


def check(node: CheckedNode) -> Iterator[Finding]:
    """Report one finding for each proxy and each different result.

    Endpoints that fail alike, with the same hint, have the same cause.
    """
    requests = _requests(node)
    credentials = node.intent.credentials

    def probe(request: ProxyEndpoints) -> tuple[Verdict, ...]:
        return probe_each(request.proxy, request.endpoints, credentials, timeout=BOUND, tls=request.tls)

    with ThreadPoolExecutor(len(requests)) as pool:
        for request, verdicts in zip(requests, pool.map(probe, requests)):
            yield from _findings(request, verdicts, has_credentials=not node.is_from_status)


def _requests(node: CheckedNode) -> list[ProxyEndpoints]:
    """Return what to request.

    The proxy in use gets all endpoints and decides.  The others of proxy.url are spares, for which
    one endpoint is enough.
    """
    intent, settings, facts = node.intent, node.settings, node.resolved.facts
    first = [first_endpoint(settings, facts, intent)]
    through_proxy = endpoints(settings, facts, intent)
    is_required = bool(through_proxy)
    requests = [ProxyEndpoints(intent.https_proxy, through_proxy or first, tls=is_required, is_required=is_required)]
    api = endpoint_host(settings, node.resolved.inputs.cluster_info)
    if api and not any(entry.reason == "api-endpoint" for entry in intent.no_proxy):
        # Without TLS: its certificate is issued by the cluster's own CA, not trusted here.
        requests.append(ProxyEndpoints(intent.https_proxy, [(api, 443)], tls=False))
    if intent.http_proxy != intent.https_proxy:
        requests.append(ProxyEndpoints(intent.http_proxy, first))
    in_use = (intent.http_proxy, intent.https_proxy)
    return requests + [ProxyEndpoints(spare, first, WARN) for spare in settings.proxy.url if spare not in in_use]


def _findings(request: ProxyEndpoints, verdicts: Sequence[Verdict], *, has_credentials: bool) -> Iterator[Finding]:
    """Turn verdicts into findings.

    `has_credentials`: the credentials were sent, if the settings have any.
    """
    name = str(request.proxy)
    alike: dict[tuple[str, str], list[tuple[Endpoint, Verdict]]] = {}
    for endpoint, verdict in zip(request.endpoints, verdicts):
        alike.setdefault((verdict.kind, verdict.hint.replace(endpoint[0], "")), []).append((endpoint, verdict))
    for results in alike.values():
        first = results[0][1]
        if first.ok:
            yield Finding(GROUP, name, OK, _tunnels(results))
            continue
        if first.kind == "credentials" and not has_credentials:
            yield Finding(GROUP, name, SKIP, f"requires credentials (407); reading them {NEEDS_ROOT}")
            continue
        text = first.text[len(f"{request.proxy}: ") :]  # the finding's name is the proxy already
        if not request.is_required and first.kind in ("denied", "upstream"):
            text += "; the proxy is up, and no known endpoint requires it"
            yield Finding(GROUP, name, SKIP, text, "set check.endpoints to the endpoints that it must reach")
            continue
        text += _other_endpoints(results, len(request.endpoints))
        yield Finding(GROUP, name, request.failure_state, text, first.hint, topic=first.kind)


def shortened(hosts: Sequence[str]) -> str:
    """List host names with their common suffix once: `eks, s3 (.eu-west-1.amazonaws.com)`."""
    reversed_labels = [host.split(".")[::-1] for host in hosts]
    alike = list(itertools.takewhile(lambda labels: len(set(labels)) == 1, zip(*reversed_labels)))
    suffix = "".join("." + labels[0] for labels in reversed(alike))
    if len(hosts) < 2 or len(alike) < 2 or len(alike) == min(map(len, reversed_labels)) or suffix[-1].isdigit():
        return ", ".join(hosts)
    return f"{', '.join(host[: -len(suffix)] for host in hosts)} ({suffix})"


def _other_endpoints(results: Sequence[tuple[Endpoint, Verdict]], total: int) -> str:
    """Name the endpoints with the same result as the first, out of `total` endpoints."""
    if len(results) == total:
        return f"; the same for all {total} endpoints" if total > 1 else ""
    others = [host for (host, _), _ in results[1:]]
    return "; the same for " + ", ".join(others) if others else ""


def _tunnels(results: Sequence[tuple[Endpoint, Verdict]]) -> str:
    hosts = shortened([host for (host, _), _ in results])
    issuers = ", ".join(sorted({verdict.issuer for _, verdict in results if verdict.issuer}))
    inspects = " (the proxy inspects TLS)" if results[0][1].kind == "tls-inspected" else ""
    certificates = f"; trusted certificates issued by {issuers}{inspects}" if issuers else ""
    slowest = max(verdict.seconds for _, verdict in results) * 1000
    return f"opens tunnels within {slowest:.0f} ms to {hosts}{certificates}"
