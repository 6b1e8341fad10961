"""Proxies and NO_PROXY for programs of a stock image, before the agent is there.  Pure."""

from __future__ import annotations

from agent.core.cluster.facts import facts_of_settings, region_of
from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.intent.intent import compose, endpoint_host
from agent.core.net.proxy_url import ProxyUrl
from agent.core.noproxy import entries
from agent.core.record import evolve, record
from agent.core.settings.schema import Settings

_WITHOUT_REGION = (
    "aws.direct: the hosts of services are unknown without --region; "
    "until the agent is installed they are reached through the proxy"
)


@record
class EarlyProxy:
    """The proxies in order of preference, for http:// and for https:// URLs, and NO_PROXY.

    NO_PROXY has what the settings name.  The agent adds the CIDRs of the VPC and what it probes.
    `warnings` say what is left out.
    """

    http: tuple[ProxyUrl, ...]
    https: tuple[ProxyUrl, ...]
    no_proxy: str
    warnings: tuple[str, ...] = ()


def early_proxy(settings: Settings, region: str, cluster_info: ClusterInfo) -> EarlyProxy:
    """Return the proxies and NO_PROXY of these settings, in a region; "" if it is unknown."""
    region = region or region_of(endpoint_host(settings, cluster_info))
    warnings: tuple[str, ...] = ()
    known = settings
    if not region:
        hosts = tuple(name for name in settings.aws.direct or () if "." in name)
        if settings.aws.direct is not None and hosts != settings.aws.direct:
            warnings = (_WITHOUT_REGION,)
        known = evolve(settings, aws=evolve(settings.aws, direct=hosts))
        if not endpoint_host(settings, cluster_info):
            known = evolve(known, cluster=evolve(settings.cluster, endpoint_access="public"))
    intent = compose(known, facts_of_settings(known, region), cluster_info)
    proxy = settings.proxy
    return EarlyProxy(
        proxy.url,
        (proxy.https_url,) if proxy.https_url else proxy.url,
        entries.render(intent.no_proxy) if intent else "",
        warnings,
    )
