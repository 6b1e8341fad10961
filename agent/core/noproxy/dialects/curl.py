"""libcurl since 7.86, in three generations: dnf, curl, git.

Source: lib/noproxy.c; tested with libcurl 7.88.1, 8.16.0 and 8.23.0.

- Entries are separated by commas; up to 8.8 also by blanks.  From 8.9 an entry that is followed by
  a blank and no comma ends the list.  `*` counts only if it is the complete value.
- An entry covers itself and its subdomains, with or without a leading dot.  One trailing dot is
  ignored on both sides.
- IPv4: an address, or a CIDR, compared with a literal address of the URL; /0 means the exact
  address.  Ports are not read and names are not resolved.
- IPv6: the URL's address is first written as inet_ntop(3) does it, if that is shorter.  Up to 8.17
  it is compared as text, so CIDRs do not match; from 8.18 addresses and CIDRs are compared.  The
  entry has no brackets: with brackets it never matches.
- Up to 8.17 text after the digits of a CIDR is ignored; from 8.18 such an entry matches nothing.
- http_proxy is read in lower case only.
"""

from __future__ import annotations

import functools
import re

import attrs

from agent.core.net.addresses import Address, address, canonical
from agent.core.noproxy.dialects import curl_old
from agent.core.noproxy.dialects.request import Request

VARIABLES = curl_old.VARIABLES


def bypass(target: Request, no_proxy: str) -> str | None:
    """Return the entry that makes the target direct, None for the proxy; 7.86 to 8.8."""
    return _bypass(target, no_proxy, blanks_separate=True, reads_ipv6=False)


def bypass_8_9(target: Request, no_proxy: str) -> str | None:
    """Return the same for 8.9 to 8.17."""
    return _bypass(target, no_proxy, blanks_separate=False, reads_ipv6=False)


def bypass_8_18(target: Request, no_proxy: str) -> str | None:
    """Return the same for 8.18 and later."""
    return _bypass(target, no_proxy, blanks_separate=False, reads_ipv6=True)


@attrs.frozen
class _Entry:
    """An entry, with `domain` to compare names, and `base` and `bits` to compare addresses.

    With `base` None it matches no address.
    """

    text: str
    domain: str
    base: Address | None
    bits: int

    def holds(self, literal: Address) -> bool:
        if self.base is None or self.base.version != literal.version:
            return False
        if self.bits == 0:
            return self.base == literal
        return 0 < self.bits <= literal.max_prefixlen and (
            (int(self.base) ^ int(literal)) >> (literal.max_prefixlen - self.bits) == 0
        )


def _bypass(target: Request, no_proxy: str, *, blanks_separate: bool, reads_ipv6: bool) -> str | None:
    if no_proxy == "*":
        return no_proxy
    literal = address(target.host)
    host = target.host[:-1] if target.host.endswith(".") else target.host
    if literal is not None and literal.version == 6:
        host = min(host, canonical(literal), key=len)  # urlapi.c
        literal = literal if reads_ipv6 else None
    for entry in _entries(no_proxy, blanks_separate, reads_ipv6):
        if curl_old.covers(entry.domain, host) if literal is None else entry.holds(literal):
            return entry.text
    return None


@functools.lru_cache(maxsize=16)
def _entries(no_proxy: str, blanks_separate: bool, strict: bool) -> tuple[_Entry, ...]:
    entries = []
    for match in re.finditer(r"[ \t]*([^ \t,]*)[ \t]*(,*)", no_proxy):
        if match.group(1):
            entries.append(_entry(match.group(1), strict))
        if not match.group(2) and not blanks_separate:
            break
    return tuple(entries)


def _entry(text: str, strict: bool) -> _Entry:
    name = text[:-1] if text.endswith(".") else text
    base, slash, bits = text.partition("/")
    is_ignored = len(text) >= 128 or (strict and slash and not re.fullmatch("[0-9]+", bits))
    digits = re.match(r"[+-]?[0-9]+", bits)  # atoi(3)
    return _Entry(
        text,
        curl_old.lowered(name[1:] if name.startswith(".") else name),
        None if is_ignored else address(base),
        int(digits.group()) if digits and not is_ignored else 0,
    )
