"""The verdict of one health check of a proxy, with its text and its remedy.  Pure.

Text of the other side is repeated only as quoted, shortened ASCII, because it may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.core.net.proxy_url import ProxyUrl, quoted
from agent.core.record import evolve, record

#: Ranks of a proxy: it carries requests; it is up but reports that it cannot reach upstream; it is
#: down.
SERVES, ALIVE, DEAD = 2, 1, 0

#: Issuers of the certificates of AWS endpoints outside China; those in China are unknown.
#: Source: the repository of Amazon Trust Services, and "S3 and CloudFront certificate migration" of
#: the AWS Knowledge Center (DigiCert before that).
_AWS_AUTHORITIES = ("Amazon", "Starfield Technologies", "DigiCert")
_AWS_DOMAINS = re.compile(r"(?:^|\.)(?:amazonaws\.com|api\.aws|on\.aws)$")

#: The stages of a health check, each as the beginning of "... timed out after 3.0 s".
STAGES = {
    "resolve": "name resolution",
    "connect": "connection",
    "proxy-tls": "connected, but the TLS handshake with the proxy",
    "answer": "connected, but the response to CONNECT",
    "tls": "tunnel is open, but the TLS handshake through it",
}

_CHECK_PORT = "check that proxy.url has the port of an HTTP proxy"
_SOCKS = "use the port of an HTTP proxy; not all clients support SOCKS"
#: First bytes of responses that are not HTTP, what they show, and the remedy.
_BANNERS = (
    (b"\x15\x03", "speaks TLS", "if it is an HTTPS proxy, write https:// in proxy.url"),
    (b"SSH-", "is an SSH server", "correct the port in proxy.url"),
    (b"\x05", "is a SOCKS proxy", _SOCKS),
    (b"\x00\x5b", "is a SOCKS proxy", _SOCKS),
    (b"CONNECT ", "echoes the request", "correct the port in proxy.url"),
)


#: OpenSSL's error texts for data that is not TLS.
_NOT_TLS = (
    "wrong version number",
    "unknown protocol",
    "record layer failure",
    "packet length too long",
    "http request",
)


@record
class Verdict:
    """Result of one health check of a proxy, for one target.

    `kind` is one of ok, dns, refused, timeout, unreachable, denied (403), credentials (407),
    tls-untrusted, tls-inspected (which is ok), protocol, upstream (5xx).  `hint` is the remedy,
    empty if there is nothing to do.  `seconds` is the time until the response to CONNECT, or until
    the check failed.  `issuer` is the issuer of the target's certificate as this node sees it.
    """

    ok: bool
    kind: str
    text: str
    hint: str = ""
    seconds: float = 0.0
    issuer: str = ""

    @property
    def rank(self) -> int:
        """Return SERVES, ALIVE or DEAD, for the selection among several proxies.

        A proxy that refuses a request (403, 407) serves.
        """
        if self.ok or self.kind in ("denied", "credentials", "tls-untrusted"):
            return SERVES
        return ALIVE if self.kind == "upstream" else DEAD


@record
class Response:
    """A proxy's response to CONNECT, with header names in lower case."""

    status: int
    reason: str
    headers: Mapping[str, str]


def not_resolved(proxy: ProxyUrl, reason: str) -> Verdict:
    """Return the verdict for a proxy whose host name has no address."""
    return Verdict(
        False,
        "dns",
        f"{proxy}: cannot resolve {proxy.host}: {sanitized(reason)}",
        f"correct proxy.url, or add the name to the VPC's DNS (test: getent hosts {proxy.host})",
    )


def not_connected(proxy: ProxyUrl, kind: str, reason: str) -> Verdict:
    """Return the verdict for a failed connection; `kind` is refused or unreachable."""
    hints = {
        "refused": "start the proxy, or correct the port in proxy.url",
        "unreachable": "check the routes of this node's subnet (ip route get ADDRESS)",
    }
    return Verdict(False, kind, f"{proxy}: {sanitized(reason)}", hints[kind])


def timed_out(proxy: ProxyUrl, stage: str, target: str, seconds: float) -> Verdict:
    """Return the verdict for a time-out in `stage`, one of STAGES."""
    firewall = "check the security groups, firewalls and routes, and that the host is up"
    hints = {
        "resolve": "check the DNS servers in /etc/resolv.conf; they do not respond",
        "connect": f"allow TCP port {proxy.port} from this node to the proxy; {firewall}",
        "proxy-tls": "if it is a plain HTTP proxy, write http:// in proxy.url",
        "answer": f"check the proxy's log; it may be overloaded, or waiting for its DNS, its upstream or {target}",
        "tls": f"check the proxy's log; a firewall behind the proxy may drop TLS to {target}",
    }
    kind = "dns" if stage == "resolve" else "timeout"
    return Verdict(False, kind, f"{proxy}: {STAGES[stage]} timed out after {seconds:.1f} s", hints[stage], seconds)


