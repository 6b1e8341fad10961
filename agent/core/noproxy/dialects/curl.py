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
from collections.abc import Iterator

from agent.core.net.addresses import address, canonical
from agent.core.noproxy.dialects import curl_old
from agent.core.noproxy.dialects.index import Index, domains, per_list
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


def _bypass(target: Request, no_proxy: str, *, blanks_separate: bool, reads_ipv6: bool) -> str | None:
    if no_proxy == "*":
        return no_proxy
    blanks_separate = blanks_separate and _has_blanks(no_proxy)
    literal = address(target.host)
    host = target.host[:-1] if target.host.endswith(".") else target.host
    if literal is not None and literal.version == 6:
        host = min(host, canonical(literal), key=len)  # urlapi.c
        literal = literal if reads_ipv6 else None
    if literal is None:
        return _of_name(host, no_proxy, blanks_separate)
    networks = _networks(no_proxy, blanks_separate, reads_ipv6)
    return networks.first(networks.network_keys(literal))


@per_list
def _has_blanks(no_proxy: str) -> bool:
    return " " in no_proxy or "\t" in no_proxy


@functools.lru_cache(maxsize=16)  # the generations differ little for names
def _of_name(host: str, no_proxy: str, blanks_separate: bool) -> str | None:
    return _names(no_proxy, blanks_separate).first(domains(host))


@per_list
def _names(no_proxy: str, blanks_separate: bool) -> Index:
    """Return the entries by the domain that each is compared as."""
    index = Index()
    for text in _entries(no_proxy, blanks_separate):
        name = text[:-1] if text.endswith(".") else text
        index.add(curl_old.lowered(name[1:] if name.startswith(".") else name), text)
    return index


@per_list
def _networks(no_proxy: str, blanks_separate: bool, strict: bool) -> Index:
    """Return the entries that cover addresses; without a length, or with /0, it is one address."""
    index = Index()
    for text in _entries(no_proxy, blanks_separate):
        base_text, slash, bits_text = text.partition("/")
        if len(text) < 128 and not (strict and slash and not re.fullmatch("[0-9]+", bits_text)):
            base = address(base_text)
            digits = re.match(r"[+-]?[0-9]+", bits_text)  # atoi(3)
            bits = int(digits.group()) if digits else 0
            if base is not None and 0 <= bits <= base.max_prefixlen:
                index.add_network(base, bits or base.max_prefixlen, text)
    return index


def _entries(no_proxy: str, blanks_separate: bool) -> Iterator[str]:
    for match in re.finditer(r"[ \t]*([^ \t,]*)[ \t]*(,*)", no_proxy):
        if match.group(1):
            yield match.group(1)
        if not match.group(2) and not blanks_separate:
            return
