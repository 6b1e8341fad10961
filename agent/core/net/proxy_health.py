"""What a look at a proxy found: from what happened to a verdict with its text and the way out.  Pure.

Texts repeat what the other side said only as quoted, shortened ASCII: it may be anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from agent.core.net.proxy_url import ProxyUrl, quoted

#: How good a proxy is: it carries requests; it is alive and reports that it reaches nobody; it is
#: dead.
SERVES, ALIVE, DEAD = 2, 1, 0

#: Who signs the certificates of AWS's endpoints outside China, of which nothing is known here.
#: Source: the repository of Amazon Trust Services, and "S3 and CloudFront certificate migration" of
#: the AWS Knowledge Center (DigiCert before that).
_AWS_AUTHORITIES = ("Amazon", "Starfield Technologies", "DigiCert")
_AWS_DOMAINS = re.compile(r"(?:^|\.)(?:amazonaws\.com|api\.aws|on\.aws)$")

#: What each stage of a probe waits for, for the text of a time-out.
STAGES = {
    "resolve": "its name was not resolved",
    "connect": "no connection: a security group, firewall or route drops packets, or the host is down",
    "proxy-tls": "connected, but the TLS handshake with the proxy did not end",
    "answer": "connected, but no whole answer to CONNECT came",
    "tls": "the tunnel is open, but the TLS handshake through it did not end",
}

#: How the first bytes of something that is no HTTP answer look, and what it is then.
_BANNERS = (
    (b"\x15\x03", "speaks TLS", "if it is an HTTPS proxy, write https:// in proxy.url"),
    (b"SSH-", "is an SSH server", "correct the port in proxy.url"),
    (b"\x05", "is a SOCKS proxy", "clients agree on HTTP proxies only: give the port of the HTTP proxy"),
    (b"\x00\x5b", "is a SOCKS proxy", "clients agree on HTTP proxies only: give the port of the HTTP proxy"),
    (b"CONNECT ", "sends back what it is sent", "correct the port in proxy.url"),
)


#: OpenSSL's names for bytes that are no TLS at all.
_NOT_TLS = (
    "wrong version number",
    "unknown protocol",
    "record layer failure",
    "packet length too long",
    "http request",
)


@attrs.frozen
class Verdict:
    """What was found of a proxy, for one target.

    `kind` is one of ok, dns, refused, timeout, unreachable, denied (403), credentials (407),
    tls-untrusted, tls-inspected (which is ok), protocol, upstream (5xx).  `hint` is the way out,
    empty when there is nothing to do; `seconds` until the answer to CONNECT, or until it was given
    up; `issuer` who signed the target's certificate as it arrived here.
    """

    ok: bool
    kind: str
    text: str
    hint: str = ""
    seconds: float = 0.0
    issuer: str = ""

    @property
    def rank(self) -> int:
        """How good the proxy is, for the choice among several: a refusal (403, 407) is an answer as well."""
        if self.ok or self.kind in ("denied", "credentials", "tls-untrusted"):
            return SERVES
        return ALIVE if self.kind == "upstream" else DEAD


@attrs.frozen
class Response:
    """A proxy's answer to CONNECT, with header names in lower case."""

    status: int
    reason: str
    headers: Mapping[str, str]


def not_resolved(proxy: ProxyUrl, reason: str) -> Verdict:
    return Verdict(
        False,
        "dns",
        f"{proxy}: the name {proxy.host} does not resolve: {said(reason)}",
        f"correct proxy.url, or have the VPC's DNS know the name (getent hosts {proxy.host})",
    )


def not_connected(proxy: ProxyUrl, kind: str, reason: str) -> Verdict:
    """`kind` is refused or unreachable."""
    hints = {
        "refused": "start the proxy, or correct the port in proxy.url",
        "unreachable": "look at the routes of this node's subnet (ip route get ADDRESS)",
    }
    return Verdict(False, kind, f"{proxy}: {said(reason)}", hints[kind])


def timed_out(proxy: ProxyUrl, stage: str, target: str, seconds: float) -> Verdict:
    """`stage` is one of STAGES."""
    hints = {
        "resolve": "the DNS servers of /etc/resolv.conf do not answer",
        "connect": f"allow TCP port {proxy.port} from this node to the proxy",
        "proxy-tls": "is this an http:// proxy?  Correct the scheme in proxy.url",
        "answer": f"the proxy is overloaded or waits for something (its DNS, its upstream, {target}): see its log",
        "tls": f"something behind the proxy drops TLS to {target}: see the proxy's log",
    }
    kind = "dns" if stage == "resolve" else "timeout"
    return Verdict(
        False, kind, f"{proxy}: {STAGES[stage]} (given up after {seconds:.1f} seconds)", hints[stage], seconds
    )


