"""wget from 1.20 (1.19.5 alone has a bug of its own).

Source: sufmatch() in src/host.c and sepstring() in src/utils.c; tried against 1.21.3.

- Split at commas; blanks after a comma are dropped, all others stay part of the entry, which then matches nothing.
- `example.com` covers itself and its subdomains, `.example.com` the subdomains only.  Text is compared without case:
  no `*`, no CIDR, no port, no name is resolved; an IPv6 address stands bare.
- Nothing between two commas covers every host with a final dot.
- All variables in lower case only.
"""

from __future__ import annotations

import functools

from agent.core.noproxy.dialects.curl_old import lowered
from agent.core.noproxy.dialects.dialect import Variables
from agent.core.noproxy.dialects.request import Request

VARIABLES = Variables(http=("http_proxy",), https=("https_proxy",), no_proxy=("no_proxy",))


def bypass(target: Request, no_proxy: str) -> str | None:
    """The entry that makes the target direct; None for the proxy."""
    for entry, text in _entries(no_proxy):
        if target.host.endswith(text):
            before = target.host[: len(target.host) - len(text)]
            if not before or before.endswith(".") or text.startswith("."):
                return entry or ","
    return None


@functools.lru_cache(maxsize=16)
def _entries(no_proxy: str) -> tuple[tuple[str, str], ...]:
    """Entries as they stand there, and what each compares with."""
    first, *others = no_proxy.split(",")
    entries = [first, *(entry.lstrip(" \t\n\v\f\r") for entry in others)]
    return tuple((entry, lowered(entry)) for entry in entries) if no_proxy else ()
