"""The metadata client against a misbehaving service, over real sockets on loopback."""

from __future__ import annotations

import gzip
import logging
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Callable

import pytest

from agent.core.facts.instance import Facts
from agent.core.record import evolve
from agent.demo.instance import Instance, Interface
from agent.edges.imds import MetadataClient
from agent.errors import MetadataError
from tests.integration import moods
from tests.integration.moods import HTML, Clock, Mood, MoodyService

CIDRS_V4 = "/vpc-ipv4-cidr-blocks"
CIDRS_V6 = "/vpc-ipv6-cidr-blocks"


@pytest.fixture
def clock() -> Clock:
    """Return a clock that client and service share."""
    return Clock()


@pytest.fixture
def service(clock: Clock) -> Iterator[MoodyService]:
    """Yield a service on loopback, with a second interface in another VPC."""
    other = Interface("06:ff:ff:ff:ff:fe", ("192.168.0.0/16",))
    with MoodyService(Instance(secondary=(other,)), clock=clock) as service:
        yield service


@pytest.fixture
def client(service: MoodyService, clock: Clock) -> MetadataClient:
    """Return a client with 30 seconds, none of which really pass."""
    return MetadataClient(service.endpoint, 30, clock=clock, sleep=clock.sleep)


def refused(client: MetadataClient) -> MetadataError:
    """Return the error with which `fetch` fails."""
    with pytest.raises(MetadataError) as caught:
        client.fetch()
    return caught.value


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_reads_every_fact(host: str) -> None:
    """All facts arrive, over IPv4 and IPv6, with one token and one connection."""
    data = gzip.compress(b"#!/bin/sh\n")
    instance = Instance(vpc_cidrs_v6=("2600:1f16:67f:f200:0:0:0:0/56",), user_data=data)
    with MoodyService(instance, host=host) as service:
        facts = MetadataClient(service.endpoint, 30).fetch()
    assert facts == Facts(
        instance_id="i-0a1b2c3d4e5f60718",
        mac="06:1d:5a:3b:7c:9e",
        vpc_cidrs_v4=("10.42.0.0/16", "100.64.0.0/16"),
        vpc_cidrs_v6=("2600:1f16:67f:f200::/56",),
        region="eu-central-1",
        domain="amazonaws.com",
        partition="aws",
        account="111122223333",
        user_data=data,
    )
    assert service.tokens_asked() == 1
    assert len({asked.connection for asked in service.asked}) == 1
    assert len(service.asked) == 10
    assert all(asked.headers["accept-encoding"] == "identity" for asked in service.asked)


def test_a_slash_after_the_endpoint_changes_nothing(service: MoodyService, clock: Clock) -> None:
    """`http://ADDRESS/` is the same endpoint as `http://ADDRESS`."""
    assert MetadataClient(service.endpoint + "/", 30, clock=clock).fetch().region == "eu-central-1"


