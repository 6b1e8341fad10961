"""The proxy's URL: what we accept, and how a password gets into it."""

from __future__ import annotations

import ipaddress
import re
from re import Match
from urllib.parse import quote

import attrs

from agent.core.net import addresses

#: One label of a host name (RFC 1123 section 2.1, plus the underscore that internal DNS zones do
#: use).
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>\[[^\]]*\]|[^:/?#\[\]]*)(?::(?P<port>[^/?#]*))?(?P<rest>.*)",
    re.DOTALL,
)

FORM = "http://HOST:PORT"


@attrs.frozen
class Credentials:
    """User name and password of the proxy, as they are (not percent-encoded)."""

    user: str = attrs.field(repr=False)
    password: str = attrs.field(repr=False)


@attrs.frozen
class ProxyUrl:
    """A proxy without credentials: `host` is a lower-case name, an IPv4 address or an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return self.with_credentials(None)

    def with_credentials(self, credentials: Credentials | None) -> str:
        """The URL; user and password percent-encoded outside `A-Za-z0-9-._`, which all clients undo alike."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if credentials is None:
            return f"{self.scheme}://{host}:{self.port}"
        user, password = (quote(text, safe="").replace("~", "%7E") for text in (credentials.user, credentials.password))
        return f"{self.scheme}://{user}:{password}@{host}:{self.port}"


def is_host_name(text: str) -> bool:
    """Whether `text` is a lower-case DNS name without a final dot; an address of digits and dots is none."""
    return len(text) <= 253 and bool(_NAME.fullmatch(text)) and not re.fullmatch(r"[0-9.]+", text)


def parse_proxy_url(text: str) -> ProxyUrl:
    """Read a proxy URL of the settings.

    Strict, because every client reads a sloppy one differently: without a port curl takes 1080 and
    the others 80; without a scheme Go refuses what curl takes.  Raises ValueError whose text never
    repeats user info.
    """
    if any(not 0x21 <= ord(char) <= 0x7E for char in text):
        odd = next(char for char in text if not 0x21 <= ord(char) <= 0x7E)
        raise ValueError(
            f"has the character {odd!a}; write it in ASCII without blanks (a non-ASCII host name as xn--...)"
        )
    if "@" in text:
        raise ValueError(
            "has user info in the URL, which would end up in world-readable files; put USER:PASSWORD into proxy.credentials_file"
        )
    if "%" in text:
        raise ValueError(f'{quoted(text)} has a "%": nothing in {FORM} needs encoding')
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(
            "{} has no scheme; write http://{}".format(quoted(text), text if is_plain(text) else "HOST:PORT")
        )
    scheme, host, port, rest = (
        match.group("scheme").lower(),
        match.group("host").lower(),
        match.group("port"),
        match.group("rest"),
    )
    if scheme not in ("http", "https"):
        raise ValueError(f"{quoted(text)} has the scheme {scheme}; clients agree on http and https only")
    if rest not in ("", "/"):
        raise ValueError(f"{quoted(text)} has a path; a proxy is {FORM} and nothing after it")
    return ProxyUrl(scheme, _host(host, text), _port(port, text))


def _host(host: str, text: str) -> str:
    if host.startswith("["):
        try:
            return addresses.canonical(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError(f"{quoted(text)} has no IPv6 address between the brackets") from None
    if re.fullmatch(r"[0-9.]+", host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError(f"{quoted(text)} has a host that is neither a name nor an IPv4 address") from None
    if not is_host_name(host):
        raise ValueError(f"{quoted(text)} has no valid host name; write {FORM}")
    return host


def _port(port: str | None, text: str) -> int:
    if port is None:
        raise ValueError(
            f"{quoted(text)} has no port; clients disagree on the default (curl 1080, others 80), so write it: http://HOST:3128"
        )
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{quoted(text)} has the port {quoted(port)}; a port is a number from 1 to 65535")
    return int(port)


def is_plain(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9.:-]+", text))


def quoted(text: str, limit: int = 80) -> str:
    """A value for an error message: printable ASCII in double quotes, shortened, without the user info of a URL."""
    masked = re.sub(r"\S+", _without_user_info, text)
    shown = masked if len(masked) <= limit else masked[:limit] + "..."
    return '"{}"'.format(
        "".join(char if 0x20 <= ord(char) <= 0x7E and char not in '"\\' else ascii(char)[1:-1] for char in shown)
    )


def _without_user_info(match: Match[str]) -> str:
    """`http://USER:PASSWORD@` and `USER:PASSWORD@`; a password may hold / and @ itself."""
    user_info, _, rest = match.group().rpartition("@")
    return "***@" + rest if ":" in user_info else match.group()


def parse_credentials(text: str) -> Credentials:
    """Read the one line USER:PASSWORD of a credentials file; the password may hold colons and anything printable.

    Raises ValueError without repeating what was read.
    """
    line = text[:-1] if text.endswith("\n") else text
    if not line:
        raise ValueError("is empty; write USER:PASSWORD on one line")
    if "\n" in line:
        raise ValueError("has more than one line; write USER:PASSWORD on one line")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in line):
        raise ValueError("has a control character; write USER:PASSWORD on one line")
    user, colon, password = line.partition(":")
    if not (user and colon):
        raise ValueError("has no USER:PASSWORD")
    return Credentials(user, password)
