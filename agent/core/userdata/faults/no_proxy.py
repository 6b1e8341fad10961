"""Faults of a NO_PROXY list that a script writes, perhaps with variables.  Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence

from agent.core.facts.cluster_hints import METADATA_ADDRESS
from agent.core.userdata.document import Fault
from agent.core.userdata.readers.cloud_init import CloudInitPart

_ASSIGNMENT = re.compile(r"""(?im)\bno_proxy["']?[ \t]*[=:][ \t]*["']?([^\s"']+)""")
#: Not a list: one variable, or settings of the agent, which begin with a bracket.
_VARIABLE = re.compile(r"\$\{?\w+\}?|\[.*")
#: A region in the name of an AWS service.
_REGION = re.compile(
    r"(?:\.|-|\A)([a-z]{2}(?:-[a-z]+)+-[0-9])(?=\.(?:[a-z0-9.-]+\.)?(?:amazonaws\.com|api\.aws|on\.aws))"
)
#: Rules of this file; entries of one list, and characters of an entry, that are read.
_RULES, _ENTRIES, _LONGEST = 3, 1000, 300
_SERVICE_WORD = re.compile(r"(?i)\$\{?\w*(?:serv|svc|cluster)\w*")


def faults_of_lists(part: CloudInitPart, service_cidrs: Sequence[str], region: str) -> Iterator[Fault]:
    """Yield each kind of fault once.

    `service_cidrs` and `region` are those of the cluster, if they are known.  Without a region, a
    script that queries the metadata service is taken for one that should work in any region.
    """
    text = part.content.decode("latin-1")
    is_general = bool(region) or "latest/meta-data" in text
    seen: set[str] = set()
    for match in _ASSIGNMENT.finditer(text):
        if len(seen) == _RULES or _VARIABLE.fullmatch(match[1]):
            continue
        entries = [entry.strip() for entry in match[1].split(",", _ENTRIES)]
        faults = [*_faults(entries, service_cidrs), *(_literal_regions(entries, region) if is_general else ())]
        for rule, problem, remedy in faults:
            if rule not in seen:
                yield Fault(rule, problem, remedy, part.number, part.at(match.start()))
            seen.add(rule)


def _literal_regions(entries: list[str], region: str) -> Iterator[tuple[str, str, str]]:
    regions = sorted({match[1] for entry in entries for match in _REGION.finditer(entry[:_LONGEST])} - {region})
    if regions:
        problem = f"NO_PROXY has host names of the region {', '.join(regions)}; in another region they match nothing"
        yield "literal-region", problem, "take the region from the metadata service, or let the agent compose the list"


def _faults(entries: list[str], service_cidrs: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    if not any(_covers(entry, METADATA_ADDRESS) for entry in entries):
        text = f"NO_PROXY lacks the metadata service, {METADATA_ADDRESS}; clients query it through the proxy"
        yield "no-metadata", text, f"add {METADATA_ADDRESS}"
    if not _has_service_cidr(entries, service_cidrs):
        text = "NO_PROXY lacks the service CIDR of the cluster; programs of the node reach no service"
        known = ", ".join(service_cidrs)
        yield "no-service-cidr", text, f"add {known or '10.100.0.0/16 or 172.20.0.0/16, the defaults of EKS'}"


def _has_service_cidr(entries: list[str], service_cidrs: Sequence[str]) -> bool:
    """Return True if the list may have it: a variable named so, or a network that covers it."""
    if any(entry == "*" or _SERVICE_WORD.search(entry) for entry in entries):
        return True
    if service_cidrs:
        return all(any(_covers(entry, cidr) for entry in entries) for cidr in service_cidrs)
    return any("/" in entry and not entry.startswith(("169.254.", "127.")) and _network(entry) for entry in entries)


def _covers(entry: str, value: str) -> bool:
    if entry in ("*", value):
        return True
    outer, inner = _network(entry), _network(value)
    if outer is None or inner is None or outer.version != inner.version:
        return False
    return inner.network_address in outer and inner.prefixlen >= outer.prefixlen


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
