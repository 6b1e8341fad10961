"""Responses of a proxy to CONNECT and to a request for its date, and its certificate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import readers
from tests.fuzz.bounds import Bomb, assert_bounded

LINES = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK",
            b"HTTP/1.0 200",
            b"HTTP/1.1 403 no dTpw",
            b"HTTP/1.1 407 u:p",
            b"HTTP/1.1 503 " + b"x" * 300,
            b"HTTP/1.1 100 Continue",
            b"HTTP/1.1 999 x",
            b"HTTP/9.9 200 OK",
            b"SSH-2.0-x",
            b"Content-Type: multipart/mixed; boundary*=a; boundary*0=b",
            b"Content-Type: text/html",
            b"Content-Type: message/http",
            b" folded; boundary*0=c",
            b"Content-Length: 0",
            b"Content-Length: \xb2",
            b"Transfer-Encoding: chunked",
            b"Proxy-Authenticate: Negotiate, Digest realm=a",
            b"Proxy-Authenticate: Basic",
            b"X-Squid-Error: ERR_DNS_FAIL 0",
            b"Server: \x1b[31m",
            b"Date: Sat, 28 Nov 2026 15:00:00 GMT",
            b"Date: Sat, 28 Nov 99999999 15:00:00 +9999",
            b"Date: 1",
            b": empty",
            b"no colon",
            b"",
        ]
    )
    | st.binary(max_size=20),
    max_size=12,
)
ANSWERS = LINES.flatmap(lambda lines: st.sampled_from([b"\r\n", b"\n", b"\r"]).map(lambda end: end.join(lines)))


@given(ANSWERS | st.binary(max_size=100))
def test_any_answer_has_a_verdict(data: bytes) -> None:
    """Whatever a proxy sends, the verdict is one printable line, and nothing is raised."""
    readers.proxy_answer(data)


DER = st.recursive(
    st.binary(max_size=12),
    lambda inner: st.tuples(st.sampled_from(b"\x30\x31\x06\x0c\x1e\xa0\x02"), st.lists(inner, max_size=4)).map(
        lambda element: bytes([element[0], min(127, sum(map(len, element[1])))]) + b"".join(element[1])
    ),
    max_leaves=12,
)


@given(DER)
def test_any_certificate_has_an_issuer_or_none(data: bytes) -> None:
    """Damaged DER has no issuer, and nothing is raised."""
    readers.proxy_answer(data)


def answer(start: bytes, unit: bytes, size: int = 1 << 20) -> Bomb:
    """Return a bomb of a response that repeats `unit` for a mebibyte."""
    return Bomb(readers.proxy_answer, lambda: b"HTTP/1.1 200 OK\r\n" + start + unit * (size // len(unit)) + b"\r\n\r\n")


BOMBS = {
    "parameters": answer(b"Content-Type: multipart/mixed", b";a=b", 960_000),
    "parameters within the limit": answer(b"Content-Type: multipart/mixed", b";a=b", 16_000),
    "RFC 2231": answer(b"Content-Type: multipart/mixed", b";boundary*0=a", 16_000),
    "RFC 2231 in pieces": answer(b"Content-Type: multipart/mixed; boundary*=x", b";boundary*0=a;boundary*1*=b", 16_000),
    "parameters in short headers": answer(b"", b"Content-Type: multipart/mixed" + b";a=b" * 1000 + b"\r\n"),
    "headers": answer(b"", b"X: y\r\n"),
    "empty headers": answer(b"", b":\r\n"),
    "a long header": answer(b"X: ", b"y"),
    "folded header": answer(b"Content-Type: text/plain;\r\n", b" \r\n"),
    "schemes": answer(b"HTTP/1.1 407 x\r\nProxy-Authenticate: ", b"a, ", 16_000),
    "a long date": answer(b"Date: Sat, 28 Nov 2026 15:00:00 ", b"+9", 16_000),
    "digits of a date": answer(b"Date: ", b"9", 16_000),
    "status lines": Bomb(readers.proxy_answer, lambda: b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000),
    "a long status": Bomb(readers.proxy_answer, lambda: b"HTTP/1.1 " + b"9" * (1 << 20)),
    "one line": Bomb(readers.proxy_answer, lambda: b"x" * (1 << 20)),
    "newlines": Bomb(readers.proxy_answer, lambda: b"\n" * (1 << 20)),
    "carriage returns": Bomb(readers.proxy_answer, lambda: b"\r" * (1 << 20)),
    "user info": Bomb(readers.proxy_answer, lambda: b"HTTP/1.1 403 " + b"u:p@" * 4000 + b"\r\n\r\n"),
    "empty elements of a certificate": Bomb(readers.proxy_answer, lambda: b"\x30\x00" * (1 << 17)),
    "long lengths in a certificate": Bomb(readers.proxy_answer, lambda: (b"\x30\xff" + b"\x00" * 126) * 2000),
}


def test_bombs() -> None:
    """Each costs at most five times what the contract allows."""
    assert_bounded("test_proxy_answers")
