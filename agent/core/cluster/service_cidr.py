"""Service CIDR of the cluster, and where it comes from."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from agent.core.record import record
from agent.core.settings import parsers

#: Documentation addresses (RFC 5737, RFC 3849), which no cluster uses for its services.
OUTSIDE = {4: "203.0.113.1", 6: "2001:db8::1"}

#: What EKS takes if the operator chose nothing.  Source: KubernetesNetworkConfigRequest in the EKS
#: API reference. The Service default/kubernetes has the first address of the range ("Extend Service
#: IP Ranges", Kubernetes documentation).
_EKS = ("10.100.0.0/16", "172.20.0.0/16")
#: An IPv6 cluster of EKS has a unique local /108.  Source: "IPv6 addresses for clusters, Pods, and
#: services", EKS user guide.
_EKS_V6_PREFIX = 108
_UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")


@record
class ServiceRange:
    """Service CIDRs of a cluster.

    `cidrs` is empty if only `addresses`, cluster IPs inside the range, are known.  `how` is the
    source of this, for people.
    """

    cidrs: tuple[str, ...]
    addresses: tuple[str, ...]
    how: str


def addresses_of(service: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cluster IPs of a Service: one, or both of a dual-stack Service.

    Raises ValueError if there is none, or if a value is not an address.
    """
    spec = service.get("spec") or {}
    addresses = [address for address in spec.get("clusterIPs") or [spec.get("clusterIP")] if address]
    if not addresses:
        raise ValueError("no cluster IP")
    return tuple(str(ipaddress.ip_address(str(address))) for address in addresses)


def from_service_cidrs(listing: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the CIDRs in a list of ServiceCIDR objects (networking.k8s.io), without duplicates.

    Raises ValueError.
    """
    cidrs = [cidr for item in listing.get("items") or [] for cidr in (item.get("spec") or {}).get("cidrs") or []]
    return tuple(dict.fromkeys(map(parsers.cidr, cidrs)))


def infer_range(addresses: tuple[str, ...]) -> ServiceRange:
    """Infer EKS's default range from the addresses of the Service default/kubernetes.

    These are the first of their ranges.
    """
    inferred = tuple(_eks_range(address) for address in addresses)
    cidrs = tuple(cidr for cidr in inferred if cidr)
    service = f"the Service default/kubernetes has {' and '.join(addresses)}"
    if len(cidrs) == len(addresses):
        rule = "an EKS default" if "." in addresses[0] else "EKS assigns a /108 to IPv6 clusters"
        return ServiceRange(cidrs, addresses, f"{service}, the first address of {' and '.join(cidrs)} ({rule})")
    return ServiceRange((), addresses, f"{service}, which is not the first address of an EKS default range")


def covers(cidrs: tuple[str, ...], addresses: tuple[str, ...]) -> bool:
    """Return True if every address is in one of the CIDRs."""
    networks = [ipaddress.ip_network(cidr) for cidr in cidrs]
    return all(any(ipaddress.ip_address(address) in network for network in networks) for address in addresses)


def _eks_range(text: str) -> str | None:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return next((cidr for cidr in _EKS if address == ipaddress.IPv4Network(cidr)[1]), None)
    network = ipaddress.IPv6Network((address, _EKS_V6_PREFIX), strict=False)
    return str(network) if address in _UNIQUE_LOCAL and address == network[1] else None
