"""Python's urllib.request, and botocore (AWS CLI, boto3), which calls it with the URL's netloc.

Source: proxy_bypass_environment() in Lib/urllib/request.py (the same text from Python 3.8 to 3.13),
botocore/utils.py should_bypass_proxies(); tested with both.

- Entries are separated by commas, without surrounding blanks and leading dots, in lower case.  An
  entry covers itself and its subdomains.  `*` counts only if it is the complete value.
- Text is compared, with the host and with HOST:PORT as the URL has them, IPv6 in brackets.  CIDRs
  are not read, `fd00::1` does not match `[fd00::1]`, and names are not resolved.
- A lower-case variable has precedence over upper case, even if it is empty.
"""

from __future__ import annotations

import functools
import re

from agent.core.noproxy.dialects.dialect import Variables
from agent.core.noproxy.dialects.index import Index, domains, per_list
from agent.core.noproxy.dialects.request import Request

VARIABLES = Variables(
    http=("http_proxy", "HTTP_PROXY"),
    https=("https_proxy", "HTTPS_PROXY"),
    no_proxy=("no_proxy", "NO_PROXY"),
    decisive=("http_proxy", "https_proxy", "no_proxy"),
)


def bypass(target: Request, no_proxy: str) -> str | None:
    """Return the entry that makes the target direct, None for the proxy."""
    return bypass_netloc(target.netloc, no_proxy)


@functools.lru_cache(maxsize=16)  # both versions of requests ask the same
def bypass_netloc(netloc: str, no_proxy: str) -> str | None:
    """Return the same for a host, with or without port, as the caller of urllib writes it."""
    if no_proxy == "*":
        return no_proxy
    host = re.sub(r":[0-9]*\Z", "", netloc)
    return _index(no_proxy).first(domains(host) + domains(netloc))


@per_list
def _index(no_proxy: str) -> Index:
    """Return the entries by the name that each is compared as."""
    index = Index()
    for entry in map(str.strip, no_proxy.split(",")):
        if entry:
            index.add(entry.lstrip(".").lower(), entry)
    return index
