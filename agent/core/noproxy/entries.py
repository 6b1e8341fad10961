"""NO_PROXY: each thing in its most portable form, each entry with the reason why it is there.

Clients read NO_PROXY in different dialects.  Portable are a bare name (covers its subdomains), an
exact IPv4 address, an IPv6 address in both spellings (curl and Go compare without brackets, urllib
and botocore with), commas without blanks.  A CIDR is understood by Go and newer curl only, but
nothing better exists for a network.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Callable, Union

import attrs

from agent.core.net import addresses
from agent.core.net.proxy_url import is_host_name, quoted

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

#: pam_env ignores a longer line of /etc/environment, and every line after it (Linux-PAM 1.3.1 and
#: later).
PAM_LINE_LIMIT = 8190


@attrs.frozen(order=True)
class Entry:
    """One entry of NO_PROXY and its reason (`vpc`, `service-cidr`, `metadata`, `aws:s3`, `owner`, ...)."""

    value: str
    reason: str


@attrs.frozen
class OwnerEntry:
    """A valid entry of the owner's: its spellings in NO_PROXY, and what to warn of."""

    spellings: tuple[str, ...]
    warning: str = ""


#: Always reached directly.  169.254.170.2 is the ECS credentials endpoint, 169.254.170.23 and
#: fd00:ec2::23 that of EKS Pod Identity.
_ALWAYS: tuple[tuple[str, str], ...] = (
    ("localhost", "loopback"),
    ("127.0.0.1", "loopback"),
    ("::1", "loopback"),
    ("169.254.169.254", "metadata"),
    ("fd00:ec2::254", "metadata"),
    ("169.254.170.2", "credentials"),
    ("169.254.170.23", "credentials"),
    ("fd00:ec2::23", "credentials"),
    (".internal", "internal"),
    (".svc", "cluster-domain"),
    (".cluster.local", "cluster-domain"),
)


def compose(
    *,
    vpc_cidrs: Iterable[str] = (),
    service_cidrs: Iterable[str] = (),
    cluster_domain: str = "cluster.local",
    api_endpoints: Iterable[str] = (),
    aws: Iterable[tuple[str, Iterable[str]]] = (),
    owner: Iterable[OwnerEntry] = (),
) -> tuple[Entry, ...]:
    """The whole list, sorted by kind and within a kind, each value once (the first kind that names it gives the reason).

    `vpc_cidrs` and `service_cidrs` are canonical CIDRs, `api_endpoints` hosts or suffixes with a
    leading dot, `aws` pairs of a reason (`aws:s3`) and names.  The order of the inputs does not
    matter.
    """
    found: list[Entry] = [Entry(spelling, reason) for value, reason in _ALWAYS for spelling in spellings(value)]
    if cluster_domain:
        found.append(Entry("." + cluster_domain, "cluster-domain"))
    found += _sorted(vpc_cidrs, "vpc", _network_order)
    found += _sorted(service_cidrs, "service-cidr", _network_order)
    found += [Entry(spelling, "api-endpoint") for host in sorted(api_endpoints) for spelling in spellings(host)]
    found += [
        Entry(name, reason) for reason, name in sorted({(reason, name) for reason, names in aws for name in names})
    ]
    found += _sorted((spelling for entry in owner for spelling in entry.spellings), "owner", str)
    first: dict[str, Entry] = {}
    for entry in found:
        first.setdefault(entry.value, entry)
    return tuple(first.values())


def render(entries: Iterable[Entry]) -> str:
    """The value of the variable: commas, no blanks (curl 8.9 and later do not split at blanks)."""
    return ",".join(entry.value for entry in entries)


def spellings(value: str) -> tuple[str, ...]:
    """An IPv6 address is needed without and with brackets; everything else has one spelling."""
    return (value, f"[{value}]") if ":" in value and "/" not in value else (value,)


def parse_owner_entry(text: str) -> OwnerEntry:
    """Read an entry of proxy.no_proxy: NAME, .NAME, address or CIDR, each perhaps with :PORT (which warns).

    Raises ValueError that says what is allowed instead.
    """
    if not text or any(not 0x21 <= ord(char) <= 0x7E or char == "," for char in text):
        raise ValueError(
            f"{quoted(text)} has a blank, a comma, a control or a non-ASCII character; write one entry for each host"
        )
    if "*" in text:
        better = text.lstrip("*") if text.startswith("*.") else ".example.com"
        raise ValueError(f"{quoted(text)} has a *, which clients read differently; write {quoted(better)}")
    if "://" in text:
        raise ValueError(f"{quoted(text)} is a URL; write the host alone")
    value = text.lower()
    if _network(value) is not None:
        canonical = canonical_cidr(value)
        return OwnerEntry((canonical,), "" if canonical == value else f"{quoted(text)} is written as {canonical}")
    address = _address(value.strip("[]") if value.startswith("[") and value.endswith("]") else value)
    if address is not None:
        return OwnerEntry(spellings(address))
    host, port = _split_port(value)
    bare = host[:-1] if host.endswith(".") else host
    if _address(bare) is None and not is_host_name(bare[1:] if bare.startswith(".") else bare):
        raise ValueError(f"{quoted(text)} is no host name, .suffix, address or CIDR")
    if port is None:
        return OwnerEntry((bare,))
    return OwnerEntry((bare + ":" + port,), f"{quoted(text)} has a port: curl and wget never match such an entry")


def canonical_cidr(text: str) -> str:
    """`10.0.0.1/16` → `10.0.0.0/16`; raises ValueError for what is no CIDR, and for a CIDR of every address."""
    network = _network(text)
    if network is None:
        raise ValueError(f"{quoted(text)} is no CIDR such as 10.0.0.0/16 or 2600:1f16::/56")
    if network.prefixlen == 0:
        raise ValueError(f"{quoted(text)} would bypass the proxy for every address")
    return str(network)


def _network(text: str) -> Network | None:
    if not re.fullmatch(r"[0-9a-fA-F:.]+/[0-9]{1,3}", text):
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _address(text: str) -> str | None:
    """The address as inet_ntop(3) writes it, on every Python; a zone index is none that a client reads."""
    if addresses.ipv4(text):
        return text
    found = addresses.ipv6(text)
    return addresses.canonical(found) if found else None


def _split_port(text: str) -> tuple[str, str | None]:
    match = re.fullmatch(r"(.+):([0-9]{1,5})", text)
    if match is None or not 1 <= int(match.group(2)) <= 65535 or ":" in match.group(1):
        return text, None
    return match.group(1), match.group(2)


def _network_order(cidr: str) -> tuple[int, int, int]:
    network = ipaddress.ip_network(cidr)
    return network.version, int(network.network_address), network.prefixlen


def _sorted(values: Iterable[str], reason: str, order: Callable[[str], object]) -> list[Entry]:
    return [Entry(value, reason) for value in sorted(set(values), key=order)]  # type: ignore[arg-type]
