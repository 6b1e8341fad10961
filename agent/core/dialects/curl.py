"""libcurl since 7.86, in three generations: dnf, curl, git.

Source: lib/noproxy.c; tried against libcurl 7.88.1, 8.16.0 and 8.23.0.

- Commas separate; up to 8.8 blanks do, too; from 8.9 an entry that is followed by a blank and no comma ends the list.
  `*` counts only when it is the whole value.
- An entry covers itself and its subdomains, with or without a leading dot; one final dot is ignored on both sides.
- IPv4: an address, or a CIDR with a literal address of the URL; /0 means the exact address.  No port, no name is resolved.
- IPv6: the URL's address is written as inet_ntop(3) does it, if that is shorter.  Up to 8.17 it compares as text, so there is no CIDR; from
  8.18 addresses and CIDRs compare.  It stands bare: brackets never match.
- Up to 8.17 what follows the digits of a CIDR is ignored; from 8.18 such an entry matches nothing.
- The environment's http_proxy is read in lower case only.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Iterator, Optional

from agent.core.dialects import curl_old
from agent.core.dialects.addresses import Address, address, canonical
from agent.core.dialects.target import Target

VARIABLES = curl_old.VARIABLES

_DIGITS = re.compile("[0-9]+")


def bypass(target: Target, no_proxy: str) -> Optional[str]:
    """The entry that makes the target direct; None for the proxy.  For 7.86 to 8.8."""
    return _bypass(target, no_proxy, blanks_separate=True, reads_ipv6=False)


def bypass_8_9(target: Target, no_proxy: str) -> Optional[str]:
    """The same for 8.9 to 8.17."""
    return _bypass(target, no_proxy, blanks_separate=False, reads_ipv6=False)


def bypass_8_18(target: Target, no_proxy: str) -> Optional[str]:
    """The same from 8.18."""
    return _bypass(target, no_proxy, blanks_separate=False, reads_ipv6=True)


def _bypass(target: Target, no_proxy: str, *, blanks_separate: bool, reads_ipv6: bool) -> Optional[str]:
    if no_proxy == "*":
        return no_proxy
    literal = address(target.host)
    host = target.host
    if isinstance(literal, ipaddress.IPv6Address):
        host = min(host, canonical(literal), key=len)  # urlapi.c
    as_text = literal is None or (literal.version == 6 and not reads_ipv6)
    for entry in _entries(no_proxy, blanks_separate):
        if _covers(entry, host) if as_text else _inside(entry, literal, strict=reads_ipv6):
            return entry
    return None


def _entries(no_proxy: str, blanks_separate: bool) -> Iterator[str]:
    for match in re.finditer(r"[ \t]*([^ \t,]*)[ \t]*(,*)", no_proxy):
        if match.group(1):
            yield match.group(1)
        if not match.group(2) and not blanks_separate:
            return


def _covers(entry: str, host: str) -> bool:
    entry = entry[:-1] if entry.endswith(".") else entry
    host = host[:-1] if host.endswith(".") else host
    return curl_old.covers(entry[1:] if entry.startswith(".") else entry, host)


def _inside(entry: str, literal: Optional[Address], *, strict: bool) -> bool:
    base, slash, bits_text = entry.partition("/")
    network = address(base)
    if network is None or literal is None or literal.version != network.version:
        return False
    if strict and slash and not _DIGITS.fullmatch(bits_text):
        return False
    bits = _atoi(bits_text)
    if bits == 0:
        return literal == network
    if not 0 < bits <= network.max_prefixlen:
        return False
    return literal in ipaddress.ip_network("%s/%d" % (network, bits), strict=False)


def _atoi(text: str) -> int:
    match = re.match(r"[+-]?[0-9]+", text)
    return int(match.group()) if match else 0
