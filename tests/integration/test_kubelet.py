"""kubelet's health check, against servers that answer well, badly, slowly or not at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.edges.kubelet import health_problem


@contextmanager
def server(answer: bytes, *, hold: bool = False) -> Iterator[str]:
    """Yield the URL of a server with one `answer`, which stays connected with `hold`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
                if hold:
                    done.wait(20)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/healthz"
        finally:
            done.set()
            thread.join()


def http(status: str, body: str) -> bytes:
    """Return an answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (http("200 OK", "ok"), ""),
        (http("200 OK", "ok\n"), ""),
        (http("200 OK", "<html>"), 'answered 200 "<html>"'),
        (http("500 Internal Server Error", "[-]syncloop failed\x1b"), "answered 500"),
        (http("302 Found\r\nLocation: http://127.0.0.1:1/", "ok"), "answered 302"),
        (b"nonsense\r\n\r\n", "kubelet does not answer at "),
        (b"", "kubelet does not answer at "),
        (http("200 OK", "ok" * 10_000), "answered 200"),
    ],
)
def test_only_ok_is_healthy(answer: bytes, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else has its reason, in one line; a proxy of the environment is not used."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with server(answer) as url:
        text = health_problem(url)
    assert problem in text
    assert bool(text) == bool(problem)
    assert text.isprintable()
    assert len(text) < 400


def test_a_kubelet_that_does_not_run_or_hangs() -> None:
    """It is given up after a moment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "connection refused" in health_problem(f"http://127.0.0.1:{port}/healthz")
    with server(b"HTTP/1.1 200 OK\r\n", hold=True) as url:
        assert "no complete answer in time" in health_problem(url)
