"""Health checks of a proxy: other and misbehaving servers on loopback, and Squid in a namespace."""

import contextlib
import json
import shutil
import socket
import ssl
import sys
import threading

import pytest

from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.edges.proxy_probe import probe, probe_all, probe_each
from agent.errors import AgentError
from tests.boot.harness.command import run
from tests.boot.harness.namespace import PROXY, REGISTRY, Namespace
from tests.boot.harness.root import REPOSITORY
from tests.boot.harness.services import Squid, squid_with_password
from tests.boot.harness.session import Session
from tests.boot.harness.tls import NAME, Authority, Inspected
from tests.integration.listening import Listener
from tests.integration.test_probe import in_namespace
from tests.integration.thread_limit import limit_program

HOST = "sts.eu-central-1.amazonaws.com"
CREDENTIALS = Credentials("node", "p:ss wörd")
BASIC = "bm9kZTpwOnNzIHfDtnJk"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Server:
    """A server on loopback that treats each connection alike, until the test ends.

    With a context it is one with TLS.
    """

    def __init__(self, behave, context=None):
        self.ended = threading.Event()
        self.requests = []
        self._behave, self._context = behave, context
        self._listener = Listener(
            lambda connection: threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        )
        self.url = ProxyUrl("https" if context else "http", "127.0.0.1", self._listener.port)

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            self.requests.append(connection.recv(65536))
            self._behave(self, connection)

    def close(self):
        """Close every connection."""
        self.ended.set()
        self._listener.close()


@pytest.fixture
def serve():
    """Return a function that starts servers, which end with the test."""
    made = []

    def make(behave, context=None):
        made.append(Server(behave, context))
        return made[-1]

    yield make
    for server in made:
        server.close()


def sends(data, stays=True):
    """Return the behaviour of a server that sends data, then keeps or closes the connection."""

    def behave(server, connection):
        connection.sendall(data)
        if stays:
            server.ended.wait()

    return behave


def drips(first, drop):
    """Return the behaviour of a server that sends `first`, then `drop` every few milliseconds."""

    def behave(server, connection):
        connection.sendall(first)
        while not server.ended.wait(0.01):
            connection.sendall(drop)

    return behave


def check_server(server, timeout=3.0, tls=True):
    """Return the verdict on a server."""
    return probe(server.url, HOST, 443, CREDENTIALS, timeout=timeout, tls=tls)


def test_request_is_connect_with_credentials(serve):
    """CONNECT has the target, Host and the credentials as UTF-8; without TLS a tunnel is enough."""
    server = serve(sends(OK))
    verdict = check_server(server, tls=False)
    assert (verdict.ok, verdict.kind) == (True, "ok")
    assert verdict.seconds > 0
    lines = server.requests[0].decode("ascii").split("\r\n")
    assert lines[:2] == [f"CONNECT {HOST}:443 HTTP/1.1", f"Host: {HOST}:443"]
    assert "Proxy-Authorization: Basic " + BASIC in lines


def test_ipv6_target_has_brackets(serve):
    """The form is that of RFC 3986."""
    server = serve(sends(OK))
    probe(server.url, "fd00::1", 8443, tls=False)
    assert server.requests[0].startswith(b"CONNECT [fd00::1]:8443 HTTP/1.1\r\n")


@pytest.mark.parametrize("host", ["", "a b", "a\r\nX: y", "ä.example"])
def test_host_cannot_inject_a_header(host):
    """An invalid host is rejected before anything is sent."""
    with pytest.raises(ValueError, match="not a host name"):
        probe(ProxyUrl("http", "127.0.0.1", 1), host, 443)


@pytest.mark.parametrize(
    "behave",
    [
        sends(b""),
        sends(b"HTTP/1.1 200 OK\r\nX: y\r\n"),
        drips(b"", b"H"),
        drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        drips(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "half a header", "a byte at a time", "a header at a time", "one long header", "always 100"],
)
def test_endless_response_times_out(serve, behave):
    """One deadline applies to the complete probe; these servers never end."""
    verdict = check_server(serve(behave), timeout=0.5)
    assert (verdict.kind, verdict.rank) == ("timeout", 0)
    assert "connected, but the response to CONNECT timed out after 0." in verdict.text


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200000,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 500000,
        b"HTTP/1.1 " + b"9" * 10_000_000,
        bytes(range(256)) * 40000,
    ],
    ids=["many headers", "a long header", "100 without end", "a long status", "binary"],
)
def test_huge_response_is_rejected(serve, data):
    """Megabytes of header, or of other data, are not read to the end."""
    verdict = check_server(serve(sends(data)))
    assert (verdict.kind, verdict.rank) == ("protocol", 0)
    assert verdict.text.isprintable()


