"""Streams with a deadline and a limit, over a pair of sockets."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from agent.edges.streams import Reader, TcpStream, TooMuchDataError

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two connected sockets."""
    ours, peer = socket.socketpair()
    with ours, peer:
        yield ours, peer


def stream(pair: Pair, seconds: float = 60.0, limit: int = 10) -> TcpStream:
    """Return a stream over the first socket."""
    return TcpStream(pair[0], time.monotonic() + seconds, limit)


def test_the_limit_is_for_the_whole_connection(pair: Pair) -> None:
    """So many bytes are received, and the next read is an error, not an end."""
    made = stream(pair)
    pair[1].sendall(b"0123456789x")
    assert made.receive(4) == b"0123"
    assert made.receive() == b"456789"
    with pytest.raises(TooMuchDataError):
        made.receive()


def test_the_end_of_the_peer_is_an_empty_read(pair: Pair) -> None:
    """Before the limit."""
    made = stream(pair)
    pair[1].sendall(b"0")
    pair[1].close()
    assert (made.receive(), made.receive(), made.receive()) == (b"0", b"", b"")


@pytest.mark.parametrize("seconds", [0.05, 0.0, -1.0])
def test_the_deadline_applies_to_each_call(pair: Pair, seconds: float) -> None:
    """A deadline in the past is not a socket without a timeout."""
    with pytest.raises(socket.timeout):
        stream(pair, seconds).receive()


def test_a_peer_that_does_not_read_is_a_timeout(pair: Pair) -> None:
    """The deadline is for all of the data."""
    with pytest.raises(socket.timeout):
        stream(pair, 0.2).send(b"x" * 50_000_000)


def test_a_header_has_a_limit_of_its_own(pair: Pair) -> None:
    """All that was read is kept, for the masking of secrets."""
    reader = Reader(stream(pair, limit=100), 4)
    pair[1].sendall(b"0123456")
    buffer = bytearray(3)
    assert (reader.readable(), reader.readinto(buffer), bytes(buffer)) == (True, 3, b"012")
    assert (reader.readinto(buffer), bytes(buffer[:1])) == (1, b"3")
    with pytest.raises(TooMuchDataError, match="header too long"):
        reader.readinto(buffer)
    assert bytes(reader.head) == b"0123"
