"""Literal addresses as clients read them, the same on every Python (whose ipaddress accepts more or less by version)."""

from __future__ import annotations

import ipaddress
import re
from typing import Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

#: inet_pton(3) and Go refuse leading zeros.
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"


def ipv4(text: str) -> ipaddress.IPv4Address | None:
    """Four plain numbers, as inet_pton(3) wants them."""
    return ipaddress.IPv4Address(text) if re.fullmatch(_IPV4, text) else None


def ipv6(text: str) -> ipaddress.IPv6Address | None:
    """An IPv6 address without brackets and zone; its last 32 bits may be spelt as IPv4."""
    if not re.fullmatch(rf"[0-9a-fA-F:]*:(?:[0-9a-fA-F]*|{_IPV4})", text):
        return None
    try:
        return ipaddress.IPv6Address(text)
    except ValueError:
        return None


def address(text: str) -> Address | None:
    """Either of them."""
    return ipv4(text) or ipv6(text)


def folded(value: Address) -> Address:
    """An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) as the IPv4 address; any other as it is."""
    return getattr(value, "ipv4_mapped", None) or value


def canonical(value: Address) -> str:
    """An IPv6 address as inet_ntop(3) writes it: short, and the last 32 bits as IPv4 in `::ffff:10.0.0.1` and `::10.0.0.1`."""
    number = int(value)
    low = ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if number >> 32 == 0xFFFF:
        return f"::ffff:{low}"
    return f"::{low}" if number >> 32 == 0 and number >> 16 else str(value)
