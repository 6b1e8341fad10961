"""wget 1.20 and later (1.19.5 has a bug that no other version has).

Source: sufmatch() in src/host.c and sepstring() in src/utils.c; tested with 1.21.3.

- Entries are separated by commas.  Blanks after a comma are dropped; any other blank is part of the
  entry, which then matches nothing.
- `example.com` covers itself and its subdomains, `.example.com` only the subdomains.  Text is
  compared without case: `*`, CIDRs and ports are not read and names are not resolved.  An IPv6
  address has no brackets.
- An empty entry between two commas covers every host with a trailing dot.
- All variables are read in lower case only.
"""

from __future__ import annotations

from agent.core.noproxy.dialects.curl_old import lowered
from agent.core.noproxy.dialects.dialect import Variables
from agent.core.noproxy.dialects.index import Index, domains, per_list, suffixes
from agent.core.noproxy.dialects.request import Request

VARIABLES = Variables(http=("http_proxy",), https=("https_proxy",), no_proxy=("no_proxy",))


def bypass(target: Request, no_proxy: str) -> str | None:
    """Return the entry that makes the target direct, None for the proxy."""
    return _index(no_proxy).first(domains(target.host) + suffixes(target.host))


@per_list
def _index(no_proxy: str) -> Index:
    """Return the entries by the text that each is compared as."""
    index = Index()
    if no_proxy:
        first, *others = no_proxy.split(",")
        for entry in (first, *(entry.lstrip(" \t\n\v\f\r") for entry in others)):
            index.add(lowered(entry), entry or ",")
    return index