@pytest.mark.parametrize("header", [b"boundary*=a; boundary*0=b", b"boundary*0*=x; boundary*1=y", b";a=b" * 4000])
@pytest.mark.parametrize(("status", "kind"), [(b"200 OK", "ok"), (b"403 Forbidden", "denied"), (b"503 No", "upstream")])
def test_parameters_of_a_header_are_not_parsed(serve, status, kind, header):
    """Python's email package would raise TypeError for such pieces (RFC 2231), or take seconds."""
    response = b"HTTP/1.1 %s\r\nContent-Type: multipart/mixed; %s\r\n\r\n" % (status, header)
    assert check_server(serve(sends(response)), tls=False).kind == kind


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "SSH"),
        (b"\x05\xff", "SOCKS"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"", "without a response"),
        (b"220 mail ESMTP\r\n", "220 mail ESMTP"),
        (b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n", "nginx"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", "web server"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n", "302"),
        (b"HTTP/1.1 abc\r\n\r\n", "is not HTTP"),
        (b"HTTP/9.9 200 OK\r\n\r\n", "is not HTTP"),
    ],
)
def test_other_services_are_recognized(serve, data, part):
    """The first bytes identify the service."""
    verdict = check_server(serve(sends(data, stays=False)), tls=False)
    assert (verdict.kind, verdict.rank) == ("protocol", 0)
    assert part in verdict.text


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 403 Basic %s\r\nServer: %s\r\n\r\n",
        b"HTTP/1.1 407 no\r\nProxy-Authenticate: %s\r\nDate: %s\r\n\r\n",
        b"%s %s\r\n\r\n",
    ],
)
def test_echoed_credentials_are_masked(serve, data):
    """Whatever a proxy responds, its text in the verdict has no credentials."""
    verdict = check_server(serve(sends(data % (BASIC.encode(), BASIC.encode()), stays=False)))
    assert BASIC[:10].lower() not in verdict.text.lower()


def test_echoed_decoded_credentials_are_masked(serve):
    """A proxy's error may have the user and password; status.json is world-readable."""
    pair = f"{CREDENTIALS.user}:{CREDENTIALS.password}".encode()
    verdict = check_server(serve(sends(b"HTTP/1.1 403 unknown: %s\r\nServer: %s\r\n\r\n" % (pair, pair), stays=False)))
    assert '403 "unknown: ***" (Server: "***")' in verdict.text


def test_echoed_long_credentials_are_masked_before_truncation(serve):
    """The response is masked as a whole, then shortened."""
    credentials = Credentials("node", "p" * 100)

    def send_back(server, connection):
        connection.sendall(b"you said " + server.requests[0].partition(b"Basic ")[2])

    verdict = probe(serve(send_back).url, HOST, 443, credentials)
    assert verdict.text.endswith('it begins with "you said ***"')


@pytest.mark.parametrize(
    ("behave", "kind", "part"),
    [
        (sends(OK), "timeout", "TLS handshake through it timed out"),
        (drips(OK, b"\x16"), "protocol", "does not speak TLS"),
        (sends(OK, stays=False), "upstream", "TLS through it fails"),  # closed, or reset because of data that we sent
        (sends(OK + b"x"), "timeout", "TLS"),
    ],
)
def test_tunnel_without_a_target_fails(serve, behave, kind, part):
    """The proxy responds with 200 and carries no data."""
    verdict = check_server(serve(behave), timeout=0.5)
    assert (verdict.ok, verdict.kind) == (False, kind)
    assert part in verdict.text