def test_never_goes_through_a_proxy(client: MetadataClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy variables that point into the void do not matter."""
    host, port = moods.free_port("127.0.0.1")
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{host}:{port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert client.fetch().instance_id == "i-0a1b2c3d4e5f60718"


def test_optional_values_may_be_absent(client: MetadataClient, service: MoodyService) -> None:
    """A 404 for user data, IPv6 CIDRs and service domain is not an error."""
    service.instance = evolve(service.instance, domain="", partition="", region="cn-north-1")
    facts = client.fetch()
    assert (facts.user_data, facts.vpc_cidrs_v6, facts.domain, facts.partition) == (
        b"",
        (),
        "amazonaws.com.cn",
        "aws-cn",
    )


def test_an_interface_with_ipv6_only(client: MetadataClient, service: MoodyService) -> None:
    """404 for the IPv4 CIDRs is normal as long as there are IPv6 ones."""
    service.instance = Instance(vpc_cidrs_v4=(), vpc_cidrs_v6=("2600:1f16::/56",))
    assert client.fetch().vpc_cidrs_v4 == ()


def test_a_second_fetch_sees_what_changed_with_the_same_token(client: MetadataClient, service: MoodyService) -> None:
    """The token is kept between fetches, the answers are not."""
    client.fetch()
    service.instance = evolve(service.instance, vpc_cidrs_v4=("10.42.0.0/16", "10.43.0.0/16"))
    assert client.fetch().vpc_cidrs_v4 == ("10.42.0.0/16", "10.43.0.0/16")
    assert service.tokens_asked() == 1


def test_token_is_renewed_before_it_ends(client: MetadataClient, service: MoodyService, clock: Clock) -> None:
    """Shortly before its expiry the token is replaced, without a 401 and so without a pause."""
    client.fetch()
    clock.now += 21600 - 299
    client.fetch()
    assert service.tokens_asked() == 2
    assert clock.slept == []


@pytest.mark.parametrize("path", ["/mac", CIDRS_V4, "/user-data"])
def test_401_brings_a_new_token(client: MetadataClient, service: MoodyService, path: str) -> None:
    """A refused token is replaced, and the request is sent again."""
    service.moods = [Mood(moods.status(401), path, times=3)]
    assert client.fetch().region == "eu-central-1"
    assert service.tokens_asked() == 4


@pytest.mark.parametrize("path", ["/mac", "/instance-id", CIDRS_V4, "/region"])
def test_a_required_value_that_comes_late(
    client: MetadataClient, service: MoodyService, clock: Clock, path: str
) -> None:
    """A 404 for what every instance has is requested again: it may be set a second later."""
    service.moods = [Mood(moods.status(404), path, times=20), Mood(moods.answer(b""), path, times=3)]
    if path == "/region":
        service.moods.append(Mood(moods.status(404), "/document", times=23))
    facts = client.fetch()
    assert (facts.region, facts.vpc_cidrs_v4) == ("eu-central-1", ("10.42.0.0/16", "100.64.0.0/16"))
    assert len(clock.slept) == 23
    assert max(clock.slept) <= 0.5


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/mac", "/latest/meta-data/mac"),
        ("/instance-id", "/latest/meta-data/instance-id"),
        ("-cidr-blocks", "vpc-ipv4-cidr-blocks and /latest/"),
    ],
)
def test_a_required_value_that_never_comes(
    client: MetadataClient, service: MoodyService, clock: Clock, path: str, label: str
) -> None:
    """The wait for it ends at the deadline, and the error names it."""
    began = clock.now
    service.moods = [Mood(moods.status(404), path, times=10**6)]
    error = str(refused(client))
    assert error.startswith(f"instance metadata service at {service.endpoint}: ")
    assert label in error
    assert error.endswith(": not set (404) (tried for 30 s)")
    assert 29 < clock.now - began <= 30


def test_region_of_the_identity_document(client: MetadataClient, service: MoodyService, clock: Clock) -> None:
    """Without placement/region the region is that of the identity document, without a retry."""
    service.moods = [Mood(moods.status(404), "/region", times=10**6)]
    assert client.fetch().region == "eu-central-1"
    assert clock.slept == []


def test_identity_document_may_be_absent(client: MetadataClient, service: MoodyService, clock: Clock) -> None:
    """With placement/region the identity document is not requested again."""
    service.moods = [Mood(moods.status(404), "/document", times=10**6)]
    facts = client.fetch()
    assert (facts.region, facts.account, facts.warnings) == ("eu-central-1", "", ())
    assert clock.slept == []


def test_unreachable_service_has_a_deadline_of_its_own() -> None:
    """Off EC2 nothing answers, and the wait is the shorter one."""
    clock = Clock()
    endpoint = "http://{}:{}".format(*moods.free_port("127.0.0.1"))
    client = MetadataClient(endpoint, 60, unreachable_deadline=3, clock=clock, sleep=clock.sleep)
    began = clock.now
    assert "connection refused (tried for 3 s)" in str(refused(client))
    assert clock.now - began <= 3


def test_a_404_is_not_unreachable(service: MoodyService, clock: Clock) -> None:
    """A service that answers at all gets the whole deadline."""
    service.moods = [Mood(moods.status(404), "/mac", times=10**6)]
    client = MetadataClient(service.endpoint, 60, unreachable_deadline=3, clock=clock, sleep=clock.sleep)
    assert "not set (404) (tried for 60 s)" in str(refused(client))


def test_each_pause_is_announced(service: MoodyService, clock: Clock) -> None:
    """Before each pause the caller gets the problem and the seconds that remain."""
    calls: list[tuple[str, float]] = []
    service.moods = [Mood(moods.status(404), "/mac", times=2), Mood(moods.status(503), "/region")]
    MetadataClient(
        service.endpoint, 30, waiting=lambda *call: calls.append(call), clock=clock, sleep=clock.sleep
    ).fetch()
    assert ["not set (404)" in calls[0][0], "answered 503" in calls[2][0], len(calls)] == [True, True, 3]
    assert 30 >= calls[0][1] > calls[1][1] > calls[2][1] > 28


def test_last_cause_is_reported_when_time_is_up(service: MoodyService, clock: Clock) -> None:
    """A pause that ends after the deadline does not hide the error before it."""
    service.moods = [Mood(moods.status(503), "/region", times=10**6)]
    client = MetadataClient(service.endpoint, 30, clock=clock, sleep=lambda seconds: clock.sleep(40))
    assert "/region: answered 503" in str(refused(client))


def test_no_time_from_the_beginning(service: MoodyService, clock: Clock) -> None:
    """Without any time no request is sent, and the error says so."""
    error = str(refused(MetadataClient(service.endpoint, 0, clock=clock, sleep=clock.sleep)))
    assert error.endswith("PUT /latest/api/token: not sent; the requests before it took 0 s (tried for 0 s)")
    assert service.asked == []


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("path", ["/api/token", "/mac", CIDRS_V4])
def test_busy_service_is_queried_again(
    client: MetadataClient, service: MoodyService, clock: Clock, code: int, path: str
) -> None:
    """Timeouts of the server, throttling and server errors are retried."""
    service.moods = [Mood(moods.status(code), path, times=5)]
    assert client.fetch().region == "eu-central-1"
    assert len(clock.slept) == 5


@pytest.mark.parametrize(
    "misbehave",
    [
        moods.reset,
        moods.raw(b""),
        moods.raw(b"\x00\xff\x16\x03" * 100),
        moods.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut off"),
        moods.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\ncut off"),
        moods.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        moods.raw(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000),
        moods.raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"),
    ],
    ids="reset nothing binary short cut-chunk wrong-chunk long-header many-headers".split(),
)
@pytest.mark.parametrize("path", ["/api/token", "/instance-id"])
def test_broken_answer_is_requested_again(
    client: MetadataClient, service: MoodyService, misbehave: Callable[[Any], None], path: str
) -> None:
    """A connection that breaks in the middle of an answer costs a retry and no more."""
    service.moods = [Mood(misbehave, path, times=2)]
    assert client.fetch().instance_id == "i-0a1b2c3d4e5f60718"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Type: multipart/mixed; boundary*=a; boundary*0=b\r\n",
        b"Content-Type:\r\n multipart/mixed;\r\n\tboundary*=a; boundary*0=b\r\n",
        b"Content-Type: multipart/mixed" + b";a=b" * 3000 + b"\r\n",
        b"Set-Cookie: a=b" + b"; expires=Mon" * 900 + b"\r\n",
        b"Location: http://[broken\r\nRefresh: 0\r\n",
    ],
    ids="rfc2231 folded parameters cookie location".split(),
)
def test_odd_headers_are_ignored(client: MetadataClient, service: MoodyService, headers: bytes) -> None:
    """Headers that do not delimit the body are not read, whatever they hold."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n" + headers + b"\r\n"
    service.moods = [Mood(moods.raw(head + b"06:1d:5a:3b:7c:9e"), "/mac")]
    assert client.fetch().mac == "06:1d:5a:3b:7c:9e"


@pytest.mark.parametrize("headers", [b"X: " + b";a=b" * 8000 + b"\r\n", b"X: y\r\n" * 120])
def test_long_headers_are_an_error(client: MetadataClient, service: MoodyService, headers: bytes) -> None:
    """Headers over 16 KiB or 100 lines are refused, and the limit is named."""
    service.moods = [Mood(moods.raw(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n"), "/mac", times=10**6)]
    assert "headers exceed 16384 bytes or 100 lines" in str(refused(client))


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\ni-0a1b2c3d4e5f60718",
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\ni-0a1b2c3d4e5f60718",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3, 5\r\n\r\ni-0a1b2c3d4e5f60718",
        b"HTTP/1.1 999 Who knows\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 1e3 OK\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[broken\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
        b"i-0a1b2c3d4e5f60718\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    ],
)
def test_nonsense_ends_in_a_clear_error_or_in_facts(client: MetadataClient, service: MoodyService, data: bytes) -> None:
    """Any bytes give checked facts or a MetadataError that names the request."""
    service.moods = [Mood(moods.raw(data), "/instance-id", times=10**6)]
    try:
        text = "meta-data/instance-id answered: " + client.fetch().instance_id
    except MetadataError as error:
        text = str(error)
    assert "meta-data/instance-id" in text
    assert len(text) < 500
    assert text.isprintable()


@pytest.mark.parametrize("path", ["/mac", "/instance-id", CIDRS_V4, CIDRS_V6, "/region", "/domain", "/partition"])
@pytest.mark.parametrize("body", [HTML, b"\x00\x01\xff\xfe", b"10.0.0.0/16\nyes\x1b[31m", b"x" * 17000])
def test_wrong_content_is_an_error(client: MetadataClient, service: MoodyService, path: str, body: bytes) -> None:
    """HTML, binary and endless words with status 200 are refused, quoted short and printable."""
    service.moods = [Mood(moods.answer(body), path)]
    error = refused(client)
    assert path in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 400


def test_wrong_content_names_service_path_value_and_form(client: MetadataClient, service: MoodyService) -> None:
    """The whole text of such an error."""
    service.moods = [Mood(moods.answer(HTML), "/mac")]
    assert str(refused(client)) == (
        f"instance metadata service at {service.endpoint}: "
        '/latest/meta-data/mac: "<!DOCTYPE html>\\n<html><head><title>Sign in</title></head><body>Welcome to the ho..." '
        "is not a MAC address such as 06:1d:5a:3b:7c:9e"
    )


def test_html_instead_of_a_token(client: MetadataClient, service: MoodyService) -> None:
    """The page of a captive portal is not sent as a token."""
    service.moods = [Mood(moods.answer(HTML), "/api/token")]
    error = refused(client)
    assert f"{service.endpoint}: PUT /latest/api/token: the answer is not a token" in str(error)
    assert "version 2" in error.hint
    assert [asked.method for asked in service.asked] == ["PUT"]


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirects_are_not_followed(client: MetadataClient, service: MoodyService, code: int) -> None:
    """A redirect is an error, and its target is not contacted."""
    with MoodyService() as elsewhere:
        headers = {"Location": elsewhere.endpoint + "/latest/meta-data/mac"}
        service.moods = [Mood(moods.answer(b"over there", code, **headers), "/mac")]
        assert f'meta-data/mac: answered {code} "over there"' in str(refused(client))
    assert elsewhere.asked == []


@pytest.mark.parametrize("code", [400, 405, 410])
def test_other_statuses_are_not_retried(client: MetadataClient, service: MoodyService, clock: Clock, code: int) -> None:
    """A status that no retry can fix is an error that names request and answer."""
    service.moods = [Mood(moods.status(code), "/region")]
    assert f"{service.endpoint}: GET /latest/meta-data/placement/region: answered {code}" in str(refused(client))
    assert clock.slept == []


def test_disabled_service_is_explained(client: MetadataClient, service: MoodyService) -> None:
    """403 comes with the two usual reasons."""
    service.enabled = False
    error = refused(client)
    assert "answered 403" in str(error)
    assert "disabled" in error.hint
    assert "X-Forwarded-For" in error.hint


def test_no_cidrs_at_all_is_an_error(client: MetadataClient, service: MoodyService) -> None:
    """Neither IPv4 nor IPv6 CIDRs: NO_PROXY would be wrong, so there are no facts."""
    service.instance = Instance(vpc_cidrs_v4=())
    assert "vpc-ipv4-cidr-blocks" in str(refused(client))


def test_the_whole_internet_is_not_a_vpc(client: MetadataClient, service: MoodyService) -> None:
    """0.0.0.0/0 would send everything past the proxy."""
    service.instance = Instance(vpc_cidrs_v4=("0.0.0.0/0",))
    assert '"0.0.0.0/0" is not a' in str(refused(client))


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("path", ["/mac", "/user-data"])
def test_a_gibibyte_is_cut_off(client: MetadataClient, service: MoodyService, announced: bool, path: str) -> None:
    """An endless answer ends at its limit, in little memory, and is reported."""
    sent: list[int] = []
    service.moods = [Mood(moods.flood(announced=announced, sent=sent), path, times=100)]
    tracemalloc.start()
    try:
        error = refused(client)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "{}: answered {} bytes".format(path, 1 << 30 if announced else "more than") in str(error).replace(
        "more than 16384 bytes", "more than bytes"
    ).replace("more than 131072 bytes", "more than bytes")
    assert peak < 8 << 20


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids="status header body endless-body".split(),
)
@pytest.mark.parametrize("path", ["/api/token", "/mac", "/user-data"])
def test_dripping_answer_ends_at_the_deadline(
    client: MetadataClient, service: MoodyService, clock: Clock, start: bytes, path: str
) -> None:
    """An answer of one byte a second ends at the deadline, and the error says why."""
    began = clock.now

    def one_second() -> None:
        clock.now += 1

    service.moods = [Mood(moods.drip(start, one_second), path, times=10**6)]
    error = refused(client)
    assert "no complete answer in time (tried for 30 s)" in str(error)
    assert path in str(error)
    assert clock.now - began < 10 * 30, "the clock of the service runs on while this thread waits for the interpreter"


def test_one_dripping_answer_does_not_cost_the_whole_deadline(
    client: MetadataClient, service: MoodyService, clock: Clock
) -> None:
    """After two seconds the request is sent again on a new connection."""

    def one_second() -> None:
        clock.now += 1

    service.moods = [Mood(moods.drip(b"HTTP/1.1 200 OK\r\nX: ", one_second), "/mac")]
    began = clock.now
    assert client.fetch().region == "eu-central-1"
    assert clock.now - began < 30


def test_silent_token_request_hints_at_the_hop_limit(service: MoodyService) -> None:
    """In a container the answer to the PUT does not arrive when the hop limit is 1."""
    service.moods = [Mood(moods.hang, "/api/token", times=100)]
    error = refused(MetadataClient(service.endpoint, 0.3))
    assert "PUT" in str(error)
    assert "tried for 0.3 s" in str(error)
    assert "hop limit" in error.hint


def test_nothing_listens() -> None:
    """The error names the service, the last cause and the time that it was tried."""
    clock = Clock()
    endpoint = "http://{}:{}".format(*moods.free_port("127.0.0.1"))
    error = refused(MetadataClient(endpoint, 2, clock=clock, sleep=clock.sleep))
    service = f"instance metadata service at {endpoint}"
    assert str(error) == f"{service} did not answer: connection refused (tried for 2 s)"
    assert "--facts FILE" in error.hint
    assert "make demo" in error.hint
    assert 1.9 / 0.04 <= len(clock.slept) <= 2 / 0.01


def test_pauses_grow_only_after_ten_seconds() -> None:
    """At first pauses are so short that a late network costs below 0.1 s; later they save CPU."""
    clock = Clock()
    endpoint = "http://[{}]:{}".format(*moods.free_port("::1"))
    refused(MetadataClient(endpoint, 60, clock=clock, sleep=clock.sleep))
    early = [pause for begin, pause in _timeline(clock.slept) if begin < 10]
    late = [pause for begin, pause in _timeline(clock.slept) if begin >= 10]
    assert max(early) <= 0.04
    assert 0.3 <= min(late) <= max(late) <= 1
    assert len(set(early)) > 50


def _timeline(pauses: list[float]) -> Iterator[tuple[float, float]]:
    begin = 0.0
    for pause in pauses:
        yield begin, pause
        begin += pause


def test_network_that_comes_late(clock: Clock) -> None:
    """The first try after the service listens succeeds, whatever failed before."""
    host, port = moods.free_port("127.0.0.1")
    with ExitStack() as stack:

        def sleep(seconds: float) -> None:
            clock.sleep(seconds)
            if len(clock.slept) == 200:
                stack.enter_context(MoodyService(host=host, port=port, clock=clock))

        client = MetadataClient(f"http://{host}:{port}", 30, clock=clock, sleep=sleep)
        assert client.fetch().region == "eu-central-1"
    assert len(clock.slept) == 200


def test_address_that_swallows_packets() -> None:
    """If nothing comes back, not even a refusal, a try ends within a fraction of a second."""
    with socket.socket() as full, ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # Linux drops the SYN when the queue is full
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        pauses: list[float] = []
        error = refused(MetadataClient("http://{}:{}".format(*full.getsockname()), 0.4, sleep=pauses.append))
    assert "did not answer: no connection in time (tried for 0.4 s)" in str(error)
    assert len(pauses) >= 3


def test_sleep_that_raises_ends_the_fetch(clock: Clock) -> None:
    """SIGTERM during a pause ends the wait, and no request follows."""

    class Terminated(Exception):
        pass

    calls: list[float] = []

    def sleep(seconds: float) -> None:
        calls.append(seconds)
        raise Terminated

    client = MetadataClient("http://{}:{}".format(*moods.free_port("127.0.0.1")), 30, clock=clock, sleep=sleep)
    with pytest.raises(Terminated):
        client.fetch()
    assert len(calls) == 1


def test_token_is_never_logged(
    client: MetadataClient, service: MoodyService, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """With every library at its most verbose, the token shows in no log and in no error."""
    caplog.set_level(logging.DEBUG)
    service.moods = [Mood(moods.status(401), "/mac"), Mood(moods.reset, "/region"), Mood(moods.status(410), "/domain")]
    error = refused(client)
    tokens = {asked.headers["x-aws-ec2-metadata-token"] for asked in service.asked if asked.method == "GET"}
    assert len(tokens) == 2
    output = caplog.text + str(error) + error.hint + "".join(capfd.readouterr())
    assert not [token for token in tokens if token in output]


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://127.0.0.1",
        "ftp://127.0.0.1",
        "127.0.0.1",
        "http://",
        "http://[::1",
        "file:///etc",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:x",
    ],
)
def test_endpoint_that_is_not_an_http_url(endpoint: str) -> None:
    """A wrong endpoint is an error without a retry."""
    clock = Clock()
    error = refused(MetadataClient(endpoint, 30, clock=clock, sleep=clock.sleep))
    assert "http://ADDRESS" in error.hint
    assert clock.slept == []
