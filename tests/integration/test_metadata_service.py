"""The embedded metadata service refuses what EC2's refuses, and shows its tree as EC2 does."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from agent.core.facts.instance import facts_to_json
from agent.demo.instance import Instance, Interface
from agent.demo.metadata_service import MetadataService, parse_address, serve
from agent.edges.imds import MetadataClient
from agent.errors import AgentError, UsageError
from tests.integration.moods import Clock, free_port

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
ROOT = Path(__file__).parents[2]


class Talk:
    """One keep-alive connection to a service."""

    def __init__(self, service: MetadataService) -> None:
        self.connection = http.client.HTTPConnection(service.endpoint[len("http://") :], timeout=10)

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> tuple[int, str]:
        """Status and body of the answer."""
        self.connection.request(method, path, body=body or None, headers=headers or {})
        response = self.connection.getresponse()
        return response.status, response.read().decode()

    def token(self, ttl: str = "60") -> dict[str, str]:
        """The headers of someone with a new token."""
        status, token = self.ask("PUT", "/latest/api/token", {TTL: ttl})
        assert status == 200
        return {TOKEN: token}


@pytest.fixture
def clock() -> Clock:
    """The clock of the service."""
    return Clock()


@pytest.fixture
def service(clock: Clock) -> Iterator[MetadataService]:
    """A service with a second interface."""
    other = Interface("06:00:00:00:00:01", ("192.168.0.0/16",))
    with MetadataService(Instance(secondary=(other,), user_data=b"#!/bin/sh\n"), clock=clock) as service:
        yield service


@pytest.fixture
def talk(service: MetadataService) -> Iterator[Talk]:
    """A connection to it."""
    talk = Talk(service)
    yield talk
    talk.connection.close()


@pytest.mark.parametrize("ttl", ["1", "21600"])
def test_token_of_any_allowed_life(talk: Talk, ttl: str) -> None:
    """1 to 21600 seconds are allowed."""
    assert talk.ask("GET", "/latest/meta-data/mac", talk.token(ttl)) == (200, "06:1d:5a:3b:7c:9e")


@pytest.mark.parametrize("ttl", [None, "", "0", "21601", "-1", "+60", "60.0", "sixty", "99999999999999999999"])
def test_token_of_any_other_life_is_400(talk: Talk, ttl: str | None) -> None:
    """A missing or wrong life is a bad request."""
    assert talk.ask("PUT", "/latest/api/token", {} if ttl is None else {TTL: ttl})[0] == 400


@pytest.mark.parametrize("path", ["/", "/latest/", "/latest/meta-data/mac", "/latest/user-data", "/latest/nothing"])
@pytest.mark.parametrize("headers", [{}, {TOKEN: ""}, {TOKEN: "wrong"}])
def test_no_answer_without_a_token(talk: Talk, path: str, headers: dict[str, str]) -> None:
    """Version 1 is off: whatever is asked, a missing or wrong token is 401, with a page of HTML."""
    status, body = talk.ask("GET", path, headers)
    assert status == 401
    assert "<title>401 - Unauthorized</title>" in body


def test_token_ends(talk: Talk, clock: Clock) -> None:
    """After its life a token is worth nothing."""
    headers = talk.token("60")
    clock.now += 59.9
    assert talk.ask("GET", "/latest/meta-data/mac", headers)[0] == 200
    clock.now += 0.1
    assert talk.ask("GET", "/latest/meta-data/mac", headers)[0] == 401


@pytest.mark.parametrize(("method", "path"), [("PUT", "/latest/api/token"), ("GET", "/latest/meta-data/mac")])
def test_what_came_through_a_proxy_is_403(talk: Talk, method: str, path: str) -> None:
    """X-Forwarded-For is refused, with a valid token too."""
    assert talk.ask(method, path, {**talk.token(), TTL: "60", "x-forwarded-for": "10.0.0.1"})[0] == 403


def test_disabled_service_is_403(talk: Talk, service: MetadataService) -> None:
    """Nothing is answered once the service is switched off."""
    headers = talk.token()
    service.enabled = False
    assert talk.ask("PUT", "/latest/api/token", {TTL: "60"})[0] == 403
    assert talk.ask("GET", "/latest/meta-data/mac", headers)[0] == 403


@pytest.mark.parametrize("path", ["/2021-07-15/api/token", "/latest/meta-data/mac", "/latest/api/token/", "/"])
def test_put_elsewhere_is_403(talk: Talk, path: str) -> None:
    """Tokens come from one path only, and not from a dated one."""
    assert talk.ask("PUT", path, {TTL: "60"})[0] == 403


@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD", "PATCH", "OPTIONS", "BREW"])
def test_other_methods_are_refused(talk: Talk, method: str) -> None:
    """Only PUT and GET mean something; the body of the others does not confuse what follows on the
    connection.
    """
    assert talk.ask(method, "/latest/meta-data/mac", talk.token(), b"GET / HTTP/1.1\r\n\r\n")[0] == 405
    assert talk.ask("GET", "/latest/meta-data/mac", talk.token())[0] == 200


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/latest", "dynamic\nmeta-data\nuser-data"),
        ("/2021-07-15/", "dynamic\nmeta-data\nuser-data"),
        ("/latest/meta-data/services/", "domain\npartition"),
        ("/latest/meta-data/network/", "interfaces/"),
        ("/latest/meta-data/network/interfaces/macs/", "06:00:00:00:00:01/\n06:1d:5a:3b:7c:9e/"),
        ("/latest/meta-data/iam/security-credentials/", "eks-node"),
        ("/latest/meta-data/network/interfaces/macs/06:00:00:00:00:01/vpc-ipv4-cidr-blocks", "192.168.0.0/16"),
        (
            "/2021-07-15/meta-data/network/interfaces/macs/06:1d:5a:3b:7c:9e/vpc-ipv4-cidr-blocks",
            "10.42.0.0/16\n100.64.0.0/16",
        ),
        ("/latest/user-data", "#!/bin/sh\n"),
        ("/latest/meta-data/placement/availability-zone/", "eu-central-1a"),
    ],
)
def test_tree(talk: Talk, path: str, expected: str) -> None:
    """Directories end in `/`, lists have no newline at their end, dated paths answer as /latest/
    does.
    """
    assert talk.ask("GET", path, talk.token()) == (200, expected)


@pytest.mark.parametrize(
    "path",
    [
        "/latest/meta-data/network/interfaces/macs/06:1d:5a:3b:7c:9e/vpc-ipv6-cidr-blocks",
        "/latest/meta-data/network/interfaces/macs/06:ff:ff:ff:ff:ff/vpc-ipv4-cidr-blocks",
        "/latest/meta-data/tags/instance/",
        "/latest/meta-data/ma",
        "/latest/meta-data/../meta-data/mac",
        "/1999-01-01/meta-data/mac",
        "/meta-data/mac",
    ],
)
def test_what_is_not_set_is_404(talk: Talk, path: str) -> None:
    """IPv6 CIDRs of an IPv4-only VPC, tags, unknown names and versions."""
    assert talk.ask("GET", path, talk.token())[0] == 404


def test_no_user_data_is_404(talk: Talk, service: MetadataService) -> None:
    """Without user data its path does not exist, and the listing does not show it."""
    service.instance = attrs.evolve(service.instance, user_data=b"")
    assert talk.ask("GET", "/latest/user-data", talk.token())[0] == 404
    assert talk.ask("GET", "/latest/", talk.token()) == (200, "dynamic\nmeta-data")


def test_identity_document(talk: Talk) -> None:
    """The document holds the same instance."""
    document = json.loads(talk.ask("GET", "/latest/dynamic/instance-identity/document", talk.token())[1])
    assert (document["instanceId"], document["region"]) == ("i-0a1b2c3d4e5f60718", "eu-central-1")


def test_answer_leaves_in_one_piece(service: MetadataService) -> None:
    """Headers and body arrive with one read: two writes would cost 40 ms each time."""
    address = service.endpoint[len("http://") :].split(":")
    with socket.create_connection((address[0], int(address[1]))) as connection:
        for _ in range(20):
            connection.sendall(b"PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n%s: 60\r\n\r\n" % TTL.encode())
            assert connection.recv(65536).endswith(b"==")


def test_garbage_does_not_disturb_it(service: MetadataService, talk: Talk, capfd: pytest.CaptureFixture[str]) -> None:
    """Requests that are none, and clients that go away, leave the service well and stderr empty."""
    address = service.endpoint[len("http://") :].split(":")
    for garbage in (
        b"\x16\x03\x01\x00",
        b"GET\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n",
    ):
        with socket.create_connection((address[0], int(address[1]))) as connection:
            connection.sendall(garbage)
    assert talk.ask("GET", "/latest/meta-data/mac", talk.token())[0] == 200
    assert capfd.readouterr().err == ""


def test_instance_file_is_read_again_when_it_changes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The VPC changes under a running client when the file does; a spoilt file is reported and
    changes nothing.
    """
    file = tmp_path / "instance.json"
    file.write_text('{"vpc_cidrs_v4": ["10.1.0.0/16"]}')
    with MetadataService(file=file) as service:
        client = MetadataClient(service.endpoint, 30)
        assert client.fetch().vpc_cidrs_v4 == ("10.1.0.0/16",)
        for number, (text, expected) in enumerate(
            [('{"vpc_cidrs_v4": ["10.2.0.0/16"]}', "10.2.0.0/16"), ('{"vpc_cidrs_v4": ["10.3', "10.2.0.0/16")]
        ):
            file.write_text(text)
            os.utime(file, ns=(number, number))
            assert client.fetch().vpc_cidrs_v4 == (expected,)
        file.unlink()
        assert client.fetch().vpc_cidrs_v4 == ("10.2.0.0/16",)
    assert "instance.json: invalid instance: " in capfd.readouterr().err


