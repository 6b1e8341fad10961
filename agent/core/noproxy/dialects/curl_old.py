"""libcurl before 7.86: dnf and yum, curl, git of older distributions.

Source: check_noproxy() in lib/url.c of curl 7.19 to 7.85; tested with libcurl 7.61.1.

- Entries are separated by commas and blanks.  `*` counts only if it is the complete value.
- An entry covers itself and its subdomains, with or without a leading dot.  Only text is compared:
  CIDRs and ports are not read and names are not resolved.  An IPv6 address has no brackets and
  matches only as the URL spells it.
- http_proxy is read in lower case only.
"""

from __future__ import annotations

import functools
import re

from agent.core.noproxy.dialects.dialect import Variables
from agent.core.noproxy.dialects.request import Request

VARIABLES = Variables(
    http=("http_proxy", "all_proxy", "ALL_PROXY"),
    https=("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    no_proxy=("no_proxy", "NO_PROXY"),
)


def bypass(target: Request, no_proxy: str) -> str | None:
    """Return the entry that makes the target direct, None for the proxy."""
    if no_proxy == "*":
        return no_proxy
    for entry, domain in _entries(no_proxy):
        if covers(domain, target.host):
            return entry
    return None


def covers(domain: str, host: str) -> bool:
    """Return True if the host is the domain or one of its subdomains."""
    return host.endswith(domain) and (len(host) == len(domain) or host[: -len(domain) or None].endswith("."))


def lowered(text: str) -> str:
    """Return the text with ASCII letters in lower case, as C compares without case."""
    return text.lower() if text.isascii() else "".join(char.lower() if char.isascii() else char for char in text)


@functools.lru_cache(maxsize=16)
def _entries(no_proxy: str) -> tuple[tuple[str, str], ...]:
    """Return each entry of the list, and the domain that it is compared as."""
    entries = [entry for entry in re.split(r"[, ]+", no_proxy) if entry]
    return tuple((entry, lowered(entry[1:] if entry.startswith(".") else entry)) for entry in entries)
