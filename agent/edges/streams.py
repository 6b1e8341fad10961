"""Byte streams with a deadline and a size limit, and TLS over them, for peers that may be hostile.

Timeouts of sockets apply to each read: a peer that sends a byte a second never ends.  Here each
call gets only what remains of the whole.  TLS goes over any stream, so there can be TLS to the
proxy and TLS through it.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from typing import Any, Protocol

_CHUNK = 16384


class TooMuchDataError(OSError):
    """More data from the peer than the limit."""


class Stream(Protocol):
    """A connection that bytes are sent to and received from."""

    def send(self, data: bytes) -> None:
        """Send all of the data."""

    def receive(self, size: int = _CHUNK) -> bytes:
        """Return at least one byte; none after the peer has closed."""


class TcpStream:
    """A connected socket.

    Raises socket.timeout at `deadline` (monotonic seconds), and TooMuchDataError after `limit`
    bytes.
    """

    def __init__(self, sock: socket.socket, deadline: float, limit: int) -> None:
        self._sock, self._deadline, self._remaining = sock, deadline, limit

    def send(self, data: bytes) -> None:
        self._set_timeout()
        self._sock.sendall(data)  # its timeout is for all of the data

    def receive(self, size: int = _CHUNK) -> bytes:
        if self._remaining <= 0:
            raise TooMuchDataError("too much data")
        self._set_timeout()
        data = self._sock.recv(min(size, self._remaining))
        self._remaining -= len(data)
        return data

    def _set_timeout(self) -> None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise socket.timeout("timed out")
        self._sock.settimeout(remaining)


class TlsStream:
    """A TLS client over another stream; the constructor does the handshake.

    Raises ssl.SSLError and OSError.
    """

    def __init__(self, below: Stream, context: ssl.SSLContext, host: str) -> None:
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except ssl.SSLError:
                self._flush()  # the alert that informs the peer of the reason
                raise
        self._flush()

    def send(self, data: bytes) -> None:
        self._tls.write(data)  # into memory: accepts all of it
        self._flush()

    def receive(self, size: int = _CHUNK) -> bytes:
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def certificate(self) -> bytes:
        """Return the certificate of the peer as DER."""
        return self._tls.getpeercert(binary_form=True) or b""

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._below.send(data)

    def _fill(self) -> None:
        data = self._below.receive()
        if not data:
            raise ConnectionResetError("connection closed during the TLS handshake")
        self._incoming.write(data)


def unverified_context() -> ssl.SSLContext:
    """Return a context that accepts any certificate, to inspect a peer that is not trusted."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Reader(io.RawIOBase):
    """A stream as a file of at most `limit` bytes for a parser; `head` is everything that was read.

    `head` holds more than the bytes that are shown, because a secret that is cut off would not be
    recognised and masked.
    """

    def __init__(self, stream: Stream, limit: int) -> None:
        self._stream, self._remaining = stream, limit
        self.head = bytearray()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._remaining <= 0:
            raise TooMuchDataError("header too long")
        data = self._stream.receive(min(len(buffer), self._remaining))
        buffer[: len(data)] = data
        self._remaining -= len(data)
        self.head += data
        return len(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a buffered file, as http.client requests of a socket."""
        return io.BufferedReader(self, _CHUNK)
