"""Candidates for direct access, and the conclusions from their probes.

A probe is a direct TCP connection to port 443.  If it is accepted, there is an interface endpoint,
S3's gateway endpoint or a private API endpoint.  A probe needs no AWS API call, and keeps
unreachable destinations out of NO_PROXY.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agent.core.facts.instance import Facts
from agent.core.net.aws_endpoints import SERVICES, service_names
from agent.core.record import record
from agent.core.settings.schema import Settings


@record
class Candidate:
    """A name for NO_PROXY (`entry`), its service, and the host to probe.

    The host is mostly the same as the entry.
    """

    service: str
    entry: str
    host: str


@record
class ProbeResult:
    """Result of one probe of a host.

    `addresses` are those of its name; empty if it was not resolved.
    """

    direct: bool = False
    addresses: tuple[str, ...] = ()


ProbeResults = Mapping[str, ProbeResult]


def results_from_json(data: Mapping[str, Any]) -> dict[str, ProbeResult]:
    """Return the results from the JSON of `asdict`, by host.

    Raises ValueError for invalid data.
    """
    try:
        return {
            host: ProbeResult(
                bool(result["direct"]), tuple(str(ipaddress.ip_address(text)) for text in result["addresses"])
            )
            for host, result in data.items()
        }
    except (KeyError, TypeError) as error:
        raise ValueError(f"results of probes: {error!r}") from None


def candidates(settings: Settings, facts: Facts, endpoint: str) -> tuple[Candidate, ...]:
    """Return the hosts to probe, none if the settings are explicit.

    `endpoint` is the API server's host, empty if unknown.
    """
    hosts: list[Candidate] = []
    if settings.aws.direct is None:
        hosts += [
            Candidate(service, name, host_to_probe(name, facts))
            for service in SERVICES
            for name in names_of(service, facts)
        ]
    if settings.cluster.endpoint_access == "auto" and endpoint:
        hosts.append(Candidate("api-endpoint", endpoint, endpoint))
    return tuple(hosts)


def names_of(service: str, facts: Facts) -> tuple[str, ...]:
    """Return the DNS names of a service, or of a single host of aws.direct, for this instance."""
    if service not in SERVICES:
        return (service,)
    return service_names(service, facts.region, facts.domain, facts.partition, fips=facts.fips)


def direct_services(probed: Sequence[Candidate], results: ProbeResults) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return each service with its direct names, without the API server."""
    direct = [
        candidate
        for candidate in probed
        if candidate.service != "api-endpoint" and results.get(candidate.host, ProbeResult()).direct
    ]
    services = dict.fromkeys(candidate.service for candidate in direct)
    return tuple(
        (service, tuple(candidate.entry for candidate in direct if candidate.service == service))
        for service in services
    )


def is_private(endpoint: str, vpc_cidrs: Iterable[str], results: ProbeResults) -> bool:
    """Return True if the API server is reached directly.

    Its probe succeeded, or one of its addresses is in the VPC, because the server may not be up
    yet.  A host without a known address, or without a result, counts as private too: DNS may not be
    up yet.
    """
    result = results.get(endpoint, ProbeResult())
    networks = [ipaddress.ip_network(cidr) for cidr in vpc_cidrs]
    in_vpc = (any(ipaddress.ip_address(address) in network for network in networks) for address in result.addresses)
    return result.direct or not result.addresses or any(in_vpc)


def host_to_probe(name: str, facts: Facts) -> str:
    """Return the host behind a name: that of the account for a registry, which has no other."""
    return f"{facts.account}.{name}" if facts.account and name.startswith(("dkr.ecr", "dkr-ecr")) else name
