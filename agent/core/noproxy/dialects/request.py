"""The target of a request: a URL, host or address."""

from __future__ import annotations

import re
from typing import NamedTuple

from agent.core.net.addresses import ipv4, ipv6
from agent.core.net.proxy_url import is_host_name, quoted

#: Schemes for which the proxy variables count, and their default ports.
PORTS = {"http": 80, "https": 443}

#: Characters. Longer than any URL that a client sends; an endless line is not a target.
LIMIT = 8192

_CIDR = re.compile(r"[0-9a-fA-F:.]+/[0-9]{1,3}")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PATH = re.compile(r"[/?#]")
#: A name whose last label is a number, which some clients read as an address.
_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)")
#: IDNA 2003 replaces these characters, IDNA 2008 encodes them: two clients would request different
#: hosts.
_DEVIATIONS = "\u00df\u03c2\u200c\u200d"


class Request(NamedTuple):
    """The target of a request.

    `host` is a lower-case name, an IPv4 address, or an IPv6 address without brackets.  A name may
    have a trailing dot, which not all clients ignore.  An IPv6 address keeps its spelling, because
    most clients compare it as text.  `port` is the port of the connection; `has_port` is True if
    the target has an explicit one, which some clients compare.  `spelled` is the target without
    user info, path and query, and safe to print.
    """

    scheme: str
    host: str
    port: int
    spelled: str
    has_port: bool = False

    @property
    def netloc(self) -> str:
        """Return host and port as the URL has them: IPv6 in brackets, only an explicit port."""
        return _netloc(self.host, self.port if self.has_port else None)


def parse_request(text: str) -> Request:
    """Parse a URL, HOST, HOST:PORT or an address.

    Without a scheme it is https, or http for port 80.  User info, path and query are dropped.
    Raises ValueError; its text names the allowed form and never repeats user info.
    """
    text = text.strip()
    if len(text) > LIMIT:
        raise ValueError(f"target has {len(text)} characters; a host name has at most 253")
    if _CIDR.fullmatch(text):
        raise ValueError(f"{_shown(text)} is a network; write an address in it")
    scheme, authority = _scheme(text)
    authority = authority.rpartition("@")[2]
    if "," in authority:
        raise ValueError(f"{_shown(text)} is a list; write --no-proxy LIST for a NO_PROXY list, or one target a word")
    host_text, port_text = _split(authority, text)
    host = _host(host_text, text)
    port = _port(port_text, text)
    effective = scheme or ("http" if port == PORTS["http"] else "https")
    netloc = _netloc(host, port)
    spelled = f"{scheme}://{netloc}" if scheme else netloc
    return Request(effective, host, port or PORTS[effective], spelled, has_port=port is not None)


def _netloc(host: str, port: int | None) -> str:
    bracketed = f"[{host}]" if ":" in host else host
    return bracketed if port is None else f"{bracketed}:{port}"


def _scheme(text: str) -> tuple[str, str]:
    """Return scheme, empty if there is none, and authority."""
    match = _SCHEME.match(text)
    if "\\" in text or (match is None and text.partition(":")[0].lower() in PORTS):
        raise ValueError(f"{_shown(text)} is not a URL; write https://HOST/")  # some clients read \ as /
    if match is None:
        return "", _PATH.split(text[2:] if text.startswith("//") else text, maxsplit=1)[0]
    scheme = match.group(1).lower()
    if scheme not in PORTS:
        raise ValueError(f"{_shown(text)} has the scheme {scheme}; expected {' or '.join(PORTS)}")
    return scheme, _PATH.split(text[match.end() :], maxsplit=1)[0]


def _split(authority: str, text: str) -> tuple[str, str | None]:
    """Return host, without brackets, and port, None without a colon."""
    if authority.startswith("["):
        match = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", authority, re.DOTALL)
        if match is None or ":" not in match.group(1):
            raise ValueError(f"{_shown(text)} has no IPv6 address in the brackets; write it as [fd00:ec2::254]")
        return match.group(1), match.group(2)
    if authority.count(":") > 1:
        return authority, None  # an IPv6 address without brackets, or invalid
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def _host(text: str, whole: str) -> str:
    if ":" in text:
        if ipv6(text) is None:
            raise ValueError(f"{_shown(whole)} has no valid IPv6 address; write it as fd00:ec2::254, without a zone")
        return text.lower()
    host = _ascii(text, whole).lower()
    name = host[:-1] if host.endswith(".") else host
    if ipv4(host) is not None:
        return host
    if _NUMBER.fullmatch(name):
        raise ValueError(
            f"{_shown(whole)} ends in a number but is not an IPv4 address of four decimal numbers; "
            "clients read other notations differently"
        )
    if not is_host_name(name):
        raise ValueError(f"{_shown(whole)} has no valid host; write https://HOST/, HOST, HOST:PORT or an address")
    return host


def _ascii(text: str, whole: str) -> str:
    """Return an international name as A-labels (RFC 5890).

    Raises ValueError if the versions of IDNA encode it differently.
    """
    if text.isascii():
        return text
    if not any(char in text for char in _DEVIATIONS):
        try:
            return text.encode("idna").decode("ascii")
        except UnicodeError:
            pass
    raise ValueError(f"{_shown(whole)} has a host that clients encode differently; write it as xn--...")


def _port(text: str | None, whole: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError(f"{_shown(whole)} has no valid port; expected a number from 1 to 65535")
    return int(text)


def _shown(text: str) -> str:
    """Return the target for an error message, without anything before the last @.

    A password may contain / and ?.
    """
    return quoted(("...@" if "@" in text else "") + text.rpartition("@")[2])
