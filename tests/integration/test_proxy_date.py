"""The Date header of a proxy, from servers on loopback with and without TLS."""

from __future__ import annotations

import contextlib
import email.utils
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest

from agent.checks import clock
from agent.checks.finding import FAIL, OK, SKIP
from agent.core.net.proxy_url import ProxyUrl
from agent.edges.proxy_date import request_date
from tests.boot.harness.tls import Authority
from tests.integration.listening import Listener
from tests.integration.thread_limit import limit_program

DATE = "Sat, 28 Nov 2026 15:00:00 GMT"
HEADER = b"HTTP/1.1 400 Bad Request\r\nDate: %s\r\n\r\n" % DATE.encode()
Serve = Callable[..., ProxyUrl]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that starts a server; it sends data to each client, once or repeatedly."""
    ended, listeners = threading.Event(), []

    def respond(connection: socket.socket, data: bytes, repeated: bytes, tls: ssl.SSLContext | None) -> None:
        with contextlib.suppress(OSError), connection:
            stream = tls.wrap_socket(connection, server_side=True) if tls else connection
            stream.recv(65536)
            stream.sendall(data)
            while repeated and not ended.wait(0.01):
                stream.sendall(repeated)

    def make(data: bytes, repeated: bytes = b"", tls: ssl.SSLContext | None = None) -> ProxyUrl:
        listeners.append(Listener(lambda connection: respond(connection, data, repeated, tls)))
        return ProxyUrl("https" if tls else "http", "127.0.0.1", listeners[-1].port)

    yield make
    ended.set()
    for listener in listeners:
        listener.close()


def test_no_date_without_a_thread(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit of processes the clock is not compared."""
    url = serve(HEADER)
    limit_program(monkeypatch, 0)
    assert request_date(url, timeout=30.0) == ""


@pytest.mark.parametrize("repeated", [b"", b"x", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["closes", "a page", "more"])
def test_date_is_read_whatever_follows_the_header(serve: Serve, repeated: bytes) -> None:
    """Only the header is read, because a body may be endless."""
    assert request_date(serve(HEADER, repeated), timeout=5.0) == DATE


@pytest.mark.parametrize("header", [b"boundary*=a; boundary*0=b", b"boundary*0*=x; boundary*1=y", b";a=b" * 4000])
def test_parameters_of_a_header_are_not_parsed(serve: Serve, header: bytes) -> None:
    """Python's email package would raise TypeError for such pieces (RFC 2231), or take seconds."""
    content_type = b"\r\nContent-Type: multipart/mixed; " + header + b"\r\n\r\n"
    assert request_date(serve(HEADER.replace(b"\r\n\r\n", content_type)), timeout=5.0) == DATE


def test_https_proxy_needs_no_valid_certificate(serve: Serve, tmp_path: Path) -> None:
    """With a wrong clock no certificate is valid."""
    authority = Authority(tmp_path / "ca", "Unknown CA")
    authority.issue("proxy.example.test")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.directory / "proxy.example.test.pem", authority.directory / "proxy.example.test.key")
    assert request_date(serve(HEADER, tls=tls), timeout=5.0) == DATE


@pytest.mark.parametrize(
    ("data", "repeated"),
    [
        (b"", b""),
        (b"\x15\x03\x01\x00\x02\x02\x46", b""),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", b""),
        (b"HTTP/1.1 400 Bad Request\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 400 Bad Request\r\nX: ", b"y" * 100_000),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed" + b";a=b" * 240_000 + b"\r\nDate: x\r\n\r\n", b""),
    ],
    ids=["no data", "TLS", "no date", "an endless header", "a long header", "always 100", "parameters"],
)
def test_server_without_a_date(serve: Serve, data: bytes, repeated: bytes) -> None:
    """The request has a time limit, and the result is empty."""
    assert request_date(serve(data, repeated), timeout=0.5) == ""


def test_unreachable_server_has_no_date() -> None:
    """The port is closed, or the name does not resolve."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    assert request_date(ProxyUrl("http", "127.0.0.1", port), timeout=5.0) == ""
    assert request_date(ProxyUrl("http", "a" * 64 + ".invalid", port), timeout=5.0) == ""


@pytest.mark.parametrize(("ahead", "state"), [(0, OK), (3600, FAIL), (None, SKIP)])
def test_check_compares_the_clock(serve: Serve, ahead: int | None, state: str) -> None:
    """`check` compares the node's clock with that of the proxy in use."""
    date = "" if ahead is None else email.utils.formatdate(time.time() - ahead, usegmt=True)
    url = serve(HEADER.replace(DATE.encode(), date.encode()))
    node: Any = SimpleNamespace(intent=SimpleNamespace(http_proxy=url))
    (finding,) = clock.check(node)
    assert finding.state == state