def test_untrusted_proxy_gets_no_credentials(tmp_path, monkeypatch):
    """The second connection, for the issuer of the target's certificate, may reach another server
    than the first.
    """
    contexts = []
    for name in ("world", "other"):
        authority = Authority(tmp_path / name, name + " CA")
        authority.issue("proxy", "IP:127.0.0.1")
        contexts.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        contexts[-1].load_cert_chain(authority.directory / "proxy.pem", authority.directory / "proxy.key")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "world/ca.pem"))
    requests = []

    def serve(context):
        with sock.accept()[0] as connection, context.wrap_socket(connection, server_side=True) as stream:
            requests.append(stream.recv(65536))
            stream.sendall(OK)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            inside = contexts[1].wrap_bio(incoming, outgoing, server_side=True)
            for data in iter(lambda: stream.recv(65536), b""):
                incoming.write(data)
                with contextlib.suppress(ssl.SSLWantReadError):
                    inside.do_handshake()
                stream.sendall(outgoing.read())

    def both():
        for context in contexts:
            with contextlib.suppress(OSError):
                serve(context)
        ended.set()

    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        threading.Thread(target=both, daemon=True).start()
        verdict = probe(ProxyUrl("https", "127.0.0.1", sock.getsockname()[1]), HOST, 443, CREDENTIALS)
        assert ended.wait(10)
    assert verdict.kind == "tls-untrusted"
    assert [BASIC.encode() in request for request in requests] == [True]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A CA that the test trusts, with a certificate for another name than 127.0.0.1."""
    authority = Authority(tmp_path_factory.mktemp("tls") / "world", "World CA")
    authority.issue("right", "IP:127.0.0.1", HOST)
    authority.issue("wrong")
    return authority


def server_context(authority, name):
    """Return the TLS context of a server with one of the certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.directory / f"{name}.pem", authority.directory / f"{name}.key")
    return context


@pytest.mark.parametrize(("name", "kind"), [("right", "ok"), ("wrong", "tls-untrusted")])
def test_proxy_with_a_certificate_of_another_name_gets_nothing(serve, world, monkeypatch, name, kind):
    """Any trusted CA may have issued it: neither CONNECT nor the credentials are sent."""
    monkeypatch.setenv("SSL_CERT_FILE", str(world.certificate))
    server = serve(sends(OK), server_context(world, name))
    verdict = check_server(server, tls=False)
    assert verdict.kind == kind
    assert (BASIC.encode() in b"".join(server.requests)) == (kind == "ok")
    assert kind == "ok" or b"".join(server.requests) == b""


@pytest.mark.parametrize(("name", "kind"), [("right", "tls-inspected"), ("wrong", "tls-untrusted")])
def test_target_with_a_certificate_of_another_name_is_untrusted(serve, world, monkeypatch, name, kind):
    """The verdict names the issuer, although its CA is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(world.certificate))
    context = server_context(world, name)

    def open_tunnel(server, connection):
        connection.sendall(OK)
        with context.wrap_socket(connection, server_side=True) as stream:
            stream.recv(1)

    verdict = check_server(serve(open_tunnel))
    assert (verdict.kind, verdict.issuer) == (kind, "World CA")


def test_closed_port_is_refused():
    """The port is free, because it was just closed."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    verdict = probe(ProxyUrl("http", "127.0.0.1", port), HOST, 443)
    assert (verdict.kind, verdict.rank) == ("refused", 0)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (socket.gaierror("a resolver of its own"), "a resolver of its own"),
        (UnicodeError("label too long"), "label too long"),
    ],
)
def test_a_proxy_that_does_not_resolve_is_named_with_the_reason(monkeypatch, error, text):
    """Whatever the resolver raises."""

    def getaddrinfo(*_, **__):
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    verdict = probe(ProxyUrl("http", "proxy.corp", 3128), HOST, 443)
    assert not verdict.ok
    assert text in verdict.text
    assert verdict.seconds > 0


def test_several_targets_are_probed_in_parallel(serve):
    """Each has a verdict, in their order; one deadline applies to all."""
    server = serve(sends(b""))
    targets = [(f"host{number}.test", 443) for number in range(20)]
    verdicts = probe_each(server.url, targets, timeout=3)
    assert [verdict.kind for verdict in verdicts] == ["timeout"] * 20
    assert all(host in verdict.hint for (host, _), verdict in zip(targets, verdicts))


def test_at_the_limit_of_threads_there_is_no_verdict(serve, monkeypatch):
    """A proxy that was not examined is neither up nor down."""
    urls = [serve(sends(OK)).url for _ in range(3)]
    limit_program(monkeypatch, 2)
    with pytest.raises(AgentError, match="no thread can be started: the limit of processes is reached"):
        probe_all(urls, HOST, 443, timeout=30)


