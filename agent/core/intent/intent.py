"""The Intent: the proxy, and the destinations that bypass it.

Pure; it is composed from settings, facts and the results of probes alone.
"""

from __future__ import annotations

import hashlib
import ipaddress
from types import MappingProxyType

from agent.core.facts.cluster_hints import ClusterInfo, unknown_service_cidr
from agent.core.facts.instance import Facts
from agent.core.intent import reachability
from agent.core.intent.reachability import ProbeResults
from agent.core.net.aws_endpoints import cluster_endpoint_suffixes
from agent.core.net.proxy_url import Credentials, ProxyUrl, is_percent_encoded
from agent.core.noproxy import entries as no_proxy
from agent.core.noproxy.entries import Entry
from agent.core.record import field, record
from agent.core.settings.schema import Settings

#: The service CIDR that EKS chooses if the operator does not; the second one if the VPC itself is
#: in 10.0.0.0/8.  Source: KubernetesNetworkConfigRequest in the EKS API reference, and bootstrap.sh
#: of amazon-eks-ami.
_SERVICE_CIDR = "10.100.0.0/16"
_SERVICE_CIDR_IN_TEN = "172.20.0.0/16"


@record
class Intent:
    """The proxy variables that every process of the node should have."""

    http_proxy: ProxyUrl
    https_proxy: ProxyUrl
    no_proxy: tuple[Entry, ...]
    credentials: Credentials | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()

    def variables(self, *, secret: bool) -> tuple[tuple[str, str], ...]:
        """Return the six variables in the order of the files, the long ones last.

        They have the credentials only if `secret`.  Both spellings have the same value: Go prefers
        upper case, the others lower case; curl ignores HTTP_PROXY, and wget reads lower case only.
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
        """Return a short identifier of this Intent, equal on all nodes with the same values.

        It does not include the credentials.
        """
        text = "\n".join(f"{name}={value}" for name, value in self.variables(secret=False))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def compose(
    settings: Settings,
    facts: Facts,
    cluster_info: ClusterInfo,
    credentials: Credentials | None = None,
    results: ProbeResults = MappingProxyType({}),
    chosen: ProxyUrl | None = None,
) -> Intent | None:
    """Return the Intent, or None if no proxy is set, which is a valid state.

    `results` are the probes of the hosts of `reachability.candidates`, for settings that depend on
    them.  `chosen` is the element of proxy.url that is in use; None means the first.
    """
    if not settings.proxy.url:
        return None
    http_proxy = chosen or settings.proxy.url[0]
    vpc_cidrs = settings.vpc.cidrs if settings.vpc.cidrs is not None else facts.vpc_cidrs_v4 + facts.vpc_cidrs_v6
    services = service_cidrs(settings, vpc_cidrs, cluster_info)
    guess = unknown_service_cidr(cluster_info, vpc_cidrs, services[0])
    guess = guess if settings.cluster.service_cidr == "auto" else ""
    entries = no_proxy.compose(
        vpc_cidrs=vpc_cidrs,
        pod_cidrs=settings.vpc.pod_cidrs,
        service_cidrs=services,
        cluster_domain=settings.cluster.domain,
        api_endpoints=_api_endpoints(settings, facts, cluster_info, vpc_cidrs, results),
        aws=_aws(settings, facts, results),
        operator=settings.proxy.no_proxy,
    )
    return Intent(
        http_proxy,
        settings.proxy.https_url or http_proxy,
        entries,
        credentials,
        (*_warnings(settings, entries, credentials), *filter(None, [guess])),
    )


def service_cidrs(settings: Settings, vpc_cidrs: tuple[str, ...], cluster_info: ClusterInfo) -> tuple[str, ...]:
    """Return the service CIDRs of the settings, else of the cluster, else EKS's default."""
    if settings.cluster.service_cidr != "auto":
        return (settings.cluster.service_cidr,)
    if cluster_info.service_cidrs:
        return cluster_info.service_cidrs
    ten = ipaddress.IPv4Network("10.0.0.0/8")
    in_ten = (ipaddress.ip_network(cidr).subnet_of(ten) for cidr in vpc_cidrs if ":" not in cidr)  # type: ignore[arg-type]
    return (_SERVICE_CIDR_IN_TEN if any(in_ten) else _SERVICE_CIDR,)


def endpoint_host(settings: Settings, cluster_info: ClusterInfo) -> str:
    """Return the API server's host, empty if unknown."""
    return settings.cluster.endpoint or cluster_info.endpoint


def _api_endpoints(
    settings: Settings, facts: Facts, cluster_info: ClusterInfo, vpc_cidrs: tuple[str, ...], results: ProbeResults
) -> tuple[str, ...]:
    """Return the API server's host if it is private.

    While the host is unknown, return the suffixes of all API endpoints of the region.
    """
    access, host = settings.cluster.endpoint_access, endpoint_host(settings, cluster_info)
    if access == "public" or (access == "auto" and host and not reachability.is_private(host, vpc_cidrs, results)):
        return ()
    if host:
        return (host,)
    ipv6 = any(":" in cidr for cidr in vpc_cidrs)  # an IPv6 cluster needs a VPC with IPv6
    return cluster_endpoint_suffixes(facts.region, facts.domain, facts.partition, ipv6=ipv6)


def _aws(settings: Settings, facts: Facts, results: ProbeResults) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return pairs of a reason and the names of a direct AWS service.

    The services (or single hosts) are those of aws.direct, or those whose probes succeeded.
    """
    if settings.aws.direct is None:
        services = reachability.direct_services(reachability.candidates(settings, facts, ""), results)
        return tuple(("direct:" + service, names) for service, names in services)
    return tuple(("aws:" + service, reachability.names_of(service, facts)) for service in settings.aws.direct)


def _warnings(settings: Settings, entries: tuple[Entry, ...], credentials: Credentials | None) -> tuple[str, ...]:
    warnings = []
    length = len("no_proxy=" + no_proxy.render(entries))
    limit = no_proxy.PAM_LINE_LIMIT
    if length > limit:
        warnings.append(
            f"NO_PROXY: its line in /etc/environment has {length} bytes; "
            f"pam_env ignores a line over {limit} bytes and all lines after it"
        )
    if credentials and is_percent_encoded(credentials):
        warnings.append(
            "proxy credentials: look percent-encoded; if they are, write USER:PASSWORD as they are: the agent encodes them"
        )
    if credentials and settings.node.yum and settings.proxy.credentials_in_yum:
        warnings.append("yum.conf: has the proxy's credentials and mode 0600; dnf silently ignores it for other users")
    elif credentials and settings.node.yum:
        warnings.append(
            "yum.conf: has the proxy without its credentials; "
            "to add them and set mode 0600, set proxy.credentials_in_yum = true"
        )
    return tuple(warnings)
