"""What might be reached without the proxy, and what follows from the answers.

A direct TCP connection on port 443 that is accepted shows an interface endpoint, S3's gateway
endpoint and a private API endpoint alike, needs no AWS call, and lets no black hole into NO_PROXY.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import attrs

from agent.core.facts.instance import Facts
from agent.core.net.aws_endpoints import SERVICES, service_names
from agent.core.settings.schema import Settings


@attrs.frozen
class Candidate:
    """A name for NO_PROXY (`entry`), the service behind it, and the host to try, which is mostly the same."""

    service: str
    entry: str
    host: str


@attrs.frozen
class ProbeResult:
    """What was seen of a host."""

    direct: bool = False
    addresses: tuple[str, ...] = ()


ProbeResults = Mapping[str, ProbeResult]


def candidates(settings: Settings, facts: Facts, endpoint: str) -> tuple[Candidate, ...]:
    """What has to be tried; nothing when the settings answer it all.  `endpoint` is the API server's host, if known."""
    found: list[Candidate] = []
    if settings.aws.direct is None:
        names = partial(service_names, region=facts.region, domain=facts.domain, partition=facts.partition)
        found += [Candidate(service, name, host_to_try(name, facts)) for service in SERVICES for name in names(service)]
    if settings.cluster.endpoint_access == "auto" and endpoint:
        found.append(Candidate("api-endpoint", endpoint, endpoint))
    return tuple(found)


def services(wanted: Sequence[Candidate], answers: ProbeResults) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Service and names of the candidates that answered."""
    direct = [one for one in wanted if one.service != "api-endpoint" and answers.get(one.host, ProbeResult()).direct]
    names = dict.fromkeys(one.service for one in direct)
    return tuple((name, tuple(one.entry for one in direct if one.service == name)) for name in names)


def is_private(endpoint: str, vpc_cidrs: Iterable[str], answers: ProbeResults) -> bool:
    """Whether the API server is reached directly: it answered, or its addresses lie in the VPC and nothing answers yet.

    A host of which no address is known counts as private too, as one that nobody has named: DNS may
    be late.
    """
    answer = answers.get(endpoint, ProbeResult())
    networks = [ipaddress.ip_network(cidr) for cidr in vpc_cidrs]
    inside = (any(ipaddress.ip_address(address) in network for network in networks) for address in answer.addresses)
    return answer.direct or not answer.addresses or any(inside)


def host_to_try(name: str, facts: Facts) -> str:
    """Registries answer under the account's name only."""
    return f"{facts.account}.{name}" if facts.account and name.startswith(("dkr.ecr.", "dkr-ecr.")) else name