def test_facts_file_is_an_instance_file() -> None:
    """What the agent keeps of one node can be served to another."""
    with MetadataService(Instance(user_data=b"\x1f\x8b\x00", vpc_cidrs_v6=("2600:1f16::/56",))) as service:
        facts = MetadataClient(service.endpoint, 30).fetch()
        service.instance = Instance.from_json(facts_to_json(facts))
        assert MetadataClient(service.endpoint, 30).fetch() == facts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"regoin": "x"}',
        '{"region": 5}',
        '{"vpc_cidrs_v4": "10.0.0.0/16"}',
        '{"vpc_cidrs_v4": [5]}',
        '{"user_data_base64": "%%%"}',
        '{"secondary": [5]}',
        '{"secondary": [{"macc": "x"}]}',
    ],
)
def test_wrong_instance_file_is_an_error(tmp_path: Path, text: str) -> None:
    """A mistake in the file is named, with the keys that exist."""
    file = tmp_path / "instance.json"
    file.write_text(text)
    with pytest.raises(AgentError, match="invalid instance: ") as caught:
        MetadataService(file=file)
    assert "vpc_cidrs_v4" in caught.value.hint


def test_missing_instance_file_is_an_error(tmp_path: Path) -> None:
    """A file that cannot be read is named."""
    with pytest.raises(AgentError, match="No such file"):
        MetadataService(file=tmp_path / "nothing.json")


