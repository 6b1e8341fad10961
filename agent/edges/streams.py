"""A byte stream that ends in time and in size, and TLS over it, for talking to somebody who may be hostile.

Time-outs of sockets are per read: what drips a byte a second never ends.  Here each call may only
take what is left of the whole.  TLS goes over any stream, so that there can be TLS to the proxy and
TLS through it.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from typing import Any, Protocol

_CHUNK = 16384


class TooMuch(OSError):
    """The other side sent more than it may."""


class Stream(Protocol):
    """What bytes go to and come from."""

    def send(self, data: bytes) -> None:
        """All of it."""

    def receive(self, size: int = _CHUNK) -> bytes:
        """At least one byte; none when the other side has ended."""


class TcpStream:
    """A connected socket; raises socket.timeout at `ends` (monotonic seconds) and TooMuch after `limit` bytes."""

    def __init__(self, sock: socket.socket, ends: float, limit: int) -> None:
        self._sock, self._ends, self._left = sock, ends, limit

    def send(self, data: bytes) -> None:
        self._arm()
        self._sock.sendall(data)  # its time-out is for all of it

    def receive(self, size: int = _CHUNK) -> bytes:
        if self._left <= 0:
            raise TooMuch("too much data")
        self._arm()
        data = self._sock.recv(min(size, self._left))
        self._left -= len(data)
        return data

    def _arm(self) -> None:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._sock.settimeout(left)


class TlsStream:
    """TLS as a client over another stream; the handshake is done when it is there.  Raises ssl.SSLError and OSError."""

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
                self._flush()  # the alert that tells the other side why
                raise
        self._flush()

    def send(self, data: bytes) -> None:
        self._tls.write(data)  # into memory: takes it all
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
        """The other side's certificate as DER."""
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


def trusting() -> ssl.SSLContext:
    """For looking at whoever answers: takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Reader(io.RawIOBase):
    """A stream as a file of at most `limit` bytes, for a parser; `head` is all that came.

    Not only the bytes that are shown: a secret that is cut off is not recognised, and so not
    masked.
    """

    def __init__(self, stream: Stream, limit: int) -> None:
        self._stream, self._left = stream, limit
        self.head = bytearray()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left <= 0:
            raise TooMuch("header too long")
        data = self._stream.receive(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        self.head += data
        return len(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """What http.client asks a socket for."""
        return io.BufferedReader(self, _CHUNK)
