"""One health check of a proxy in steps: name, connection, CONNECT, optionally TLS in the tunnel.

http.client only parses the response: its set_tunnel() discards the headers of a refusal (before
Python 3.12), and in them Squid says what is wrong.  requests and urllib3 are built on it.
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

from agent import __version__
from agent.core.net import proxy_health as verdict
from agent.core.net import x509
from agent.core.net.proxy_health import Response, Verdict
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.core.record import evolve
from agent.edges.http_headers import BoundedResponse
from agent.edges.streams import Reader, Stream, TcpStream, TlsStream, unverified_context
from agent.edges.tcp import Address, connect_first

#: Limits in bytes: the response to CONNECT, and everything received in a connection (certificates
#: included).
_HEADER_LIMIT, _LIMIT = 65536, 262144
#: Seconds between tries of a name while DNS itself does not respond.
_RESOLVE_PAUSE = 0.1

_REFUSED = (errno.ECONNREFUSED, errno.ECONNRESET)


class ProbeError(Exception):
    """End of a probe before its last step, with the verdict."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.text)
        self.verdict = verdict


class TunnelProbe:
    """The steps of one health check, and the stage that it has reached."""

    def __init__(
        self,
        proxy: ProxyUrl,
        host: str,
        port: int,
        credentials: Credentials | None,
        deadline: float,
        *,
        tls: bool,
        trust: ssl.SSLContext | None,
    ) -> None:
        if not host or any(not 0x21 <= ord(char) <= 0x7E for char in host):
            raise ValueError(f"{host!r}: not a host name")
        self._proxy, self._host, self._deadline, self._tls = proxy, host, deadline, tls
        self._target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._trust = trust
        self._secret = _basic(credentials) if credentials else ""
        self._started = time.monotonic()
        self._stage = "resolve"
        self.verdict: Verdict | None = None

    def run(self, progress: threading.Condition) -> None:
        """Probe, keep the verdict, and notify the thread that waits for it."""
        outcome = self._probe()
        with progress:
            self.verdict = outcome
            progress.notify_all()

    def result(self) -> Verdict:
        """Return the verdict, or a timeout if there is none yet."""
        return self.verdict or self._timed_out()

    def _probe(self) -> Verdict:
        try:
            addresses = self._resolve()
            tunnel, stream, sock = self._open_tunnel(addresses)
            with sock:
                if not (tunnel.ok and self._tls):
                    return tunnel
                return self._probe_tls(tunnel, stream, addresses)
        except ProbeError as failed:
            return evolve(failed.verdict, seconds=failed.verdict.seconds or self._elapsed())

    def _resolve(self) -> list[Address]:
        """Resolve the proxy; try again while DNS itself does not respond, as may happen at boot."""
        while True:
            try:
                return socket.getaddrinfo(self._proxy.host, self._proxy.port, type=socket.SOCK_STREAM)
            except socket.gaierror as error:
                if error.errno != socket.EAI_AGAIN or time.monotonic() + _RESOLVE_PAUSE >= self._deadline:
                    raise ProbeError(verdict.not_resolved(self._proxy, error.strerror or str(error))) from None
                time.sleep(_RESOLVE_PAUSE)
            except (OSError, UnicodeError) as error:
                raise ProbeError(verdict.not_resolved(self._proxy, str(error))) from None

    def _open_tunnel(self, addresses: Sequence[Address]) -> tuple[Verdict, Stream, socket.socket]:
        """Connect and request the tunnel; return the verdict on the response, with its time."""
        sock = self._connect(addresses)
        try:
            stream: Stream = TcpStream(sock, self._deadline, _LIMIT)
            if self._proxy.scheme == "https":
                self._stage = "proxy-tls"
                stream = self._handshake(stream, self._proxy.host, partial(self._issuer_of_proxy, addresses))
            self._stage = "answer"
            response = self.request_tunnel(stream)
            tunnel = verdict.answered(self._proxy, self._target, response, with_credentials=bool(self._secret))
            return evolve(tunnel, seconds=self._elapsed()), stream, sock
        except BaseException:
            sock.close()
            raise

    def _connect(self, addresses: Sequence[Address]) -> socket.socket:
        self._stage = "connect"
        try:
            return connect_first(addresses, self._deadline)
        except socket.timeout:
            raise ProbeError(self._timed_out()) from None
        except OSError as error:
            kind = "refused" if error.errno in _REFUSED else "timeout" if error.errno == errno.ETIMEDOUT else ""
            if kind == "timeout":
                raise ProbeError(self._timed_out()) from None
            kind = kind or "unreachable"
            raise ProbeError(verdict.not_connected(self._proxy, kind, error.strerror or str(error))) from None

    def request_tunnel(self, stream: Stream) -> Response:
        """Send CONNECT and read the header of the response."""
        lines = [f"CONNECT {self._target} HTTP/1.1", "Host: " + self._target]
        lines += ["User-Agent: eks-proxy-agent/" + __version__]
        lines += ["Proxy-Authorization: Basic " + self._secret] if self._secret else []
        reader = Reader(stream, _HEADER_LIMIT)
        try:
            stream.send(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
            response = BoundedResponse(reader, method="CONNECT")  # type: ignore[arg-type]
            response.begin()
        except socket.timeout:
            raise ProbeError(self._timed_out()) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ProbeError(self._broken(error, bytes(reader.head))) from None
        headers = {name.lower(): self._masked(value) for name, value in response.msg.items()}
        headers["proxy-authenticate"] = self._masked(", ".join(response.msg.get_all("Proxy-Authenticate", [])))
        return Response(response.status, self._masked(response.reason), headers)

    def _probe_tls(self, tunnel: Verdict, stream: Stream, addresses: Sequence[Address]) -> Verdict:
        """Do a TLS handshake with the target, as clients on this node do."""
        self._stage = "tls"
        inner = self._handshake(stream, self._host, partial(self._issuer_of_target, addresses))
        return verdict.with_certificate(tunnel, self._host, x509.issuer(inner.certificate()))

    def _handshake(self, stream: Stream, server: str, read_issuer: Callable[[], str]) -> TlsStream:
        try:
            return TlsStream(stream, self._trust or ssl.create_default_context(), server)
        except ssl.SSLCertVerificationError as error:
            untrusted = verdict.untrusted(self._proxy, server, error.verify_message, read_issuer())
            raise ProbeError(untrusted) from None
        except socket.timeout:
            raise ProbeError(self._timed_out()) from None
        except (OSError, ValueError) as error:
            raise ProbeError(self._broken(error)) from None

    def _issuer_of_proxy(self, addresses: Sequence[Address]) -> str:
        return self._read_issuer(addresses, lambda stream: stream, self._proxy.host)

    def _issuer_of_target(self, addresses: Sequence[Address]) -> str:
        return self._read_issuer(addresses, self._through_tunnel, self._host)

    def _through_tunnel(self, stream: Stream) -> Stream:
        if self._proxy.scheme == "https":
            # Verified, because the proxy gets the credentials.
            stream = TlsStream(stream, self._trust or ssl.create_default_context(), self._proxy.host)
        self.request_tunnel(stream)
        return stream

    def _read_issuer(self, addresses: Sequence[Address], route: Callable[[Stream], Stream], server: str) -> str:
        """Return the issuer of a certificate that is not trusted; empty if it cannot be read.

        It is read in a second connection, which accepts any certificate.
        """
        try:
            with connect_first(addresses, self._deadline) as sock:
                stream = route(TcpStream(sock, self._deadline, _LIMIT))
                return x509.issuer(TlsStream(stream, unverified_context(), server).certificate())
        except (OSError, ValueError, ProbeError):
            return ""

    def _broken(self, error: Exception, head: bytes = b"") -> Verdict:
        reason = str(
            getattr(error, "reason", None) or getattr(error, "strerror", None) or error or type(error).__name__
        )
        reason = reason.replace("_", " ").lower() if isinstance(error, ssl.SSLError) else self._masked(reason)
        masked_head = self._masked(head.decode("latin-1")).encode("latin-1")
        return verdict.broken(self._proxy, self._stage, self._target, reason, masked_head)

    def _timed_out(self) -> Verdict:
        return verdict.timed_out(self._proxy, self._stage, self._target, self._elapsed())

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _masked(self, text: str) -> str:
        """Mask the credentials in a text from the proxy, encoded or decoded: it may send them back.

        http.client decodes ISO-8859-1, so the decoded form is masked in that encoding.
        """
        if not self._secret:
            return text
        return text.replace(self._secret, "***").replace(base64.b64decode(self._secret).decode("latin-1"), "***")


def _basic(credentials: Credentials) -> str:
    """Encode credentials for Basic authentication (RFC 7617), with its charset UTF-8."""
    pair = f"{credentials.user}:{credentials.password}"
    return base64.b64encode(pair.encode("utf-8")).decode("ascii")
