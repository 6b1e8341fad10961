"""Values and answers of the metadata service, and --facts files: read or refused in bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.facts.imds_values import VALUE_LIMIT
from agent.edges.imds import MetadataClient
from tests.fuzz import readers
from tests.fuzz.bounds import Bomb, assert_bounded
from tests.integration import moods
from tests.integration.moods import Clock, Mood, MoodyService

WORDS = st.lists(
    st.sampled_from(
        "i-0123456789abcdef0 06:1d:5a:3b:7c:9e 10.0.0.0/16 0.0.0.0/0 fd00::/8 ::ffff:1.2.3.4/96 fe80::1%x/64 eu-central-1 "
        'amazonaws.com aws {"accountId":"111122223333"} {"region":"eu-central-1"} {"region":5} [ ] null 9e999'.split()
    )
    | st.sampled_from(["\n", "\r\n", " ", "/", "\x00", "\u00e9"])
    | st.text(max_size=4),
    max_size=8,
).map(lambda words: "".join(words).encode("utf-8", "replace"))


@given(WORDS | st.binary(max_size=100))
def test_any_value_is_read_or_refused(data: bytes) -> None:
    """Any answer to any request gives clean facts or an error for people."""
    readers.metadata_value(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.just("10.0.0.0/16"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = "instance_id mac region domain partition account vpc_cidrs_v4 vpc_cidrs_v6 user_data user_data_base64 warnings".split()
FACTS = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8).map(
    lambda changed: {"instance_id": "i-0123456789abcdef0", "region": "a-b-1", "vpc_cidrs_v4": ["10.0.0.0/8"], **changed}
)


@given(FACTS.map(lambda document: json.dumps(document).encode()) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_facts_file_is_read_or_refused(data: bytes) -> None:
    """Any JSON gives facts or an error for people."""
    readers.only_agent_errors(readers.facts_file, data)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_a_facts_file_or_refused(data: bytes) -> None:
    """The same for what is not JSON."""
    readers.only_agent_errors(readers.facts_file, data)


ANSWER = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK",
            b"HTTP/1.1 100 Continue",
            b"HTTP/1.1 404 Not Found",
            b"HTTP/1.0 302 Found",
            b"HTTP/2 200",
            b"Location: http://[x",
            b"Content-Length: 17",
            b"Content-Length: -1",
            b"Content-Length: 1,2",
            b"Content-Length: \xb2",
            b"Transfer-Encoding: chunked",
            b"Connection: close",
            b"Content-Encoding: gzip",
            b"Content-Type: multipart/mixed; boundary*=a; boundary*0=b",
            b"Content-Type: message/http",
            b" folded; boundary*0=c",
            b"Set-Cookie: a=b; expires=x",
            b": empty",
            b"no colon",
            b"",
            b"",
            b"5",
            b"0",
            b"06:1d:5a:3b:7c:9e",
        ]
    )
    | st.binary(max_size=20),
    max_size=12,
).map(b"\r\n".join)


@given(ANSWER)
def test_any_http_answer_is_read_or_refused(data: bytes) -> None:
    """Headers and bodies give an answer, or an error that the client turns into its own."""
    readers.http_answer(data)


@pytest.fixture(scope="module")
def service() -> Iterator[MoodyService]:
    """Yield a service on loopback that answers what a test tells it."""
    with MoodyService() as service:
        yield service


@given(ANSWER, st.sampled_from(["/token", "/mac", "/instance-id", "/document", "/user-data"]))
@settings(max_examples=settings().max_examples // 2, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_client_survives_any_answer(service: MoodyService, data: bytes, path: str) -> None:
    """Whatever comes over a socket, a fetch ends in time with facts or with an AgentError."""
    clock = Clock()
    service.moods = [Mood(moods.raw(b"HTTP/1.1 200 OK\r\n" * (len(data) % 2) + data), path, times=10**6)]
    client = MetadataClient(service.endpoint, 0.3, clock=clock, sleep=clock.sleep)
    readers.only_agent_errors(lambda _: client.fetch(), data)
    service.asked.clear()


def value(start: bytes, unit: bytes) -> Bomb:
    """Return a bomb of one value that repeats `unit` up to the limit."""
    return Bomb(readers.metadata_value, lambda: (start + unit * VALUE_LIMIT)[:VALUE_LIMIT])


def answer(start: bytes, unit: bytes, size: int = 1 << 20) -> Bomb:
    """Return a bomb of an HTTP answer that repeats `unit` for a mebibyte."""
    return Bomb(readers.http_answer, lambda: b"HTTP/1.1 200 OK\r\n" + start + unit * (size // len(unit)) + b"\r\n\r\n")


BOMBS = {
    "CIDRs": value(b"", b"10.0.0.0/8\n"),
    "lines": value(b"", b"\n"),
    "labels": value(b"", b"a."),
    "a long label": value(b"", b"a"),
    "arrays": value(b'{"region":', b"["),
    "objects": value(b'{"region":', b'{"":'),
    "a long number": value(b'{"accountId":', b"9"),
    "user info": value(b"", b"a:b@"),
    "facts file of arrays": Bomb(readers.facts_file, lambda: b"[" * 100000),
    "parameters in a header": answer(b"Content-Type: multipart/mixed", b";a=b"),
    "RFC 2231 in a header": answer(b"Content-Type: multipart/mixed", b";boundary*0=a", 16000),
    "parameters in short headers": answer(b"", b"Content-Type: multipart/mixed" + b";a=b" * 1000 + b"\r\n"),
    "cookies": answer(b"Set-Cookie: a", b"; expires=1", 16000),
    "folded header": answer(b"Content-Type: text/plain;\r\n", b" \r\n"),
    "status lines": Bomb(readers.http_answer, lambda: b"HTTP/1.1 100 Continue\r\n\r\n" * 50000),
    "chunks": answer(b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "chunk extensions": answer(b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 60000 + b"\r\nx\r\n"),
    "trailers": answer(b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n"),
}


def test_bombs() -> None:
    """Each costs at most five times what the contract allows."""
    assert_bounded("test_metadata")