def broken(proxy: ProxyUrl, stage: str, target: str, reason: str, head: bytes = b"") -> Verdict:
    """What came was no HTTP answer, or no TLS, or the connection ended; `head` are the first bytes that came."""
    if stage == "tls" and any(word in reason for word in _NOT_TLS):
        text = f"{proxy}: says that it opens a tunnel to {target}, but what answers there does not speak TLS: {said(reason)}"
        hint = "is that an HTTP proxy's port?  A portal that wants a log-in answers like this too"
        return Verdict(False, "protocol", text, hint)
    if stage == "tls":
        text = f"{proxy}: opens a tunnel to {target}, but TLS through it fails: {said(reason)}"
        return Verdict(False, "upstream", text, "is a firewall behind the proxy closing it?  See the proxy's log")
    if stage == "proxy-tls":
        text = f"{proxy}: no TLS with the proxy: {said(reason)}"
        return Verdict(False, "protocol", text, "if it is a plain HTTP proxy, write http:// in proxy.url")
    for prefix, what, hint in _BANNERS:
        if head.startswith(prefix):
            return Verdict(False, "protocol", f"{proxy}: port {proxy.port} {what}", hint)
    if not head:
        text = f"{proxy}: closed the connection without an answer to CONNECT"
        return Verdict(False, "protocol", text, "is it an HTTPS proxy (https://), or a load balancer without targets?")
    first = said(head.splitlines()[0].decode("latin-1"), 40)
    text = f"{proxy}: no HTTP answer to CONNECT ({said(reason)}); it began with {first}"
    return Verdict(False, "protocol", text, "is that an HTTP proxy's port?")


def untrusted(proxy: ProxyUrl, server: str, reason: str, issuer: str) -> Verdict:
    """The certificate of `server`, the proxy itself or the target behind it, was refused."""
    by = f", issued by {said(issuer)}," if issuer else ""
    text = f"{proxy}: the certificate of {server}{by} is not trusted here: {said(reason)}"
    hint = "if the proxy inspects TLS, its CA belongs into node.ca_bundle; is the clock right?"
    return Verdict(False, "tls-untrusted", text, hint, issuer=said(issuer) if issuer else "")


def answered(proxy: ProxyUrl, target: str, response: Response, *, with_credentials: bool) -> Verdict:
    """The verdict on an answer to CONNECT."""
    if response.status == 407:
        return _asks_for_credentials(proxy, response, with_credentials)
    if response.status in (403, 429, 451):
        text = f"{proxy}: refuses a connection to {target}: {_answer(response)}"
        return Verdict(False, "denied", text, "have the proxy's policy allow it, from this node's address")
    if 500 <= response.status <= 599 and response.status != 501:
        text = f"{proxy}: does not reach {target}: {_answer(response)}"
        return Verdict(False, "upstream", text, "the proxy lives: its DNS or its way out is broken, see its log")
    if 200 <= response.status <= 299 and not _has_a_page(response):
        return Verdict(True, "ok", f"{proxy}: opens a tunnel to {target}")
    text = f"{proxy}: answers CONNECT as a web server does: {_answer(response)}"
    return Verdict(False, "protocol", text, "is that an HTTP proxy's port?")


def with_certificate(verdict: Verdict, host: str, issuer: str) -> Verdict:
    """A tunnel in which TLS worked: whose certificate it was."""
    if not issuer:
        return verdict
    name = said(issuer)
    if _AWS_DOMAINS.search(host) and not any(own in issuer for own in _AWS_AUTHORITIES):
        issued = f"its certificate is trusted here, and issued by {name}, none of AWS's own CAs"
        text = f"{verdict.text}; {issued}: the proxy inspects TLS"
        return attrs.evolve(verdict, kind="tls-inspected", text=text, issuer=name)
    return attrs.evolve(verdict, text=f"{verdict.text}; certificate by {name}", issuer=name)


def said(text: str, limit: int = 80) -> str:
    """What another program said, in a form that is safe to print: an error of the system as it is, other text quoted."""
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9 ,.'()-]*", text) and len(text) <= limit else quoted(text, limit)


def _asks_for_credentials(proxy: ProxyUrl, response: Response, with_credentials: bool) -> Verdict:
    header = response.headers.get("proxy-authenticate", "")
    schemes = _schemes(header)
    if schemes and "basic" not in schemes:
        text = "{}: asks for a log-in by {} (407)".format(proxy, " or ".join(schemes))
        hint = "clients on a node know Basic alone: have the proxy let this subnet in without, or with Basic"
        return Verdict(False, "credentials", text, hint)
    if with_credentials:
        text = f"{proxy}: refuses the user or the password (407)"
        return Verdict(False, "credentials", text, "correct the file of proxy.credentials_file, then: apply")
    text = f"{proxy}: asks for a user and a password (407), and proxy.credentials_file is not set"
    return Verdict(False, "credentials", text, "write USER:PASSWORD to a file of root's, mode 0600, and name it there")


def _schemes(header: str) -> tuple[str, ...]:
    """The names of the schemes in Proxy-Authenticate (RFC 9110, 11.7.1), without their parameters."""
    names = re.findall(r"(?:^|,)\s*([A-Za-z][A-Za-z0-9-]{0,19})(?=\s+[^\s=,]|\s*(?:,|$))", header[:1000])
    return tuple(dict.fromkeys(name.lower() for name in names))


def _has_a_page(response: Response) -> bool:
    """Whether a 200 brings content, which a tunnel does not (RFC 9110, 9.3.6): a web server that takes any method."""
    length = response.headers.get("content-length", "0").strip()
    return length != "0" or response.headers.get("content-type", "").strip().lower().startswith("text/html")


def _answer(response: Response) -> str:
    """The answer in a few words, with what Squid says about its errors."""
    words = f"{response.status} {said(response.reason)}" if response.reason else str(response.status)
    more = [
        f"{name}: {said(response.headers[name.lower()])}"
        for name in ("X-Squid-Error", "Server")
        if response.headers.get(name.lower())
    ]
    return words + (" ({})".format(", ".join(more)) if more else "")