def test_probe_all_ends_when_enough_verdicts_are_known(serve):
    """The first verdict is enough; the second would take ten minutes."""
    first, second = serve(sends(OK)), serve(sends(b""))
    urls = [first.url, second.url]
    verdicts = probe_all(urls, HOST, 443, timeout=600, enough=lambda verdicts: verdicts[0] is not None)
    assert verdicts[0].ok
    assert verdicts[1] is None


# --- in a network namespace ---


def needs_namespace(test):
    """Mark a test that shares the namespace and its Squids with the others."""
    test = pytest.mark.xdist_group("proxy-probe")(pytest.mark.needs_root("a network namespace")(test))
    absent = shutil.which("squid", path="/usr/sbin") is None
    return pytest.mark.skipif(absent, reason="not installed: squid (tests/boot/packages.txt)")(test)


OTHER = "192.0.2.11"
INSPECTING = "192.0.2.12"
TLS_PORT = "192.0.2.13"
NO_HOST = "192.0.2.99"

IN_NAMESPACE = """
import json, os, sys
from agent.core.record import asdict
from agent.core.net.proxy_url import Credentials, parse_proxy_url
from agent.edges.proxy_probe import probe
url, host, port, credentials, timeout = json.loads(sys.argv[1])
verdict = probe(parse_proxy_url(url), host, port, Credentials(*credentials) if credentials else None, timeout=timeout)
print(json.dumps(asdict(verdict)))
sys.stdout.flush()
os._exit(0)
"""


class Network:
    """A network namespace with its Squids."""

    def __init__(self, directory):
        self.session = Session()
        self.namespace = Namespace(self.session.name)
        self.directory = directory

    def probe(self, url, host, port=443, credentials=None, timeout=5.0, trust=""):
        """Return the verdict of a probe in the namespace, as a dict.

        `trust` is a file of CAs that replaces the system's.
        """
        argv = [sys.executable, "-c", IN_NAMESPACE, json.dumps([url, host, port, credentials, timeout])]
        env = {"SSL_CERT_FILE": str(trust)} if trust else {}
        return json.loads(run(self.namespace.inside(argv), cwd=REPOSITORY, env=env).stdout)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """One namespace for all tests of this file."""
    made = Network(tmp_path_factory.mktemp("network"))
    yield made
    made.session.close()


@pytest.fixture(scope="module")
def inspected(network):
    """A proxy that inspects TLS, and behind it a host with a certificate of World CA."""
    made = Inspected(network.namespace, network.session.work / "inspected", INSPECTING, HOST)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def squid(network):
    """An ordinary Squid."""
    more = "acl forbidden dstdomain forbidden.example.test\nhttp_access deny forbidden"
    made = Squid(network.namespace, network.session.work / "squid", more=more)
    yield made
    made.stop()


@needs_namespace
def test_squid_opens_a_tunnel_and_the_certificate_is_verified(network, squid, inspected):
    """Only Squid resolves the name; the verdict has the issuer of the certificate."""
    verdict = network.probe(f"http://{PROXY}:3128", NAME, trust=inspected.world.certificate)
    assert (verdict["ok"], verdict["kind"], verdict["issuer"]) == (True, "ok", "World CA")
    assert "certificate issued by World CA" in verdict["text"]


@needs_namespace
def test_untrusted_certificate_is_reported_with_its_issuer(network, squid, inspected):
    """The node lacks the CA of a proxy that inspects TLS, or the CA of the host."""
    url = f"http://{INSPECTING}:3128"
    verdict = network.probe(url, NAME, trust=inspected.world.certificate)
    assert (verdict["ok"], verdict["kind"], verdict["issuer"]) == (False, "tls-untrusted", "Corp Proxy CA")
    assert f"the certificate of {NAME}, issued by Corp Proxy CA, is not trusted by this node" in verdict["text"]
    assert "node.ca_bundle" in verdict["hint"]
    assert network.probe(url, NAME, trust=inspected.authority.certificate)["kind"] == "ok"
    unknown = network.probe(f"http://{PROXY}:3128", NAME, trust=inspected.authority.certificate)
    assert (unknown["kind"], unknown["issuer"]) == ("tls-untrusted", "World CA")


@needs_namespace
def test_trusted_interception_of_aws_is_reported(network, inspected):
    """With the proxy's CA in the trust store the verdict is ok, and names the issuer."""
    verdict = network.probe(f"http://{INSPECTING}:3128", HOST, trust=inspected.authority.certificate)
    assert (verdict["ok"], verdict["kind"], verdict["issuer"]) == (True, "tls-inspected", "Corp Proxy CA")


