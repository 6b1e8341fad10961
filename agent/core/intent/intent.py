"""The Intent: which proxy, and what is reached without it.  Pure; composed from Settings and Facts alone."""

from __future__ import annotations

import hashlib
import ipaddress
from functools import partial
from types import MappingProxyType

import attrs

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent import reachability
from agent.core.intent.reachability import ProbeResults
from agent.core.net.aws_endpoints import cluster_endpoint_suffixes, service_names
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.core.noproxy import entries as no_proxy
from agent.core.noproxy.entries import Entry
from agent.core.settings.schema import Settings

#: What EKS chooses when the owner chose nothing; the second when the VPC itself lies in 10.0.0.0/8.
#: Source: KubernetesNetworkConfigRequest in the EKS API reference, and bootstrap.sh of
#: amazon-eks-ami.
_SERVICE_CIDR = "10.100.0.0/16"
_SERVICE_CIDR_IN_TEN = "172.20.0.0/16"


@attrs.frozen
class Intent:
    """What the whole node shall believe."""

    http_proxy: ProxyUrl
    https_proxy: ProxyUrl
    no_proxy: tuple[Entry, ...]
    credentials: Credentials | None = attrs.field(default=None, repr=False)
    warnings: tuple[str, ...] = ()

    def variables(self, *, secret: bool) -> tuple[tuple[str, str], ...]:
        """The six variables in the order of the files, the long ones last; with the credentials only if `secret`.

        Both cases, equal: Go prefers upper case, the others lower; curl ignores HTTP_PROXY, wget
        reads lower case only.
        """
        credentials = self.credentials if secret else None
        http, https = self.http_proxy.with_credentials(credentials), self.https_proxy.with_credentials(credentials)
        bypass = no_proxy.render(self.no_proxy)
        return (
            ("http_proxy", http),
            ("HTTP_PROXY", http),
            ("https_proxy", https),
            ("HTTPS_PROXY", https),
            ("no_proxy", bypass),
            ("NO_PROXY", bypass),
        )

    def digest(self) -> str:
        """A short name of this Intent, the same on every node with the same values; credentials are no part of it."""
        text = "\n".join("{}={}".format(*pair) for pair in self.variables(secret=False))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def compose(
    settings: Settings,
    facts: Facts,
    cluster_info: ClusterInfo,
    credentials: Credentials | None = None,
    answers: ProbeResults = MappingProxyType({}),
    chosen: ProxyUrl | None = None,
) -> Intent | None:
    """The Intent, or None when no proxy is set, which is a valid state.

    `chosen` is the one of proxy.url that is in use; the first without it.

    `answers` is what was seen of the hosts that `direct.candidates` names, where the settings leave
    it to that.
    """
    if not settings.proxy.url:
        return None
    http_proxy = chosen or settings.proxy.url[0]
    vpc_cidrs = settings.vpc.cidrs if settings.vpc.cidrs is not None else facts.vpc_cidrs_v4 + facts.vpc_cidrs_v6
    entries = no_proxy.compose(
        vpc_cidrs=vpc_cidrs,
        service_cidrs=service_cidrs(settings, vpc_cidrs, cluster_info),
        cluster_domain=settings.cluster.domain,
        api_endpoints=_api_endpoints(settings, facts, cluster_info, vpc_cidrs, answers),
        aws=_aws(settings, facts, answers),
        owner=settings.proxy.no_proxy,
    )
    return Intent(
        http_proxy,
        settings.proxy.https_url or http_proxy,
        entries,
        credentials,
        _warnings(settings, entries, credentials),
    )


def service_cidrs(settings: Settings, vpc_cidrs: tuple[str, ...], cluster_info: ClusterInfo) -> tuple[str, ...]:
    """The owner's word, else what the node knows of its cluster, else EKS's own rule."""
    if settings.cluster.service_cidr != "auto":
        return (settings.cluster.service_cidr,)
    if cluster_info.service_cidrs:
        return cluster_info.service_cidrs
    ten = ipaddress.IPv4Network("10.0.0.0/8")
    inside = (ipaddress.ip_network(cidr).subnet_of(ten) for cidr in vpc_cidrs if ":" not in cidr)  # type: ignore[arg-type]
    return (_SERVICE_CIDR_IN_TEN if any(inside) else _SERVICE_CIDR,)


def endpoint_host(settings: Settings, cluster_info: ClusterInfo) -> str:
    """The API server's host, empty when unknown."""
    return settings.cluster.endpoint or cluster_info.endpoint


def _api_endpoints(
    settings: Settings, facts: Facts, cluster_info: ClusterInfo, vpc_cidrs: tuple[str, ...], answers: ProbeResults
) -> tuple[str, ...]:
    """The host when it is private; while it is unknown, all API endpoints of the region count as private."""
    access, host = settings.cluster.endpoint_access, endpoint_host(settings, cluster_info)
    if access == "public" or (access == "auto" and host and not reachability.is_private(host, vpc_cidrs, answers)):
        return ()
    if host:
        return (host,)
    ipv6 = any(":" in cidr for cidr in vpc_cidrs)  # an IPv6 cluster needs a VPC with IPv6
    return cluster_endpoint_suffixes(facts.region, facts.domain, facts.partition, ipv6=ipv6)


def _aws(settings: Settings, facts: Facts, answers: ProbeResults) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Reason and names of what AWS serves directly: the owner's list, or what answered."""
    if settings.aws.direct is None:
        found = reachability.services(reachability.candidates(settings, facts, ""), answers)
        return tuple(("direct:" + service, names) for service, names in found)
    names = partial(service_names, region=facts.region, domain=facts.domain, partition=facts.partition)
    return tuple(("aws:" + service, names(service)) for service in settings.aws.direct)


def _warnings(settings: Settings, entries: tuple[Entry, ...], credentials: Credentials | None) -> tuple[str, ...]:
    found = []
    length = len("no_proxy=" + no_proxy.render(entries))
    limit = no_proxy.PAM_LINE_LIMIT
    if length > limit:
        found.append(f"NO_PROXY makes a line of {length} bytes in /etc/environment; pam_env ignores lines over {limit}")
    if credentials and settings.node.yum and settings.proxy.credentials_in_yum:
        found.append("yum.conf holds the credentials and has mode 0600: dnf ignores it without a word for other users")
    elif credentials and settings.node.yum:
        text = "yum.conf gets the proxy without its credentials; proxy.credentials_in_yum = true puts them there"
        found.append(text + ", and makes the file 0600")
    return tuple(found)