def broken(proxy: ProxyUrl, stage: str, target: str, reason: str, head: bytes = b"") -> Verdict:
    """Return the verdict for a response that is not HTTP or not TLS, or for a closed connection.

    `head` has the first bytes of the response.
    """
    if stage == "tls" and any(phrase in reason for phrase in _NOT_TLS):
        text = f"{proxy}: opens a tunnel to {target}, but the other end does not speak TLS: {sanitized(reason)}"
        return Verdict(False, "protocol", text, f"{_CHECK_PORT}; a captive portal responds like this too")
    if stage == "tls":
        text = f"{proxy}: opens a tunnel to {target}, but TLS through it fails: {sanitized(reason)}"
        hint = "check the proxy's log; a firewall behind the proxy may close the connection"
        return Verdict(False, "upstream", text, hint)
    if stage == "proxy-tls":
        text = f"{proxy}: TLS handshake with the proxy failed: {sanitized(reason)}"
        return Verdict(False, "protocol", text, "if it is a plain HTTP proxy, write http:// in proxy.url")
    for prefix, problem, hint in _BANNERS:
        if head.startswith(prefix):
            return Verdict(False, "protocol", f"{proxy}: port {proxy.port} {problem}", hint)
    if not head:
        text = f"{proxy}: closed the connection without a response to CONNECT"
        hint = "if it is an HTTPS proxy, write https:// in proxy.url; if it is a load balancer, check its targets"
        return Verdict(False, "protocol", text, hint)
    first = sanitized(head.splitlines()[0].decode("latin-1"), 40)
    text = f"{proxy}: response to CONNECT is not HTTP ({sanitized(reason)}); it begins with {first}"
    return Verdict(False, "protocol", text, _CHECK_PORT)


def untrusted(proxy: ProxyUrl, server: str, reason: str, issuer: str) -> Verdict:
    """Return the verdict for an untrusted certificate.

    `server` is the proxy itself, or the target behind it.
    """
    by = f", issued by {sanitized(issuer)}," if issuer else ""
    text = f"{proxy}: the certificate of {server}{by} is not trusted by this node: {sanitized(reason)}"
    hint = "if the proxy inspects TLS, add its CA to node.ca_bundle; also check this node's clock"
    return Verdict(False, "tls-untrusted", text, hint, issuer=sanitized(issuer) if issuer else "")


def answered(proxy: ProxyUrl, target: str, response: Response, *, with_credentials: bool) -> Verdict:
    """Return the verdict for a response to CONNECT."""
    if response.status == 407:
        return _credentials_required(proxy, response, with_credentials)
    if response.status in (403, 429, 451):
        text = f"{proxy}: refuses a tunnel to {target}: {_summary(response)}"
        return Verdict(False, "denied", text, "allow it in the proxy's policy, for this node's address")
    if 500 <= response.status <= 599 and response.status != 501:
        text = f"{proxy}: cannot reach {target}: {_summary(response)}"
        hint = "the proxy is up but cannot reach upstream; check its DNS, egress and log"
        return Verdict(False, "upstream", text, hint)
    if 200 <= response.status <= 299 and not _has_content(response):
        return Verdict(True, "ok", f"{proxy}: opens a tunnel to {target}")
    text = f"{proxy}: responds to CONNECT like a web server: {_summary(response)}"
    return Verdict(False, "protocol", text, _CHECK_PORT)


def with_certificate(verdict: Verdict, host: str, issuer: str) -> Verdict:
    """Return the verdict on a tunnel in which TLS works, with the issuer of the certificate."""
    if not issuer:
        return verdict
    name = sanitized(issuer)
    if _AWS_DOMAINS.search(host) and not any(authority in issuer for authority in _AWS_AUTHORITIES):
        text = f"{verdict.text}; the proxy inspects TLS: the trusted certificate was issued by {name}, not by an AWS CA"
        return evolve(verdict, kind="tls-inspected", text=text, issuer=name)
    return evolve(verdict, text=f"{verdict.text}; certificate issued by {name}", issuer=name)


def sanitized(text: str, limit: int = 80) -> str:
    """Return text of another program, safe to print.

    A system error stays as it is; any other text is quoted and shortened to `limit` characters.
    """
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9 ,.'()-]*", text) and len(text) <= limit else quoted(text, limit)


def _credentials_required(proxy: ProxyUrl, response: Response, with_credentials: bool) -> Verdict:
    header = response.headers.get("proxy-authenticate", "")
    schemes = _schemes(header)
    if schemes and "basic" not in schemes:
        text = f"{proxy}: requires authentication by {' or '.join(schemes)} (407)"
        hint = "let the proxy accept Basic, or this subnet without authentication; clients on a node support only Basic"
        return Verdict(False, "credentials", text, hint)
    if with_credentials:
        text = f"{proxy}: rejects the user or password (407)"
        hint = "correct the password at its source (docs/credentials.md), then run: eks-proxy-agent apply"
        return Verdict(False, "credentials", text, hint)
    text = f"{proxy}: requires a user and password (407), but no credentials are set"
    hint = "set proxy.credentials_file, proxy.credentials_command or proxy.credentials (docs/credentials.md)"
    return Verdict(False, "credentials", text, hint)


def _schemes(header: str) -> tuple[str, ...]:
    """Return the names of the schemes in Proxy-Authenticate, without parameters.

    Source: RFC 9110, 11.7.1.
    """
    names = re.findall(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]{0,19})(?=\s+[^\s=,]|\s*(?:,|$))", header[:1000])
    return tuple(dict.fromkeys(name.lower() for name in names))


def _has_content(response: Response) -> bool:
    """Return True if a 2xx response has content.

    A tunnel has none (RFC 9110, 9.3.6): such a response comes from a web server that accepts any
    method.
    """
    length = response.headers.get("content-length", "0").strip()
    return length != "0" or response.headers.get("content-type", "").strip().lower().startswith("text/html")


def _summary(response: Response) -> str:
    """Return status, reason, and the headers in which Squid explains its errors."""
    status = f"{response.status} {sanitized(response.reason)}" if response.reason else str(response.status)
    details = ", ".join(
        f"{name}: {sanitized(response.headers[name.lower()])}"
        for name in ("X-Squid-Error", "Server")
        if response.headers.get(name.lower())
    )
    return f"{status} ({details})" if details else status