@needs_namespace
def test_verdict_has_the_reason_of_squid(network, squid):
    """A policy, an unknown name and a closed port have different verdicts."""
    url = f"http://{PROXY}:3128"
    denied = network.probe(url, "forbidden.example.test")
    assert denied["kind"] == "denied"
    assert "ERR_ACCESS_DENIED" in denied["text"]
    unknown = network.probe(url, "unknown.example.test", timeout=30)
    assert unknown["kind"] == "upstream"
    assert "(X-Squid-Error: " in unknown["text"]
    refused = network.probe(url, REGISTRY, 9)
    assert refused["kind"] == "upstream"
    assert "ERR_CONNECT_FAIL 111" in refused["text"]


@needs_namespace
def test_squid_sends_a_date(network, squid):
    """It does so even with an error, without TLS."""
    program = """
import sys
from agent.core.net.proxy_url import parse_proxy_url
from agent.edges.proxy_date import request_date
print(request_date(parse_proxy_url(sys.argv[1]), timeout=5.0))
"""
    argv = network.namespace.inside([sys.executable, "-c", program, f"http://{PROXY}:3128"])
    assert run(argv, cwd=REPOSITORY, env={}).stdout.endswith(" GMT\n")


@needs_namespace
def test_missing_wrong_and_right_password(network, inspected):
    """The verdicts are 407 with two different remedies, then a tunnel."""
    directory = network.session.work / "password"
    squid = squid_with_password(network.namespace, directory, OTHER, "node", "s3cret")
    try:
        url = f"http://{OTHER}:3128"
        missing = network.probe(url, NAME)
        wrong = network.probe(url, NAME, credentials=["node", "wrong"])
        right = network.probe(url, NAME, credentials=["node", "s3cret"], trust=inspected.world.certificate)
    finally:
        squid.stop()
    assert (missing["kind"], wrong["kind"], right["kind"]) == ("credentials", "credentials", "ok")
    assert "no credentials are set" in missing["text"]
    assert "rejects the user or password" in wrong["text"]


@needs_namespace
def test_https_proxy(network, inspected):
    """TLS to the proxy and TLS through it work; a wrong scheme has a hint in both directions."""
    world = inspected.world
    world.issue("proxy.example.test", "IP:" + TLS_PORT)
    certificate = f"tls-cert={world.directory}/proxy.example.test.pem tls-key={world.directory}/proxy.example.test.key"
    more = f"https_port {TLS_PORT}:3129 {certificate}"
    squid = Squid(network.namespace, network.session.work / "tls", address=TLS_PORT, more=more)
    try:
        right = network.probe(f"https://{TLS_PORT}:3129", NAME, trust=world.certificate)
        untrusted = network.probe(f"https://{TLS_PORT}:3129", NAME, trust=inspected.authority.certificate)
        plain = network.probe(f"http://{TLS_PORT}:3129", NAME)
        wrong = network.probe(f"https://{TLS_PORT}:3128", NAME)
    finally:
        squid.stop()
    assert (right["kind"], right["issuer"]) == ("ok", "World CA")
    assert (untrusted["kind"], untrusted["issuer"]) == ("tls-untrusted", "World CA")
    assert plain["kind"] == "protocol"
    assert "https://" in plain["hint"]
    assert wrong["kind"] == "protocol"
    assert "http://" in wrong["hint"]


@needs_namespace
def test_unreachable_address_and_unknown_name(network, squid):
    """There is no route to the address, and the name does not exist."""
    assert network.probe(f"http://{NO_HOST}:3128", NAME)["kind"] == "unreachable"
    unknown = network.probe("http://unknown.example.test:3128", NAME, timeout=1.0)
    assert unknown["kind"] == "dns"


@needs_namespace
def test_silent_name_server_does_not_delay_the_verdict(tmp_path):
    """The C library would wait for minutes; the deadline still applies, and the kind is dns."""
    program = """
        from agent.core.net.proxy_url import ProxyUrl
        from agent.edges.proxy_probe import probe
        verdict = probe(ProxyUrl("http", "never.test", 3128), "sts.test", 443, timeout=0.5)
        print(json.dumps([verdict.kind, verdict.text]))
        sys.stdout.flush()
        os._exit(0)  # a thread still waits for the silent name server
    """
    kind, text = in_namespace(tmp_path, [], program)
    assert kind == "dns"
    assert "name resolution timed out after" in text
