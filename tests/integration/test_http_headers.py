"""Headers of a response: their limits, and what http.client sees of them."""

from __future__ import annotations

import http.client
import io

import pytest

from agent.edges import http_headers
from agent.edges.http_headers import LIMIT, BoundedResponse

STATUS = b"HTTP/1.1 200 OK\r\n"


class Connection:
    """A connection that has these bytes."""

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)

    def makefile(self, mode: str) -> io.BytesIO:
        """Return them as a file."""
        return self.file


def response(data: bytes, kept: frozenset[bytes] | None = None) -> BoundedResponse:
    """Return the response after its headers were read."""
    made = BoundedResponse(Connection(data), method="GET")  # type: ignore[arg-type]
    made.kept = kept
    made.begin()
    return made


def header(size: int) -> bytes:
    """Return a header line of so many bytes."""
    return b"X: " + b"y" * (size - 5) + b"\r\n"


def test_limit_of_bytes() -> None:
    """The whole head may have LIMIT bytes, status line and empty line included."""
    rest = LIMIT - len(STATUS) - 2
    assert response(STATUS + header(rest) + b"\r\n").status == 200
    with pytest.raises(http.client.HTTPException, match="headers exceed 16384 bytes or 100 lines"):
        response(STATUS + header(rest + 1) + b"\r\n")


def test_limit_of_lines() -> None:
    """The same for a hundred lines, also over several responses with status 1xx."""
    assert response(STATUS + b"X: y\r\n" * 98 + b"\r\n").status == 200
    with pytest.raises(http.client.HTTPException, match="100 lines"):
        response(STATUS + b"X: y\r\n" * 99 + b"\r\n")
    early = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert response(early * 49 + STATUS + b"\r\n").status == 200
    with pytest.raises(http.client.HTTPException, match="100 lines"):
        response(early * 50 + STATUS + b"\r\n")


def test_content_type_has_no_parameters() -> None:
    """Their continuation lines are dropped too; those of other headers stay."""
    text = b"Content-Type: text/html ; boundary=a\r\n b=c\r\nX: 1\r\n\t2\r\nCONTENT-TYPE:a;b\r\n\r\n"
    headers = response(STATUS + text).msg
    assert headers.get_all("content-type") == ["text/html", "a"]
    assert headers["X"].split() == ["1", "2"]


def test_only_kept_headers_are_parsed() -> None:
    """Without their continuation lines; all count for the limits."""
    text = b"A: 1\r\n more\r\nB: 2\r\n more\r\nb: 3\r\n\r\n"
    headers = response(STATUS + text, frozenset({b"b"})).msg
    assert headers.keys() == ["B", "b"]
    assert headers["B"].split() == ["2", "more"]
    with pytest.raises(http.client.HTTPException):
        response(STATUS + header(LIMIT) + b"\r\n", frozenset({b"b"}))


def test_the_status_line_is_never_a_header() -> None:
    """Whatever it looks like, and also after a response with status 1xx."""
    made = response(b"HTTP/1.1 100 Content-Type: a;b\r\nX: y\r\n\r\nHTTP/1.1 404 Content-Type: a;b\r\n\r\n")
    assert (made.status, made.reason) == (404, "Content-Type: a;b")


def test_the_body_follows_the_headers() -> None:
    """The stream is that of the connection again."""
    made = response(STATUS + b"Content-Length: 4\r\n\r\nbody")
    assert made.read() == b"body"


def test_a_broken_head_closes_the_response() -> None:
    """And its stream."""
    connection = Connection(b"")
    made = BoundedResponse(connection, method="GET")  # type: ignore[arg-type]
    with pytest.raises(http.client.RemoteDisconnected):
        made.begin()
    lines = http_headers._HeaderLines(connection.file, None)
    lines.close()
    assert connection.file.closed
