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

import functools
import ipaddress
import re
from typing import Union

import attrs

from agent.core.net.addresses import Address, address, folded
from agent.core.noproxy.dialects.dialect import Variables
from agent.core.noproxy.dialects.request import Request

#: Result of `bypass` for a target that needs no entry.
LOOPBACK = "loopback"

VARIABLES = Variables(
    http=("HTTP_PROXY", "http_proxy"), https=("HTTPS_PROXY", "https_proxy"), no_proxy=("NO_PROXY", "no_proxy")
)

_Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


@attrs.frozen
class _Matcher:
    """A parsed entry: exactly one of network, address and suffix, and a port ("": any).

    `apex`: the suffix covers the domain itself too.
    """

    entry: str
    network: _Network | None = None
    address: Address | None = None
    suffix: str = ""
    apex: bool = False
    port: str = ""

    def matches(self, host: str, literal: Address | None, port: str) -> bool:
        """Return True if the entry exempts the host; `literal` is the host if it is an address."""
        if self.port not in ("", port):
            return False
        if self.network is not None:
            return literal is not None and literal.version == self.network.version and literal in self.network
        if self.address is not None:
            return literal == self.address
        return host.endswith(self.suffix) or (self.apex and host == self.suffix[1:])


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
    matchers, has_wildcard = _parse(no_proxy)
    if has_wildcard:
        return "*"
    for matcher in matchers:
        if matcher.suffix and literal is not None and not names_cover_addresses:
            continue
        if matcher.matches(target.host, literal, str(target.port)):
            return matcher.entry
    return None


@functools.lru_cache(maxsize=16)
def _parse(no_proxy: str) -> tuple[tuple[_Matcher, ...], bool]:
    entries = [entry.strip() for entry in no_proxy.split(",")]
    matchers = (_matcher(entry, entry.lower()) for entry in entries if entry)
    return tuple(matcher for matcher in matchers if matcher is not None), "*" in entries


def _matcher(entry: str, text: str) -> _Matcher | None:
    network = _network(text)
    if network is not None:
        return _Matcher(entry, network=network)
    host, port = _split_port(text)
    literal = address(host)
    if literal is not None:
        return _Matcher(entry, address=folded(literal), port=port)
    if not host:
        return None
    host = host[1:] if host.startswith("*.") else host
    apex = not host.startswith(".")
    return _Matcher(entry, suffix=_ascii("." + host if apex else host), apex=apex, port=port)


def _network(text: str) -> _Network | None:
    """Parse a CIDR like net.ParseCIDR; a network of IPv4-mapped addresses becomes one of IPv4."""
    base, slash, bits = text.partition("/")
    literal = address(base)
    if not slash or literal is None or not re.fullmatch(r"0*[0-9]{1,3}", bits):
        return None
    bits = bits[-3:]
    if int(bits) > literal.max_prefixlen:
        return None
    network = ipaddress.ip_network(f"{literal}/{int(bits)}", strict=False)
    mapped = folded(network.network_address)
    if mapped is network.network_address:
        return network
    return ipaddress.ip_network(f"{mapped}/{max(0, int(bits) - 96)}")


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
