"""Go's net/http: docker, containerd, kubelet, kubectl, ssm-agent, skopeo.

Source: golang.org/x/net/http/httpproxy/proxy.go (vendored into net/http), net.ParseCIDR,
net.SplitHostPort; tested with Go 1.19 and 1.27.

- Entries are separated by commas, without surrounding blanks, in lower case.  An entry `*` anywhere
  in the list exempts everything.
- `example.com` covers itself and its subdomains, `.example.com` and `*.example.com` only the
  subdomains.
- A CIDR or an address is compared with a literal address of the URL, however both are spelled.
  Names are not resolved.
- `host:8080` also compares the port, with 80 or 443 if the URL has none.  An IPv6 address has no
  brackets, or brackets and a port; `[fd00::1]` alone matches nothing.
- localhost and loopback addresses never use a proxy, whatever the list contains.
- From Go 1.24 a name never covers an address; before, `.3.4` covered 10.0.3.4 (`bypass_1_23`).
- A trailing dot counts: `example.com` is not `example.com.`.
- A process reads the environment once.  If REQUEST_METHOD is set, HTTP_PROXY is an error.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

from agent.core.net.addresses import Address, address, folded
from agent.core.noproxy.dialects.dialect import Variables
from agent.core.noproxy.dialects.index import Index, per_list, suffixes
from agent.core.noproxy.dialects.request import Request

#: Result of `bypass` for a target that needs no entry.
LOOPBACK = "loopback"

VARIABLES = Variables(
    http=("HTTP_PROXY", "http_proxy"), https=("HTTPS_PROXY", "https_proxy"), no_proxy=("NO_PROXY", "no_proxy")
)


def bypass(target: Request, no_proxy: str) -> str | None:
    """Return the entry that makes the target direct, or LOOPBACK; None for the proxy.

    For Go 1.24 and later.
    """
    return _bypass(target, no_proxy, names_cover_addresses=False)


def bypass_1_23(target: Request, no_proxy: str) -> str | None:
    """Return the same for Go before 1.24."""
    return _bypass(target, no_proxy, names_cover_addresses=True)


def _bypass(target: Request, no_proxy: str, *, names_cover_addresses: bool) -> str | None:
    host_address = address(target.host)
    literal = None if host_address is None else folded(host_address)
    if target.host == "localhost" or (literal is not None and literal.is_loopback):
        return LOOPBACK
    index, has_wildcard = _index(no_proxy)
    if has_wildcard:
        return "*"
    keys: list[Hashable] = []
    if literal is None or names_cover_addresses:
        keys += [target.host, *suffixes(target.host)]
    if literal is not None:
        keys.append(_number(literal))
    keys += [(key, str(target.port)) for key in keys]
    return index.first(keys if literal is None else keys + index.network_keys(literal))


@per_list
def _index(no_proxy: str) -> tuple[Index, bool]:
    """Return the entries by what they cover, and True if one of them is `*`.

    A key is a name, a suffix with its dot, or the number of an address; an entry with a port has a
    pair of that and the port.
    """
    entries = [entry.strip() for entry in no_proxy.split(",")]
    index = Index()
    for entry in entries:
        if entry:
            _add(index, entry, entry.lower())
    return index, "*" in entries


def _add(index: Index, entry: str, text: str) -> None:
    network = _network(text)
    if network is not None:
        index.add_network(*network, entry)
        return
    host, port = _split_port(text)
    literal = address(host)
    if literal is not None:
        index.add(_key(_number(folded(literal)), port), entry)
    elif host:
        host = host[1:] if host.startswith("*.") else host
        covers_itself = not host.startswith(".")
        suffix = _ascii("." + host if covers_itself else host)
        index.add(_key(suffix, port), entry)
        if covers_itself:
            index.add(_key(suffix[1:], port), entry)


def _key(thing: Hashable, port: str) -> Hashable:
    return (thing, port) if port else thing


def _number(literal: Address) -> Hashable:
    return literal.version, int(literal)


def _network(text: str) -> tuple[Address, int] | None:
    """Parse a CIDR like net.ParseCIDR; a network of IPv4-mapped addresses becomes one of IPv4."""
    base_text, slash, bits = text.partition("/")
    literal = address(base_text) if slash else None
    if literal is None or not re.fullmatch(r"0*[0-9]{1,3}", bits):
        return None
    length = int(bits[-3:])
    host_bits = literal.max_prefixlen - length
    if host_bits < 0:
        return None
    base = type(literal)(int(literal) >> host_bits << host_bits)
    mapped = folded(base)
    return (base, length) if mapped is base else (mapped, max(0, length - 96))


def _split_port(text: str) -> tuple[str, str]:
    """Split like net.SplitHostPort; text that this rejects is the host, without a port."""
    match = re.fullmatch(r"(?:\[([^\[\]]*)\]|([^:\[\]]*)):([^:\[\]]*)", text, re.DOTALL)
    if match is None:
        return text, ""
    return match.group(1) if match.group(2) is None else match.group(2), match.group(3)


def _ascii(suffix: str) -> str:
    if suffix.isascii():
        return suffix
    try:
        return "." + suffix[1:].encode("idna").decode("ascii")
    except UnicodeError:
        return suffix
