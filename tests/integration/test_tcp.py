"""Connections to the first address that accepts, on loopback."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator

import pytest

from agent.core.intent.reachability import ProbeResult
from agent.edges import tcp
from agent.errors import AgentError
from tests.integration.thread_limit import limit_threads

SOON, LATE = 0.3, 60.0


@pytest.fixture
def port() -> Iterator[int]:
    """A port of loopback that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port that refuses them."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """An address whose backlog is full: a SYN gets no answer."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        waiting = []
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(sock.getsockname())
            waiting.append(client)
        yield sock.getsockname()
        for client in waiting:
            client.close()


def entry(host: str, port: int, family: int = socket.AF_INET) -> tcp.Address:
    """Return an entry as getaddrinfo gives it."""
    return (family, socket.SOCK_STREAM, 6, "", (host, port))


def connect(*entries: tcp.Address, seconds: float = LATE) -> socket.socket:
    """Connect."""
    return tcp.connect_first(entries, time.monotonic() + seconds)


def test_the_address_that_accepts_wins(port: int, closed: int, silent: tuple[str, int]) -> None:
    """Whatever the others do, and in any order; the socket blocks, and no other stays open."""
    before = len(os.listdir("/proc/self/fd"))
    entries = [entry("127.0.0.1", closed), entry(*silent), entry("127.0.0.1", port)]
    for order in (entries, entries[::-1]):
        with connect(*order) as sock:
            assert sock.getpeername()[1] == port
            assert sock.gettimeout() is None
            assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_pending_connection_is_a_timeout(closed: int, silent: tuple[str, int]) -> None:
    """Although another address refused: it might still have accepted."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(socket.timeout):
        connect(entry("127.0.0.1", closed), entry(*silent), seconds=SOON)
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_address_is_a_timeout() -> None:
    """There is nothing to connect to."""
    with pytest.raises(socket.timeout):
        connect()


def test_no_time_is_a_timeout(port: int) -> None:
    """A deadline in the past is not waited for."""
    with pytest.raises(socket.timeout):
        connect(entry("127.0.0.1", port), seconds=-1)


def test_a_refusal_precedes_other_errors(closed: int) -> None:
    """It says that the host is up; an address without a route says nothing about the others."""
    before = len(os.listdir("/proc/self/fd"))
    without_route = entry("240.0.0.1", 1) if _errno_of("240.0.0.1") else entry("255.255.255.255", 1)
    for order in ([without_route, entry("127.0.0.1", closed)], [entry("127.0.0.1", closed), without_route]):
        with pytest.raises(ConnectionRefusedError):
            connect(*order)
    with pytest.raises(OSError) as error:  # noqa: PT011 -- which error depends on the machine
        connect(without_route)
    assert error.value.errno not in (None, errno.ECONNREFUSED)
    assert len(os.listdir("/proc/self/fd")) == before


def _errno_of(host: str) -> int:
    with socket.socket() as sock:
        sock.setblocking(False)
        number = sock.connect_ex((host, 1))
    return 0 if number == errno.EINPROGRESS else number


def test_a_family_without_support_is_an_error(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node without IPv6 still connects over IPv4."""
    real = socket.socket

    def make(family: int, *arguments: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return real(family, *arguments)

    monkeypatch.setattr(tcp.socket, "socket", make)
    with connect(entry("::1", port, socket.AF_INET6), entry("127.0.0.1", port)) as sock:
        assert sock.family == socket.AF_INET
    with pytest.raises(OSError, match=os.strerror(errno.EAFNOSUPPORT)):
        connect(entry("::1", port, socket.AF_INET6))


# --- probe


@pytest.mark.parametrize(
    ("address", "is_remote"),
    [
        ("10.0.0.1", True),
        ("fe80::1%eth0", True),
        ("2600::1", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("0.0.0.0", False),
        ("::", False),
    ],
)
def test_addresses_of_this_node_are_not_remote(address: str, is_remote: bool) -> None:
    """A sinkhole of DNS answers with them; a pod of this node may listen on port 443."""
    assert tcp._is_remote(address) is is_remote


def resolving(monkeypatch: pytest.MonkeyPatch, **names: object) -> list[str]:
    """Let names resolve to these addresses, or raise; return the names that were asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **options: object) -> object:
        assert options == {"type": socket.SOCK_STREAM}
        asked.append(host)
        answers = names[host]
        answer = answers.pop(0) if isinstance(answers, list) and len(answers) > 1 else answers[0]  # type: ignore[index]
        if isinstance(answer, Exception):
            raise answer
        return [entry(address, port) for address in answer.split()]

    monkeypatch.setattr(tcp.socket, "getaddrinfo", getaddrinfo)
    return asked


def test_results_have_the_addresses(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """Each once; only a remote address is connected to."""
    monkeypatch.setattr(tcp, "_is_remote", lambda address: address == "127.0.0.2")
    resolving(monkeypatch, here=["127.0.0.1 127.0.0.1"], there=["127.0.0.1 127.0.0.2"], unknown=[socket.gaierror(-2)])
    with socket.create_server(("127.0.0.2", port)):
        results = tcp.probe(["here", "there", "unknown"], port=port, bound=SOON)
    assert results == {
        "here": ProbeResult(False, ("127.0.0.1",)),
        "there": ProbeResult(True, ("127.0.0.1", "127.0.0.2")),
        "unknown": ProbeResult(),
    }


@pytest.mark.parametrize("error", [socket.gaierror(-3, "again"), UnicodeError("label too long"), OSError(5, "io")])
def test_a_name_is_resolved_again(monkeypatch: pytest.MonkeyPatch, port: int, error: Exception) -> None:
    """At boot DNS may come up meanwhile."""
    monkeypatch.setattr(tcp, "_is_remote", lambda address: True)
    asked = resolving(monkeypatch, late=[error, error, "127.0.0.1"])
    assert tcp.probe(["late"], port=port, bound=LATE) == {"late": ProbeResult(True, ("127.0.0.1",))}
    assert asked == ["late"] * 3


def test_a_resolver_that_hangs_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound applies to the resolver too, which has no limit of its own."""
    ended = []

    def hang(*_: object, **__: object) -> object:
        while not ended:
            time.sleep(0.01)
        return []

    monkeypatch.setattr(tcp.socket, "getaddrinfo", hang)
    assert tcp.probe(["a", "b"], bound=0.1) == {"a": ProbeResult(), "b": ProbeResult()}
    ended.append(True)


def test_at_the_limit_of_threads_there_is_no_result(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """It would count as "not reached", and be kept."""
    resolving(monkeypatch, first=["127.0.0.1"], second=["127.0.0.1"])
    limit_threads(monkeypatch, 1)
    with pytest.raises(AgentError, match="no thread can be started"):
        tcp.probe(["first", "second"], port=port, bound=SOON)


def test_no_host_has_no_result() -> None:
    """Nothing is waited for."""
    assert tcp.probe([]) == {}
