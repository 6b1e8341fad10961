"""The proxy's URL: its strict form, and how credentials are added to it."""

from __future__ import annotations

import ipaddress
import re
from re import Match
from urllib.parse import quote, unquote

from agent.core.net import addresses
from agent.core.record import field, record

#: One label of a host name: RFC 1123 section 2.1, and the underscore, which internal zones use.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBERS = re.compile(r"[0-9.]+")
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>\[[^\]]*\]|[^:/?#\[\]]*)(?::(?P<port>[^/?#]*))?(?P<rest>.*)",
    re.DOTALL,
)
_SCHEME, _BRACKETS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://"), re.compile(r"\[[0-9A-Fa-f:.]*\]")
#: A host with or without a port, and what may follow it, without a second host and port.
_SAFE = re.compile(r"[^:]*(?:(?::[0-9]{1,5})+(?:[/?#,;\s][^:]*)?|:)?", re.DOTALL)

FORM = "http://HOST:PORT"


@record
class Credentials:
    """User and password of the proxy, not percent-encoded."""

    user: str = field(repr=False)
    password: str = field(repr=False)


@record
class ProxyUrl:
    """A proxy without credentials.

    `host` is a lower-case name, an IPv4 address, or an IPv6 address without brackets.
    """

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return self.with_credentials(None)

    def with_credentials(self, credentials: Credentials | None) -> str:
        """Return the URL with the credentials.

        All characters but `A-Za-z0-9-._` are percent-encoded, because every client decodes that.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        if credentials is None:
            return f"{self.scheme}://{host}:{self.port}"
        user, password = (quote(text, safe="").replace("~", "%7E") for text in (credentials.user, credentials.password))
        return f"{self.scheme}://{user}:{password}@{host}:{self.port}"


def is_host_name(text: str) -> bool:
    """Return True if `text` is a lower-case DNS name without a trailing dot.

    Digits and dots alone are not a name.
    """
    return len(text) <= 253 and bool(_NAME.fullmatch(text)) and not _NUMBERS.fullmatch(text)


def parse_proxy_url(text: str) -> ProxyUrl:
    """Parse a proxy URL of the settings.

    The form is strict, because clients read an incomplete URL differently. Without a port, curl
    uses 1080 and the others 80. Without a scheme, Go rejects what curl accepts.
    Raises ValueError; its text never repeats user info, nor what may be some with a mistyped `@`.
    """
    several = several_urls(text)
    if several:
        raise ValueError(f"{quoted(text)} names several proxies; write one each: {', '.join(map(quoted, several))}")
    if any(not 0x21 <= ord(char) <= 0x7E for char in text):
        bad = next(char for char in text if not 0x21 <= ord(char) <= 0x7E)
        raise ValueError(f"contains the character {bad!a}; use ASCII without blanks (a non-ASCII host name as xn--...)")
    if "@" in text:
        raise ValueError(
            "contains user info, which would end up in world-readable files; "
            "write USER:PASSWORD to the file of proxy.credentials_file"
        )
    if "%" in text:
        raise ValueError(f'{quoted_proxy(text)} contains "%"; expected {FORM} without percent-encoding')
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError(f"{quoted_proxy(text)} has {_missing(text)}")
    scheme, host = match.group("scheme").lower(), match.group("host").lower()
    port, rest = match.group("port"), match.group("rest")
    if scheme not in ("http", "https"):
        raise ValueError(f"{quoted_proxy(text)} has the scheme {scheme}; expected http or https")
    if rest not in ("", "/"):
        better = _with_scheme(text[: match.start("rest")])
        raise ValueError(f"{quoted_proxy(text)} has a path; write {better or FORM} and nothing after it")
    return ProxyUrl(scheme, _host(host, text), _port(port, text))


def several_urls(text: str) -> tuple[str, ...]:
    """Return the URLs of proxies that one string holds, none if it holds one or anything else."""
    if "@" in text:
        return ()
    words = re.split(r"[\s,;]+", text.strip())
    return tuple(map(_with_scheme, words)) if len(words) > 1 and all(map(_with_scheme, words)) else ()


def _missing(text: str) -> str:
    """Return what a URL without a scheme lacks, and the remedy."""
    complete, example = _with_scheme(text), _with_scheme(text + ":3128")
    if complete or not example:
        return f"no scheme; write {complete or FORM}"
    return f"no scheme and no port; write both, as in {example}"


def _with_scheme(text: str) -> str:
    """Return a URL whose scheme may be missing, "" if it is invalid in another way."""
    url = _URL.fullmatch(text if "://" in text else "http://" + text)
    try:
        if url is None or url.group("scheme").lower() not in ("http", "https") or url.group("rest") not in ("", "/"):
            return ""
        host, port = _host(url.group("host").lower(), text), _port(url.group("port"), text)
    except ValueError:
        return ""
    return str(ProxyUrl(url.group("scheme").lower(), host, port))


def _host(host: str, text: str) -> str:
    if host.startswith("["):
        try:
            return addresses.canonical(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError(f"{quoted_proxy(text)} has no IPv6 address in the brackets") from None
    if _NUMBERS.fullmatch(host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError(f"{quoted_proxy(text)} has an invalid IPv4 address") from None
    if not is_host_name(host):
        raise ValueError(f"{quoted_proxy(text)} has no valid host name; expected {FORM}")
    return host


def _port(port: str | None, text: str) -> int:
    if port is None:
        example = _with_scheme(text.rstrip("/") + ":3128") or "http://HOST:3128"
        reason = "clients' defaults differ (curl 1080, others 80)"
        raise ValueError(f"{quoted_proxy(text)} has no port; write it, as in {example}, because {reason}")
    if not re.fullmatch(r"-?[0-9]{0,6}|[0-9]{1,5}:[0-9]{1,5}", port):  # such as http://USER:PASSWORD;HOST:PORT
        raise ValueError(
            f"{quoted_proxy(text)} has no number as its port; "
            "expected 1 to 65535, and a password only in the file of proxy.credentials_file"
        )
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{quoted_proxy(text)} has the port {quoted(port)}; expected a number from 1 to 65535")
    return int(port)


def quoted(text: str, limit: int = 80) -> str:
    """Return a value for an error message: printable ASCII in double quotes, without user info.

    It is shortened to `limit` characters.
    """
    masked = re.sub(r"\S+", _without_user_info, text)
    shown = masked if len(masked) <= limit else masked[:limit] + "..."
    escaped = (char if 0x20 <= ord(char) <= 0x7E and char not in '"\\' else ascii(char)[1:-1] for char in shown)
    return f'"{"".join(escaped)}"'


def _without_user_info(match: Match[str]) -> str:
    """Mask `http://USER:PASSWORD@` and `USER:PASSWORD@`; a password may contain / and @."""
    user_info, _, rest = match.group().rpartition("@")
    return "***@" + rest if ":" in user_info else match.group()


def quoted_proxy(text: str) -> str:
    """Return the value of a proxy setting as `quoted` does, without what may be a password.

    With a mistyped `@`, USER:PASSWORD@HOST:PORT has a password where the port should be.
    """
    scheme = _SCHEME.match(text)
    start = scheme.end() if scheme else 0
    is_shown = "@" in text or _SAFE.fullmatch(_BRACKETS.sub("", text[start:]))
    return quoted(text if is_shown else text[:start] + "***")


def parse_credentials(text: str) -> Credentials:
    """Parse the single line USER:PASSWORD of a credentials file.

    The password may contain colons and any printable character.
    Raises ValueError; its text repeats nothing of the file.
    """
    if text.startswith("\ufeff"):
        raise ValueError("begins with a byte order mark; save it as UTF-8 without one")
    if text.lstrip().startswith("{"):
        raise ValueError("is JSON; write USER:PASSWORD on one line")
    line = text[:-1] if text.endswith("\n") else text
    if not line:
        raise ValueError("is empty; write USER:PASSWORD on one line")
    if "\n" in line:
        raise ValueError("has more than one line; write USER:PASSWORD on one line")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in line):
        raise ValueError("contains a control character; write USER:PASSWORD on one line")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", line):
        raise ValueError("is a URL; write only USER:PASSWORD, not percent-encoded")
    user, colon, password = line.partition(":")
    if not (user and colon):
        raise ValueError("does not have the form USER:PASSWORD")
    return Credentials(user, password)


def split_credentials(url: str) -> tuple[ProxyUrl, Credentials] | None:
    """Return the parts of what `ProxyUrl.with_credentials` returned; None for any other text."""
    scheme, _, rest = url.partition("://")
    user_info, at, host = rest.rpartition("@")
    user, colon, password = user_info.partition(":")
    try:
        parts = parse_proxy_url(f"{scheme}://{host}"), Credentials(unquote(user), unquote(password))
    except ValueError:
        return None
    return parts if at and colon and parts[0].with_credentials(parts[1]) == url else None


def is_percent_encoded(credentials: Credentials) -> bool:
    """Return True if each % of the credentials begins a percent-encoded byte, and there is one."""
    text = f"{credentials.user}:{credentials.password}"
    return "%" in text and not re.search("%(?![0-9A-Fa-f]{2})", text)
