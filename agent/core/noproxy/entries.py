"""Entries of NO_PROXY, each in its most portable form and with its reason.

Clients read NO_PROXY in different dialects.  These forms are portable: a name without a leading dot
(covers its subdomains too), an exact IPv4 address, an IPv6 address in both spellings (curl and Go
compare without brackets, urllib and botocore with brackets), commas without blanks.  Not every
client reads a CIDR (Go, newer curl and requests do), but there is no better form for a network.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Union

from agent.core.net import addresses
from agent.core.net.proxy_url import is_host_name, quoted
from agent.core.record import record

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

#: Bytes. pam_env ignores a longer line of /etc/environment and every line after it (Linux-PAM 1.3.1
#: and later).
PAM_LINE_LIMIT = 8190


@record
class Entry:
    """An entry of NO_PROXY and its reason.

    Reasons are `vpc`, `pod-cidr`, `service-cidr`, `service-address` (of the API server's own
    service), `metadata`, `aws:s3`, `owner` (the operator's) and so on.
    """

    value: str
    reason: str


@record
class OperatorEntry:
    """A valid entry of the operator: its spellings in NO_PROXY, and a warning."""

    spellings: tuple[str, ...]
    warning: str = ""


#: Always direct.  169.254.170.2 is the ECS credentials endpoint, 169.254.170.23 and
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
    pod_cidrs: Iterable[str] = (),
    service_cidrs: Iterable[str] = (),
    cluster_domain: str = "cluster.local",
    api_endpoints: Iterable[str] = (),
    aws: Iterable[tuple[str, Iterable[str]]] = (),
    operator: Iterable[OperatorEntry] = (),
) -> tuple[Entry, ...]:
    """Return the complete list, ordered by kind and sorted within a kind, each value once.

    A value has the reason of its first kind.  `vpc_cidrs`, `pod_cidrs` and `service_cidrs` are
    canonical CIDRs, `api_endpoints` hosts or suffixes with a leading dot, `aws` pairs of a reason
    (`aws:s3`) and names.  The order of the arguments' elements does not matter.
    """
    entries: list[Entry] = [Entry(spelling, reason) for value, reason in _ALWAYS for spelling in spellings(value)]
    if cluster_domain:
        entries.append(Entry("." + cluster_domain, "cluster-domain"))
    services = _by_number(service_cidrs)
    entries += [Entry(spelling, "vpc") for cidr in _by_number(vpc_cidrs) for spelling in _portable(cidr)]
    entries += [Entry(spelling, "pod-cidr") for cidr in _by_number(pod_cidrs) for spelling in _portable(cidr)]
    entries += [Entry(spelling, "service-cidr") for cidr in services for spelling in _portable(cidr)]
    entries += [Entry(spelling, "service-address") for cidr in services for spelling in spellings(api_service(cidr))]
    entries += [Entry(spelling, "api-endpoint") for host in sorted(api_endpoints) for spelling in spellings(host)]
    entries += [
        Entry(name, reason) for reason, name in sorted({(reason, name) for reason, names in aws for name in names})
    ]
    entries += [Entry(text, "owner") for text in sorted({text for entry in operator for text in entry.spellings})]
    first: dict[str, Entry] = {}
    for entry in entries:
        first.setdefault(entry.value, entry)
    return tuple(first.values())


def render(entries: Iterable[Entry]) -> str:
    """Return the value of the variable: commas, no blanks.

    curl 8.9 and later does not split at blanks.
    """
    return ",".join(entry.value for entry in entries)


def spellings(value: str) -> tuple[str, ...]:
    """Return the spellings that clients need.

    An IPv6 address has two, without and with brackets; any other value has one.
    """
    return (value, f"[{value}]") if ":" in value and "/" not in value else (value,)


def parse_operator_entry(text: str) -> OperatorEntry:
    """Parse an entry of proxy.no_proxy: NAME, .NAME, address or CIDR.

    A name or an IPv4 address may have :PORT, which gets a warning.
    Raises ValueError; its text names the entries that are meant, or the allowed form.
    """
    try:
        return _parse(text)
    except _Refused as error:
        meant = proposals(text)
        remedy = "write " + ", ".join(map(quoted, meant)) if meant else error.remedy
        raise ValueError(f"{quoted(text)} {error.problem}" + ("; " + remedy if remedy else "")) from None


def proposals(text: str) -> tuple[str, ...]:
    """Return the valid entries that a rejected text means, none if that is unclear."""
    words = [_meant(word) for word in re.split(r"[\s,;|]+", text) if word]
    return tuple(dict.fromkeys(words)) if all(words) else ()


def _meant(word: str) -> str:
    """Return a valid entry for one host or network, or ""."""
    if "://" in word:
        word = _split_port(re.split(r"[/?#]", word.partition("://")[2])[0].rpartition("@")[2])[0]
    octets = re.fullmatch(r"((?:[0-9]{1,3}\.){1,3})(?:\*\.)*\*", word)
    if octets:
        numbers = octets.group(1).split(".")[:-1]
        word = ".".join(numbers + ["0"] * (4 - len(numbers))) + f"/{8 * len(numbers)}"
    elif word.startswith("*") and len(word) > 1:
        word = word.lstrip("*").lstrip(".")
    try:
        if re.fullmatch(r"[0-9.]+/[0-9.]+\.[0-9.]+", word):
            word = str(ipaddress.IPv4Network(word, strict=False))
        word = word if word.isascii() else word.lower().encode("idna").decode("ascii")
        _parse(word)
    except ValueError:  # UnicodeError and _Refused too
        return ""
    return word


class _Refused(ValueError):
    """The `problem` of an entry, and the `remedy` if it is unclear what is meant."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


def _parse(text: str) -> OperatorEntry:
    if not text or any(not 0x21 <= ord(char) <= 0x7E or char == "," for char in text):
        raise _Refused("contains a blank, comma, control or non-ASCII character", "write one entry for each host")
    if text == "*":
        raise _Refused("would bypass the proxy for every host", "write the hosts and networks that are direct")
    if "*" in text:
        raise _Refused("contains *, which clients read differently", "write each host, or the domain of all of them")
    if "://" in text:
        raise _Refused("is a URL", "write only the host")
    value = text.lower()
    if _network(value) is not None:
        canonical = canonical_cidr(value)
        forms = _portable(canonical)
        if host_of(canonical):
            return OperatorEntry(forms, f"{quoted(text)} is one host; written as {' and '.join(forms)}")
        return OperatorEntry(forms, "" if canonical == value else f"{quoted(text)} is normalized to {canonical}")
    address = _address(value.strip("[]") if value.startswith("[") and value.endswith("]") else value)
    if address is not None:
        return OperatorEntry(spellings(address))
    host, port = _split_port(value)
    bare = host[:-1] if host.endswith(".") else host
    if _address(bare) is None and not is_host_name(bare[1:] if bare.startswith(".") else bare):
        raise _Refused("is not a host name, .suffix, address or CIDR")
    if port is None:
        return OperatorEntry((bare,))
    return OperatorEntry((bare + ":" + port,), f"{quoted(text)} has a port; curl and wget ignore entries with a port")


def canonical_cidr(text: str) -> str:
    """Return the CIDR without host bits: `10.0.0.1/16` becomes `10.0.0.0/16`.

    Raises ValueError if `text` is not a CIDR, or covers every address.
    """
    network = _network(text)
    if network is None:
        raise ValueError(f"{quoted(text)} is not a CIDR such as 10.0.0.0/16 or 2600:1f16::/56")
    if network.prefixlen == 0:
        raise ValueError(f"{quoted(text)} would bypass the proxy for every address; write the intended networks")
    return str(network)


def host_of(cidr: str) -> str:
    """Return the address of a CIDR of one address (/32, /128), which all clients read, else ""."""
    network = _network(cidr)
    if network is None or network.prefixlen < network.max_prefixlen:
        return ""
    return addresses.canonical(network.network_address)


def api_service(service_cidr: str) -> str:
    """Return the first address of the service CIDR, which pods have as KUBERNETES_SERVICE_HOST.

    Kubernetes reserves it for the service of the API server; clients that read no CIDR need it.
    Source: repairs of the "kubernetes" service in kube-apiserver (pkg/controlplane).
    """
    network = ipaddress.ip_network(service_cidr)
    return addresses.canonical(network[min(1, network.num_addresses - 1)])


def _portable(cidr: str) -> tuple[str, ...]:
    """Return the spellings of a canonical CIDR: those of the address if it has only one."""
    return spellings(host_of(cidr) or cidr)


def _network(text: str) -> Network | None:
    if not re.fullmatch(r"[0-9a-fA-F:.]+/[0-9]{1,3}", text):
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _address(text: str) -> str | None:
    """Return the address as inet_ntop(3) writes it, on every Python version, or None.

    A zone index is not accepted, because no client reads one.
    """
    if addresses.ipv4(text):
        return text
    literal = addresses.ipv6(text)
    return addresses.canonical(literal) if literal else None


def _split_port(text: str) -> tuple[str, str | None]:
    match = re.fullmatch(r"(.+):([0-9]{1,5})", text)
    if match is None or not 1 <= int(match.group(2)) <= 65535 or ":" in match.group(1):
        return text, None
    return match.group(1), match.group(2)


def _network_order(cidr: str) -> tuple[int, int, int]:
    network = ipaddress.ip_network(cidr)
    return network.version, int(network.network_address), network.prefixlen


def _by_number(cidrs: Iterable[str]) -> list[str]:
    return sorted(set(cidrs), key=_network_order)
