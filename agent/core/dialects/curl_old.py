"""libcurl before 7.86: dnf and yum, curl, git of older distributions.

Source: check_noproxy() in lib/url.c of curl 7.19 to 7.85; tried against libcurl 7.61.1.

- Commas and blanks separate.  `*` counts only when it is the whole value.
- An entry covers itself and its subdomains, with or without a leading dot: only text is compared.  No CIDR, no port,
  no name is resolved; an IPv6 address stands bare and matches only as the URL spells it.
- The environment's http_proxy is read in lower case only.
"""

from __future__ import annotations

import re
from typing import Optional

from agent.core.dialects.dialect import Variables
from agent.core.dialects.target import Target

VARIABLES = Variables(
    http=("http_proxy", "all_proxy", "ALL_PROXY"),
    https=("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    no_proxy=("no_proxy", "NO_PROXY"),
)


def bypass(target: Target, no_proxy: str) -> Optional[str]:
    """The entry that makes the target direct; None for the proxy."""
    if no_proxy == "*":
        return no_proxy
    for entry in re.split(r"[, ]+", no_proxy):
        if entry and covers(entry[1:] if entry.startswith(".") else entry, target.host):
            return entry
    return None


def covers(domain: str, host: str) -> bool:
    """Whether the host is the domain or lies below it; ASCII letters compare without case."""
    domain = "".join(char.lower() if char.isascii() else char for char in domain)
    return host == domain or (len(domain) < len(host) and host.endswith("." + domain))
