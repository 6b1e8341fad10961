"""What a client is asked for: the URL, host or address whose way is to be explained."""

from __future__ import annotations

import re

import attrs

from agent.core.net.addresses import ipv4, ipv6
from agent.core.net.proxy_url import is_host_name, quoted

#: The only schemes for which the proxy's variables count, and the ports that a URL without one
#: means.
PORTS = {"http": 80, "https": 443}

#: Longer than any URL that a client sends; a line without an end is no target.
LIMIT = 8192

#: IDNA 2003 rewrites these characters, IDNA 2008 encodes them: two clients would look for two
#: different hosts.
_DEVIATIONS = "\u00df\u03c2\u200c\u200d"


@attrs.frozen
class Request:
    """A request's target.

    `host` is a lower-case name (perhaps with a final dot, which clients do not all ignore), an IPv4
    address, or an IPv6 address without brackets and as it was spelt, because most clients compare
    it as text.  `port` is the one that is connected to, and `has_port` whether it was written: some
    clients compare what was written.  `spelled` is what was asked, without user info, path and
    query: it can be printed.
    """

    scheme: str
    host: str
    port: int
    spelled: str
    has_port: bool = False

    @property
    def netloc(self) -> str:
        """Host and port as the URL has them: brackets round IPv6, the port if it was written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.has_port else host


def parse_request(text: str) -> Request:
    """Read a URL, HOST, HOST:PORT or an address; what has no scheme is https, unless it names port 80.

    User info, path and query are dropped.  Raises ValueError that says what is allowed; it never
    repeats user info.
    """
    text = text.strip()
    if len(text) > LIMIT:
        raise ValueError(f"a target of {len(text)} characters; a host name has 253 at most")
    if re.fullmatch(r"[0-9a-fA-F:.]+/[0-9]{1,3}", text):
        raise ValueError(f"{_shown(text)} is a network; write an address of it")
    scheme, authority = _scheme(text)
    host_text, port_text = _split(authority.rpartition("@")[2], text)
    host = _host(host_text, text)
    port = _port(port_text, text)
    chosen = scheme or ("http" if port == PORTS["http"] else "https")
    target = Request(chosen, host, port or PORTS[chosen], "", has_port=port is not None)
    return attrs.evolve(target, spelled=scheme + "://" + target.netloc if scheme else target.netloc)


def _scheme(text: str) -> tuple[str, str]:
    """Scheme (empty when there is none) and authority."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if "\\" in text or (match is None and text.partition(":")[0].lower() in PORTS):
        raise ValueError(f"{_shown(text)} is no URL; write https://HOST/")  # some clients read \ as /
    if match is None:
        return "", re.split(r"[/?#]", text[2:] if text.startswith("//") else text, maxsplit=1)[0]
    scheme = match.group(1).lower()
    if scheme not in PORTS:
        raise ValueError("{} has the scheme {}; allowed are {}".format(_shown(text), scheme, " and ".join(PORTS)))
    return scheme, re.split(r"[/?#]", text[match.end() :], maxsplit=1)[0]


def _split(authority: str, text: str) -> tuple[str, str | None]:
    """Host and port, None without a colon; an IPv6 address keeps no brackets."""
    if authority.startswith("["):
        match = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", authority, re.DOTALL)
        if match is None or ":" not in match.group(1):
            raise ValueError(f"{_shown(text)} has no IPv6 address between the brackets; write [fd00:ec2::254]")
        return match.group(1), match.group(2)
    if authority.count(":") > 1:
        return authority, None  # an IPv6 address that stands bare, or nothing
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def _host(text: str, whole: str) -> str:
    if ":" in text:
        if ipv6(text) is None:
            raise ValueError(f"{_shown(whole)} has no valid IPv6 address; write fd00:ec2::254, without a zone")
        return text.lower()
    host = _ascii(text, whole).lower()
    name = host[:-1] if host.endswith(".") else host
    if ipv4(host) is not None:
        return host
    if re.fullmatch(r"(.*\.)?([0-9]+|0x[0-9a-f]*)", name):
        raise ValueError(
            f"{_shown(whole)} ends in a number and is no IPv4 address of four plain numbers; clients read other notations differently"
        )
    if not is_host_name(name):
        raise ValueError(f"{_shown(whole)} has no valid host; write https://HOST/, HOST, HOST:PORT or an address")
    return host


def _ascii(text: str, whole: str) -> str:
    """An international name as its A-labels (RFC 5890); what has no agreed one is refused."""
    if text.isascii():
        return text
    if not any(char in text for char in _DEVIATIONS):
        try:
            return text.encode("idna").decode("ascii")
        except UnicodeError:
            pass
    raise ValueError(f"{_shown(whole)} has a host without one agreed ASCII form; write it as xn--...")


def _port(text: str | None, whole: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise ValueError(f"{_shown(whole)} has no valid port; a port is a number from 1 to 65535")
    return int(text)


def _shown(text: str) -> str:
    """The target for an error message, without anything that stands before the last @: a password may hold / and ?."""
    return quoted(("...@" if "@" in text else "") + text.rpartition("@")[2])
