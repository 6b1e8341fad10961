"""libcurl before 7.86: dnf and yum, curl, git of older distributions.

Source: check_noproxy() in lib/url.c of curl 7.19 to 7.85; tested with libcurl 7.61.1.

- Entries are separated by commas and blanks.  `*` counts only if it is the complete value.
- An entry covers itself and its subdomains, with or without a leading dot.  Only text is compared:
  CIDRs and ports are not read and names are not resolved.  An IPv6 address has no brackets and
  matches only as the URL spells it.
- http_proxy is read in lower case only.
"""

from __future__ import annotations

import re

from agent.core.noproxy.dialects.dialect import Variables
from agent.core.noproxy.dialects.index import Index, domains, per_list
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
    return _index(no_proxy).first(domains(target.host))


def lowered(text: str) -> str:
    """Return the text with ASCII letters in lower case, as C compares without case."""
    return text.lower() if text.isascii() else "".join(char.lower() if char.isascii() else char for char in text)


@per_list
def _index(no_proxy: str) -> Index:
    """Return the entries by the domain that each is compared as."""
    index = Index()
    for entry in re.split(r"[, ]+", no_proxy):
        if entry:
            index.add(lowered(entry[1:] if entry.startswith(".") else entry), entry)
    return index
