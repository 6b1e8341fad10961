"""Literal addresses, read alike on every Python version.

The ipaddress module accepts more or less, depending on the version of Python.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Union

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

#: inet_pton(3) and Go reject leading zeros.
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_IPV4_ADDRESS = re.compile(_IPV4)
_IPV6_ADDRESS = re.compile(rf"[0-9a-fA-F:]*:(?:[0-9a-fA-F]*|{_IPV4})")


def ipv4(text: str) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address of four decimal numbers, as inet_pton(3) reads it, or None."""
    return ipaddress.IPv4Address(text) if _IPV4_ADDRESS.fullmatch(text) else None


def ipv6(text: str) -> ipaddress.IPv6Address | None:
    """Return the IPv6 address, or None.

    Brackets and a zone are not accepted. The last 32 bits may be written as IPv4.
    """
    if ":" not in text or not _IPV6_ADDRESS.fullmatch(text):
        return None
    try:
        return ipaddress.IPv6Address(text)
    except ValueError:
        return None


@functools.lru_cache(maxsize=256)
def address(text: str) -> Address | None:
    """Return the IPv4 or IPv6 address, or None."""
    return ipv4(text) or ipv6(text)


def folded(value: Address) -> Address:
    """Return an IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) as IPv4, any other unchanged."""
    return getattr(value, "ipv4_mapped", None) or value


@functools.lru_cache(maxsize=64)
def canonical(value: Address) -> str:
    """Return the address as inet_ntop(3) writes it.

    An IPv6 address is short; its last 32 bits are IPv4 in `::ffff:10.0.0.1` and `::10.0.0.1`.
    """
    if value.version == 4:
        return str(value)
    number = int(value)
    low = ipaddress.IPv4Address(number & 0xFFFFFFFF)
    if number >> 32 == 0xFFFF:
        return f"::ffff:{low}"
    return f"::{low}" if number >> 32 == 0 and number >> 16 else str(value)
