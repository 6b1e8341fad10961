"""The cluster's service CIDR, and how it is known.  Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import attrs

from agent.core.settings import parsers

#: Documentation addresses (RFC 5737, RFC 3849), which no cluster has for its services.
OUTSIDE = {4: "203.0.113.1", 6: "2001:db8::1"}

#: What EKS takes when the owner chose nothing.  Source: KubernetesNetworkConfigRequest in the EKS
#: API reference. The Service default/kubernetes has the first address of the range ("Extend Service
#: IP Ranges", Kubernetes documentation).
_EKS = ("10.100.0.0/16", "172.20.0.0/16")
#: An IPv6 cluster of EKS has a unique local /108.  Source: "IPv6 addresses for clusters, Pods, and
#: services", EKS user guide.
_EKS_V6_PREFIX = 108
_UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")


@attrs.frozen
class ServiceRange:
    """`cidrs` is empty when only `addresses`, cluster IPs inside of the range, are known; `how` says it for people."""

    cidrs: tuple[str, ...]
    addresses: tuple[str, ...]
    how: str


def addresses_of(service: Mapping[str, Any]) -> tuple[str, ...]:
    """The cluster IPs of a Service, the one or both of a dual-stack one; raises ValueError for what is no address, and for none."""
    spec = service.get("spec") or {}
    found = [address for address in spec.get("clusterIPs") or [spec.get("clusterIP")] if address]
    if not found:
        raise ValueError("it has no cluster IP")
    return tuple(str(ipaddress.ip_address(str(address))) for address in found)


def from_service_cidrs(listing: Mapping[str, Any]) -> tuple[str, ...]:
    """The CIDRs in a list of ServiceCIDR objects (networking.k8s.io), each once; raises ValueError."""
    found = [cidr for item in listing.get("items") or [] for cidr in (item.get("spec") or {}).get("cidrs") or []]
    return tuple(dict.fromkeys(map(parsers.cidr, found)))


def guessed(addresses: tuple[str, ...]) -> ServiceRange:
    """What the address of the Service default/kubernetes, the first of its range, tells on EKS."""
    cidrs = tuple(_eks_range(address) for address in addresses)
    known = tuple(cidr for cidr in cidrs if cidr)
    where = "the Service default/kubernetes has {}".format(" and ".join(addresses))
    if len(known) == len(addresses):
        kinds = "what EKS chooses by itself" if "." in addresses[0] else "EKS gives IPv6 clusters a /108"
        return ServiceRange(known, addresses, "{}, the first of {} ({})".format(where, " and ".join(known), kinds))
    return ServiceRange((), addresses, where + ", which is the first of none of the ranges that EKS chooses by itself")


def covers(cidrs: tuple[str, ...], addresses: tuple[str, ...]) -> bool:
    """Whether every address is in one of the CIDRs."""
    networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
    return all(any(ipaddress.ip_address(address) in network for network in networks) for address in addresses)


def _eks_range(address: str) -> str | None:
    known = ipaddress.ip_address(address)
    if isinstance(known, ipaddress.IPv4Address):
        return next((cidr for cidr in _EKS if known == ipaddress.IPv4Network(cidr)[1]), None)
    network = ipaddress.IPv6Network((known, _EKS_V6_PREFIX), strict=False)
    return str(network) if known in _UNIQUE_LOCAL and known == network[1] else None
