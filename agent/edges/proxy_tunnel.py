"""One look at a proxy, step by step: name, connection, CONNECT, and if wanted TLS through the tunnel.

http.client parses the answer and does not make the connection: its set_tunnel() throws away the
headers of a refusal (before Python 3.12), and there Squid says what is wrong.  requests and urllib3
sit on top of it.
"""

from __future__ import annotations

import base64
import errno
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Callable

import attrs

from agent import __version__
from agent.core.net import proxy_health as verdict
from agent.core.net import x509
from agent.core.net.proxy_health import Response, Verdict
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.edges.streams import Reader, Stream, TcpStream, TlsStream, trusting
from agent.edges.tcp import Address, first_to_accept

#: Bytes that an answer to CONNECT may have, and all that may come in a connection (certificates
#: too).
_HEADER_LIMIT, _LIMIT = 65536, 262144
#: Pause between tries of a name while DNS itself does not answer (seconds).
_AGAIN = 0.1

_REFUSED = (errno.ECONNREFUSED, errno.ECONNRESET)


class _Failed(Exception):
    """A verdict that ends the probe."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.text)
        self.verdict = verdict


class OneProbe:
    """One look: what is done step by step, and how far it has come."""

    def __init__(
        self,
        proxy: ProxyUrl,
        host: str,
        port: int,
        credentials: Credentials | None,
        ends: float,
        *,
        tls: bool,
        trust: ssl.SSLContext | None,
    ) -> None:
        if not host or any(not 0x21 <= ord(char) <= 0x7E for char in host):
            raise ValueError(f"{host!r}: not a host name")
        self._proxy, self._host, self._ends, self._tls = proxy, host, ends, tls
        self._target = "{}:{}".format(f"[{host}]" if ":" in host else host, port)
        self._trust = trust
        self._secret = _basic(credentials) if credentials else ""
        self._started = time.monotonic()
        self._stage = "resolve"
        self.verdict: Verdict | None = None

    def run(self, ended: threading.Condition) -> None:
        """Look, keep the verdict, and wake up who waits for it."""
        found = self._look()
        with ended:
            self.verdict = found
            ended.notify_all()

    def result(self) -> Verdict:
        """The verdict; a time-out when none was come to."""
        return self.verdict or self._timed_out()

    def _look(self) -> Verdict:
        try:
            addresses = self._resolve()
            found, stream, sock = self._tunnel(addresses)
            with sock:
                if not (found.ok and self._tls):
                    return found
                return self._look_inside(found, stream, addresses)
        except _Failed as failed:
            return attrs.evolve(failed.verdict, seconds=failed.verdict.seconds or self._elapsed())

    def _resolve(self) -> list[Address]:
        """Tries again while DNS itself does not answer: at boot it may come up while we ask."""
        while True:
            try:
                return socket.getaddrinfo(self._proxy.host, self._proxy.port, type=socket.SOCK_STREAM)
            except socket.gaierror as error:
                if error.errno != socket.EAI_AGAIN or time.monotonic() + _AGAIN >= self._ends:
                    raise _Failed(verdict.not_resolved(self._proxy, error.strerror or str(error))) from None
                time.sleep(_AGAIN)
            except (OSError, UnicodeError) as error:
                raise _Failed(verdict.not_resolved(self._proxy, str(error))) from None

    def _tunnel(self, addresses: Sequence[Address]) -> tuple[Verdict, Stream, socket.socket]:
        """Connect and ask for the tunnel; the verdict on the answer, with its time."""
        sock = self._connect(addresses)
        try:
            stream: Stream = TcpStream(sock, self._ends, _LIMIT)
            if self._proxy.scheme == "https":
                self._stage = "proxy-tls"
                stream = self._shake_hands(stream, self._proxy.host, partial(self._issuer_of_proxy, addresses))
            self._stage = "answer"
            response = self._ask(stream)
            found = verdict.answered(self._proxy, self._target, response, with_credentials=bool(self._secret))
            return attrs.evolve(found, seconds=self._elapsed()), stream, sock
        except BaseException:
            sock.close()
            raise

    def _connect(self, addresses: Sequence[Address]) -> socket.socket:
        self._stage = "connect"
        try:
            return first_to_accept(addresses, self._ends)
        except socket.timeout:
            raise _Failed(self._timed_out()) from None
        except OSError as error:
            kind = "refused" if error.errno in _REFUSED else "timeout" if error.errno == errno.ETIMEDOUT else ""
            if kind == "timeout":
                raise _Failed(self._timed_out()) from None
            kind = kind or "unreachable"
            raise _Failed(verdict.not_connected(self._proxy, kind, error.strerror or str(error))) from None

    def _ask(self, stream: Stream) -> Response:
        """Send CONNECT and read the answer's header."""
        lines = [f"CONNECT {self._target} HTTP/1.1", "Host: " + self._target]
        lines += ["User-Agent: eks-proxy-agent/" + __version__]
        lines += ["Proxy-Authorization: Basic " + self._secret] if self._secret else []
        reader = Reader(stream, _HEADER_LIMIT)
        try:
            stream.send(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
            response = http.client.HTTPResponse(reader, method="CONNECT")  # type: ignore[arg-type]
            response.begin()
        except socket.timeout:
            raise _Failed(self._timed_out()) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _Failed(self._broken(error, bytes(reader.head))) from None
        headers = {name.lower(): self._masked(value) for name, value in response.msg.items()}
        headers["proxy-authenticate"] = self._masked(", ".join(response.msg.get_all("Proxy-Authenticate", [])))
        return Response(response.status, self._masked(response.reason), headers)

    def _look_inside(self, found: Verdict, stream: Stream, addresses: Sequence[Address]) -> Verdict:
        """TLS with the target, as clients on this node see it."""
        self._stage = "tls"
        inside = self._shake_hands(stream, self._host, partial(self._issuer_of_target, addresses))
        return verdict.with_certificate(found, self._host, x509.issuer(inside.certificate()))

    def _shake_hands(self, stream: Stream, server: str, read_issuer: Callable[[], str]) -> TlsStream:
        try:
            return TlsStream(stream, self._trust or ssl.create_default_context(), server)
        except ssl.SSLCertVerificationError as error:
            found = verdict.untrusted(self._proxy, server, error.verify_message, read_issuer())
            raise _Failed(found) from None
        except socket.timeout:
            raise _Failed(self._timed_out()) from None
        except (OSError, ValueError) as error:
            raise _Failed(self._broken(error)) from None

    def _issuer_of_proxy(self, addresses: Sequence[Address]) -> str:
        return self._read_issuer(addresses, lambda stream: stream, self._proxy.host)

    def _issuer_of_target(self, addresses: Sequence[Address]) -> str:
        return self._read_issuer(addresses, self._through, self._host)

    def _through(self, stream: Stream) -> Stream:
        if self._proxy.scheme == "https":
            stream = TlsStream(
                stream, self._trust or ssl.create_default_context(), self._proxy.host
            )  # gets the credentials
        self._ask(stream)
        return stream

    def _read_issuer(self, addresses: Sequence[Address], way: Callable[[Stream], Stream], server: str) -> str:
        """Who signed a certificate that is not trusted, in a second connection that trusts anything; empty if in doubt."""
        try:
            with first_to_accept(addresses, self._ends) as sock:
                stream = way(TcpStream(sock, self._ends, _LIMIT))
                return x509.issuer(TlsStream(stream, trusting(), server).certificate())
        except (OSError, ValueError, _Failed):
            return ""

    def _broken(self, error: Exception, head: bytes = b"") -> Verdict:
        reason = str(
            getattr(error, "reason", None) or getattr(error, "strerror", None) or error or type(error).__name__
        )
        reason = reason.replace("_", " ").lower() if isinstance(error, ssl.SSLError) else self._masked(reason)
        first = self._masked(head.decode("latin-1")).encode("latin-1")
        return verdict.broken(self._proxy, self._stage, self._target, reason, first)

    def _timed_out(self) -> Verdict:
        return verdict.timed_out(self._proxy, self._stage, self._target, self._elapsed())

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _masked(self, text: str) -> str:
        """What the other side said, without the credentials, should it have sent them back, as they came or decoded.

        http.client reads ISO-8859-1.
        """
        if not self._secret:
            return text
        return text.replace(self._secret, "***").replace(base64.b64decode(self._secret).decode("latin-1"), "***")


def _basic(credentials: Credentials) -> str:
    """The credentials in the form of RFC 7617, with its charset UTF-8."""
    pair = f"{credentials.user}:{credentials.password}"
    return base64.b64encode(pair.encode("utf-8")).decode("ascii")