def test_taken_address_is_an_error(service: MetadataService) -> None:
    """Two cannot listen at one address."""
    address = service.endpoint[len("http://") :]
    with pytest.raises(AgentError, match=f"cannot listen on {address}: Address already in use"):
        serve(address)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("localhost:65535", ("localhost", 65535))],
)
def test_address(text: str, expected: tuple[str, int]) -> None:
    """IPv4, IPv6 in brackets, names."""
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text", ["", "127.0.0.1", ":80", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "[::1]", "a b:80", "x:80\n"]
)
def test_wrong_address(text: str) -> None:
    """A value that is not ADDRESS:PORT is a usage error that shows how to write it."""
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert "127.0.0.1:1338" in caught.value.hint


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_served_from_the_command_line(tmp_path: Path, number: int, host: str) -> None:
    """One line tells the endpoint once it listens; SIGTERM and SIGINT end it cleanly."""
    file = tmp_path / "instance.json"
    file.write_text('{"region": "ap-southeast-2"}')
    address = f"[{host}]:0" if ":" in host else host + ":0"
    command = [sys.executable, "-m", "agent.demo.metadata_service", address, "--instance", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("metadata service (IMDSv2) at http://")
            assert MetadataClient(line.split()[-1], 30).fetch().region == "ap-southeast-2"
        finally:
            process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_ends_while_it_is_still_late() -> None:
    """A service that is to come late can be ended before it came."""
    host, port = free_port("127.0.0.1")
    command = [sys.executable, "-c", _LATE, f"{host}:{port}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


#: Sends the signal first: it stays pending until `serve` waits.
_LATE = """
import os, signal, sys
from agent.demo.metadata_service import serve
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
os.kill(os.getpid(), signal.SIGTERM)
print(serve(sys.argv[1], late=600))
"""


def test_wrong_command_line() -> None:
    """A wrong address ends with 2 and two lines on stderr."""
    command = [sys.executable, "-m", "agent.demo.metadata_service", "nowhere"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 2)
