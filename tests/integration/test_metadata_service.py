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

import pytest

from agent.core.facts.instance import facts_to_json
from agent.core.record import evolve
from agent.demo.instance import Instance, Interface
from agent.demo.metadata_service import MetadataService, parse_address, serve
from agent.edges.imds import MetadataClient
from agent.errors import AgentError, UsageError
from tests.integration.moods import Clock, free_port

TTL = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
ROOT = Path(__file__).parents[2]


class Connection:
    """One keep-alive connection to a service."""

    def __init__(self, service: MetadataService) -> None:
        self._http = http.client.HTTPConnection(service.endpoint[len("http://") :], timeout=10)

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, str]:
        """Return status and body of the answer."""
        self._http.request(method, path, body=body or None, headers=headers or {})
        response = self._http.getresponse()
        return response.status, response.read().decode()

    def close(self) -> None:
        """End the connection."""
        self._http.close()

    def token(self, ttl: str = "60") -> dict[str, str]:
        """Return the headers of a client with a new token."""
        status, token = self.request("PUT", "/latest/api/token", {TTL: ttl})
        assert status == 200
        return {TOKEN: token}


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the service."""
    return Clock()


@pytest.fixture
def service(clock: Clock) -> Iterator[MetadataService]:
    """Yield a service with a second interface."""
    other = Interface("06:00:00:00:00:01", ("192.168.0.0/16",))
    with MetadataService(Instance(secondary=(other,), user_data=b"#!/bin/sh\n"), clock=clock) as service:
        yield service


@pytest.fixture
def connection(service: MetadataService) -> Iterator[Connection]:
    """Yield a connection to it."""
    connection = Connection(service)
    yield connection
    connection.close()


@pytest.mark.parametrize("ttl", ["1", "21600"])
def test_token_with_an_allowed_ttl(connection: Connection, ttl: str) -> None:
    """1 to 21600 seconds are allowed."""
    assert connection.request("GET", "/latest/meta-data/mac", connection.token(ttl)) == (200, "06:1d:5a:3b:7c:9e")


@pytest.mark.parametrize("ttl", [None, "", "0", "21601", "-1", "+60", "60.0", "sixty", "99999999999999999999"])
def test_token_with_another_ttl_is_400(connection: Connection, ttl: str | None) -> None:
    """A missing or wrong TTL is a bad request."""
    assert connection.request("PUT", "/latest/api/token", {} if ttl is None else {TTL: ttl})[0] == 400


@pytest.mark.parametrize("path", ["/", "/latest/", "/latest/meta-data/mac", "/latest/user-data", "/latest/nothing"])
@pytest.mark.parametrize("headers", [{}, {TOKEN: ""}, {TOKEN: "wrong"}])
def test_no_answer_without_a_token(connection: Connection, path: str, headers: dict[str, str]) -> None:
    """Version 1 is off: a missing or wrong token is 401 for every path, with a page of HTML."""
    status, body = connection.request("GET", path, headers)
    assert status == 401
    assert "<title>401 - Unauthorized</title>" in body


def test_token_expires(connection: Connection, clock: Clock) -> None:
    """After its TTL a token is refused."""
    headers = connection.token("60")
    clock.now += 59.9
    assert connection.request("GET", "/latest/meta-data/mac", headers)[0] == 200
    clock.now += 0.1
    assert connection.request("GET", "/latest/meta-data/mac", headers)[0] == 401


@pytest.mark.parametrize(("method", "path"), [("PUT", "/latest/api/token"), ("GET", "/latest/meta-data/mac")])
def test_request_through_a_proxy_is_403(connection: Connection, method: str, path: str) -> None:
    """X-Forwarded-For is refused, with a valid token too."""
    assert connection.request(method, path, {**connection.token(), TTL: "60", "x-forwarded-for": "10.0.0.1"})[0] == 403


def test_disabled_service_is_403(connection: Connection, service: MetadataService) -> None:
    """Every request is refused once the service is disabled."""
    headers = connection.token()
    service.enabled = False
    assert connection.request("PUT", "/latest/api/token", {TTL: "60"})[0] == 403
    assert connection.request("GET", "/latest/meta-data/mac", headers)[0] == 403


@pytest.mark.parametrize("path", ["/2021-07-15/api/token", "/latest/meta-data/mac", "/latest/api/token/", "/"])
def test_put_elsewhere_is_403(connection: Connection, path: str) -> None:
    """Tokens come from one path only, and not from a dated one."""
    assert connection.request("PUT", path, {TTL: "60"})[0] == 403


@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD", "PATCH", "OPTIONS", "BREW"])
def test_other_methods_are_refused(connection: Connection, method: str) -> None:
    """Only PUT and GET are allowed; the body of another request is not taken for the next one."""
    assert connection.request(method, "/latest/meta-data/mac", connection.token(), b"GET / HTTP/1.1\r\n\r\n")[0] == 405
    assert connection.request("GET", "/latest/meta-data/mac", connection.token())[0] == 200


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
def test_tree(connection: Connection, path: str, expected: str) -> None:
    """Directories end in `/`, lists have no newline at their end, dated paths answer as /latest/
    does.
    """
    assert connection.request("GET", path, connection.token()) == (200, expected)


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
def test_absent_values_are_404(connection: Connection, path: str) -> None:
    """IPv6 CIDRs of an IPv4-only VPC, tags, unknown names and versions."""
    assert connection.request("GET", path, connection.token())[0] == 404


def test_no_user_data_is_404(connection: Connection, service: MetadataService) -> None:
    """Without user data its path does not exist, and is not listed."""
    service.instance = evolve(service.instance, user_data=b"")
    assert connection.request("GET", "/latest/user-data", connection.token())[0] == 404
    assert connection.request("GET", "/latest/", connection.token()) == (200, "dynamic\nmeta-data")


def test_identity_document(connection: Connection) -> None:
    """The document holds the same instance."""
    document = json.loads(
        connection.request("GET", "/latest/dynamic/instance-identity/document", connection.token())[1]
    )
    assert (document["instanceId"], document["region"]) == ("i-0a1b2c3d4e5f60718", "eu-central-1")


def test_answer_leaves_in_one_piece(service: MetadataService) -> None:
    """Headers and body arrive in one read: two writes would cost 40 ms each time."""
    address = service.endpoint[len("http://") :].split(":")
    with socket.create_connection((address[0], int(address[1]))) as connection:
        for _ in range(20):
            connection.sendall(b"PUT /latest/api/token HTTP/1.1\r\nHost: x\r\n%s: 60\r\n\r\n" % TTL.encode())
            assert connection.recv(65536).endswith(b"==")


def test_garbage_does_not_disturb_it(
    service: MetadataService, connection: Connection, capfd: pytest.CaptureFixture[str]
) -> None:
    """Invalid requests and clients that disconnect do no harm, and leave stderr empty."""
    address = service.endpoint[len("http://") :].split(":")
    for garbage in (
        b"\x16\x03\x01\x00",
        b"GET\r\n\r\n",
        b"PUT / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n",
    ):
        with socket.create_connection((address[0], int(address[1]))) as raw:
            raw.sendall(garbage)
    assert connection.request("GET", "/latest/meta-data/mac", connection.token())[0] == 200
    assert capfd.readouterr().err == ""


def test_instance_file_is_read_again_when_it_changes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The VPC changes under a running client when the file does; a corrupt file is reported and
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
    """Facts that the agent keeps of one node can be served to another."""
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
    """Two services cannot listen on one address."""
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
    """Text that is not ADDRESS:PORT is a usage error with an example."""
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert "127.0.0.1:1338" in caught.value.hint


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_served_from_the_command_line(tmp_path: Path, number: int, host: str) -> None:
    """One line shows the endpoint once it listens; SIGTERM and SIGINT end it cleanly."""
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


def test_a_late_service_can_be_stopped_before_it_listens() -> None:
    """A service that starts late ends at a signal while it waits."""
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
