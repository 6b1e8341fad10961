"""Node.js: its fetch and http modules, and proxy-from-env, with which axios reads the variables.

Source: lib/internal/http.js and undici's lib/dispatcher/env-http-proxy-agent.js of Node.js 24,
index.js of proxy-from-env 2.1; tested with Node.js 24.19 and axios 1.14.

- fetch and http ignore the variables unless NODE_USE_ENV_PROXY=1 or the option --use-env-proxy is
  set (from 22.21 and 24.5; fetch from 24.0).  proxy-from-env always reads them.
- All three compare the host of the URL as the URL standard writes it: lower case, and a short IPv6
  address without dots.  CIDRs are not read and names are not resolved.
- fetch: blanks and commas separate.  `example.com`, `.example.com` and `*.example.com` all cover
  the name and its subdomains; `*` counts only if it is the complete value.  `:8080` compares the
  port.  An IPv6 address needs its brackets, else its last group is read as a port.
- http: commas separate.  A name covers itself only, and has the port of the request if it has one;
  `.example.com` covers the name and its subdomains, `*.example.com` the subdomains.  `*` may be
  anywhere in the list.  An IPv6 address has no brackets.  `10.0.0.1-10.0.0.9` is a range.
- proxy-from-env: blanks and commas separate.  A name covers itself only; after a leading `*`,
  which is dropped, or `.` the entry is a suffix.  Ports and IPv6 addresses are as in fetch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.core.net.addresses import Address, address, ipv4
from agent.core.noproxy.dialects.dialect import Variables
from agent.core.noproxy.dialects.index import Index, domains, per_list, suffixes
from agent.core.noproxy.dialects.request import Request

#: The variable that makes fetch and http read the proxy variables.
SWITCH = "NODE_USE_ENV_PROXY"
_OPTION = "--use-env-proxy"

FETCH_VARIABLES = Variables(
    http=("http_proxy", "HTTP_PROXY"),
    https=("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"),
    no_proxy=("no_proxy", "NO_PROXY"),
    decisive=("http_proxy", "https_proxy", "no_proxy"),
)
HTTP_VARIABLES = Variables(
    http=("http_proxy", "HTTP_PROXY"), https=("https_proxy", "HTTPS_PROXY"), no_proxy=("no_proxy", "NO_PROXY")
)
PROXY_FROM_ENV_VARIABLES = Variables(
    http=("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
    https=("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    no_proxy=("no_proxy", "NO_PROXY"),
)

#: White space in ECMAScript, which is not quite that of Python.
_BLANKS = "\t\n\v\f\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
_TRIM = re.compile(f"\\A[{_BLANKS}]+|[{_BLANKS}]+\\Z")
_SPLIT = re.compile(f"[,{_BLANKS}]")
_WITH_PORT = re.compile(r"(.+):([0-9]+)", re.DOTALL)


def is_enabled(environment: Mapping[str, str]) -> bool:
    """Return True if fetch and http of a process with this environment read the proxy variables."""
    return environment.get(SWITCH) == "1" or _OPTION in (environment.get("NODE_OPTIONS") or "").split()


def bypass_fetch(target: Request, no_proxy: str) -> str | None:
    """Return the entry that makes the target direct, None for the proxy; fetch of Node.js 24."""
    if no_proxy == "*":
        return no_proxy
    names = domains(_host(target, brackets=True))
    return _fetch_index(no_proxy).first([*names, *((name, str(target.port)) for name in names)])


def bypass_http(target: Request, no_proxy: str) -> str | None:
    """Return the same for the modules http and https."""
    host = _host(target, brackets=False)
    index, ranges = _http_index(no_proxy)
    entry = index.first(["*", host, f"{host}:{target.port}", *_suffix_keys(host)])
    literal = ipv4(host)
    covering = (text for first, last, text in ranges if literal is not None and first <= int(literal) <= last)
    return entry or next(covering, None)


def bypass_proxy_from_env(target: Request, no_proxy: str) -> str | None:
    """Return the same for proxy-from-env."""
    if no_proxy == "*":
        return no_proxy
    host = _host(target, brackets=True)
    ends = [host[place:] for place in range(len(host) + 1)]
    keys = [("=", host), *(("*", end) for end in ends)]
    return _suffix_index(no_proxy).first([*keys, *((*key, str(target.port)) for key in keys)])


def _host(target: Request, *, brackets: bool) -> str:
    """Return the host as the URL standard serializes it."""
    literal = address(target.host)
    if literal is None or literal.version == 4:
        return target.host
    return f"[{url_address(literal)}]" if brackets else url_address(literal)


def url_address(literal: Address) -> str:
    """Return an address as the URL standard writes it."""
    text = str(literal)
    if literal.version == 6 and "." in text:  # so Python 3.13 writes an IPv4-mapped address
        low = int(literal) & 0xFFFFFFFF
        text = f"::ffff:{low >> 16:x}:{low & 0xFFFF:x}"
    return text


def split_at_blanks(no_proxy: str) -> list[str]:
    """Return the parts of a list between commas and blanks; some are empty."""
    return _SPLIT.split(no_proxy)


def _suffix_keys(host: str) -> list[tuple[str, str]]:
    """Return what `.name` and `*.name` are indexed by, for a host that they cover."""
    return [(".", name) for name in domains(host)] + [("*", suffix) for suffix in suffixes(host)]


def _split(text: str) -> tuple[str, str]:
    """Return the name of an entry and its port; "" is any port, and so is 0."""
    match = _WITH_PORT.fullmatch(text)
    return (match.group(1).lower(), match.group(2).lstrip("0")) if match else (text.lower(), "")


@per_list
def _fetch_index(no_proxy: str) -> Index:
    """Return the entries by the name that each covers, with its port if it has one."""
    index = Index()
    for text in filter(None, split_at_blanks(no_proxy)):
        name, port = _split(text)
        name = re.sub(r"\A\*?\.", "", name)
        index.add((name, port) if port else name, text)
    return index


@per_list
def _http_index(no_proxy: str) -> tuple[Index, tuple[tuple[int, int, str], ...]]:
    """Return the entries by what they cover, and the ranges of addresses."""
    index, ranges = Index(), []
    for entry in no_proxy.split(","):
        text = _TRIM.sub("", entry)
        name = text.lower()
        if name:
            index.add(name, text)
        if name.startswith("."):
            index.add((".", name[1:]), text)
        elif name.startswith("*."):
            index.add(("*", name[1:]), text)
        elif "-" in name:
            first, last, *_ = (ipv4(_TRIM.sub("", part)) for part in name.split("-"))
            if first is not None and last is not None:
                ranges.append((int(first), int(last), text))
    return index, tuple(ranges)


@per_list
def _suffix_index(no_proxy: str) -> Index:
    """Return the entries by "=" and a name, or by "*" and a suffix, with their port if any."""
    index = Index()
    for text in filter(None, split_at_blanks(no_proxy)):
        name, port = _split(text)
        key = ("*", name[1:] if name.startswith("*") else name) if name[0] in ".*" else ("=", name)
        index.add((*key, port) if port else key, text)
    return index
