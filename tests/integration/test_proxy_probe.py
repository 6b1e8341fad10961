"""A look at a proxy: servers that are no proxies or bad ones, on loopback, and the real Squid in a
network of its own.
"""

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
from tests.boot.harness.command import run
from tests.boot.harness.namespace import PROXY, REGISTRY, Namespace
from tests.boot.harness.root import REPOSITORY
from tests.boot.harness.services import Squid, squid_with_password
from tests.boot.harness.session import Session
from tests.boot.harness.tls import NAME, Authority, Inspected
from tests.integration.listening import Listener
from tests.integration.test_probe import in_namespace

HOST = "sts.eu-central-1.amazonaws.com"
WHO = Credentials("node", "p:ss wörd")
BASIC = "bm9kZTpwOnNzIHfDtnJk"
OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Server:
    """Accepts on a port of loopback and does the same to each connection, until the test ends."""

    def __init__(self, behave):
        self.ended = threading.Event()
        self.requests = []
        self._behave = behave
        self._listener = Listener(
            lambda connection: threading.Thread(target=self._serve, args=(connection,), daemon=True).start()
        )
        self.url = ProxyUrl("http", "127.0.0.1", self._listener.port)

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            self.requests.append(connection.recv(65536))
            self._behave(self, connection)

    def close(self):
        """Let every connection end."""
        self.ended.set()
        self._listener.close()


@pytest.fixture
def serve():
    """Makes servers that end with the test."""
    made = []

    def make(behave):
        made.append(Server(behave))
        return made[-1]

    yield make
    for server in made:
        server.close()


def says(data, stays=True):
    """A server that sends that, and stays or closes the connection."""

    def behave(server, connection):
        connection.sendall(data)
        if stays:
            server.ended.wait()

    return behave


def drips(first, drop):
    """A server that sends a first part and then, for ever, a drop every few milliseconds."""

    def behave(server, connection):
        connection.sendall(first)
        while not server.ended.wait(0.01):
            connection.sendall(drop)

    return behave


def ask(server, timeout=3.0, tls=True):
    """The verdict on a server."""
    return probe(server.url, HOST, 443, WHO, timeout=timeout, tls=tls)


def test_the_request_is_what_a_proxy_expects(serve):
    """CONNECT with the target, Host and the credentials as UTF-8; a tunnel is all that is wanted
    without TLS.
    """
    server = serve(says(OK))
    found = ask(server, tls=False)
    assert (found.ok, found.kind) == (True, "ok")
    assert found.seconds > 0
    lines = server.requests[0].decode("ascii").split("\r\n")
    assert lines[:2] == [f"CONNECT {HOST}:443 HTTP/1.1", f"Host: {HOST}:443"]
    assert "Proxy-Authorization: Basic " + BASIC in lines


def test_an_ipv6_target_stands_in_brackets(serve):
    """As RFC 3986 has it."""
    server = serve(says(OK))
    probe(server.url, "fd00::1", 8443, tls=False)
    assert server.requests[0].startswith(b"CONNECT [fd00::1]:8443 HTTP/1.1\r\n")


@pytest.mark.parametrize("host", ["", "a b", "a\r\nX: y", "ä.example"])
def test_a_host_cannot_smuggle_a_header(host):
    """What is no host is refused before anything is sent."""
    with pytest.raises(ValueError, match="is no host"):
        probe(ProxyUrl("http", "127.0.0.1", 1), host, 443)


@pytest.mark.parametrize(
    "behave",
    [
        says(b""),
        says(b"HTTP/1.1 200 OK\r\nX: y\r\n"),
        drips(b"", b"H"),
        drips(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        drips(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        drips(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "half a header", "a drop at a time", "a header at a time", "one long header", "always 100"],
)
def test_who_never_comes_to_an_end_is_a_time_out(serve, behave):
    """The bound is one for the whole probe: these servers go on for as long as anybody listens."""
    found = ask(serve(behave), timeout=0.5)
    assert (found.kind, found.rank) == ("timeout", 0)
    assert "no whole answer to CONNECT" in found.text


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
def test_an_answer_without_measure_is_no_answer(serve, data):
    """Megabytes of header, or of anything, are not read to their end."""
    found = ask(serve(says(data)))
    assert (found.kind, found.rank) == ("protocol", 0)
    assert found.text.isprintable()


@pytest.mark.parametrize(
    ("data", "says_so"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "SSH"),
        (b"\x05\xff", "SOCKS"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"", "without an answer"),
        (b"220 mail ESMTP\r\n", "220 mail ESMTP"),
        (b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n", "nginx"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", "web server"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n", "302"),
        (b"HTTP/1.1 abc\r\n\r\n", "no HTTP answer"),
        (b"HTTP/9.9 200 OK\r\n\r\n", "no HTTP answer"),
    ],
)
def test_what_is_no_proxy_is_said(serve, data, says_so):
    """A port of something else is told by what it says."""
    found = ask(serve(says(data, stays=False)), tls=False)
    assert (found.kind, found.rank) == ("protocol", 0)
    assert says_so in found.text


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 403 Basic %s\r\nServer: %s\r\n\r\n",
        b"HTTP/1.1 407 no\r\nProxy-Authenticate: %s\r\nDate: %s\r\n\r\n",
        b"%s %s\r\n\r\n",
    ],
)
def test_credentials_that_are_sent_back_are_not_repeated(serve, data):
    """Whatever a proxy answers, the credentials that it was sent are not in the verdict."""
    found = ask(serve(says(data % (BASIC.encode(), BASIC.encode()), stays=False)))
    assert BASIC[:10].lower() not in found.text.lower()


def test_credentials_that_are_sent_back_in_words_are_not_repeated(serve):
    """A proxy's error may name the user and the password; status.json, where it ends up, is for
    everyone to read.
    """
    said = (f"{WHO.user}:{WHO.password}").encode()
    found = ask(serve(says(b"HTTP/1.1 403 unknown: %s\r\nServer: %s\r\n\r\n" % (said, said), stays=False)))
    assert '403 "unknown: ***" (Server: "***")' in found.text


def test_long_credentials_that_are_sent_back_are_not_repeated_in_part(serve):
    """However much of the answer is shown: what is masked is looked for in all of it."""
    who = Credentials("node", "p" * 100)

    def send_back(server, connection):
        connection.sendall(b"you said " + server.requests[0].partition(b"Basic ")[2])

    found = probe(serve(send_back).url, HOST, 443, who)
    assert found.text.endswith('it began with "you said ***"')


@pytest.mark.parametrize(
    ("behave", "kind", "says_so"),
    [
        (says(OK), "timeout", "TLS handshake through it did not end"),
        (drips(OK, b"\x16"), "protocol", "does not speak TLS"),
        (says(OK, stays=False), "upstream", "TLS through it fails"),  # closed, or reset by what we had sent meanwhile
        (says(OK + b"x"), "timeout", "TLS"),
    ],
)
def test_a_tunnel_to_nowhere_is_told_from_one_that_works(serve, behave, kind, says_so):
    """A proxy that says 200 and carries nothing."""
    found = ask(serve(behave), timeout=0.5)
    assert (found.ok, found.kind) == (False, kind)
    assert says_so in found.text


def test_credentials_go_to_no_proxy_that_is_not_trusted(tmp_path, monkeypatch):
    """The second connection, which asks who signed the target's certificate, may meet another one
    than the first did.
    """
    contexts = []
    for name in ("world", "other"):
        authority = Authority(tmp_path / name, name + " CA")
        authority.issue("proxy", "IP:127.0.0.1")
        contexts.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        contexts[-1].load_cert_chain(authority.directory / "proxy.pem", authority.directory / "proxy.key")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "world/ca.pem"))
    heard = []

    def serve(context):
        with sock.accept()[0] as connection, context.wrap_socket(connection, server_side=True) as stream:
            heard.append(stream.recv(65536))
            stream.sendall(OK)
            came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
            inside = contexts[1].wrap_bio(came, goes, server_side=True)
            for data in iter(lambda: stream.recv(65536), b""):
                came.write(data)
                with contextlib.suppress(ssl.SSLWantReadError):
                    inside.do_handshake()
                stream.sendall(goes.read())

    def both():
        for context in contexts:
            with contextlib.suppress(OSError):
                serve(context)
        ended.set()

    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        threading.Thread(target=both, daemon=True).start()
        found = probe(ProxyUrl("https", "127.0.0.1", sock.getsockname()[1]), HOST, 443, WHO)
        assert ended.wait(10)
    assert found.kind == "tls-untrusted"
    assert [BASIC.encode() in text for text in heard] == [True]


def test_a_port_that_nobody_listens_at_is_refused():
    """The port is free, because it was just given back."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    found = probe(ProxyUrl("http", "127.0.0.1", port), HOST, 443)
    assert (found.kind, found.rank) == ("refused", 0)


def test_several_targets_are_asked_at_once(serve):
    """One verdict for each, in their order, and one bound for all."""
    server = serve(says(b""))
    targets = [(f"host{number}.test", 443) for number in range(20)]
    found = probe_each(server.url, targets, timeout=3)
    assert [one.kind for one in found] == ["timeout"] * 20
    assert all(host in one.hint for (host, _), one in zip(targets, found))


def test_proxies_that_need_not_be_waited_for_are_not(serve):
    """With the first one's answer it is enough: the second would take ten minutes."""
    first, second = serve(says(OK)), serve(says(b""))
    found = probe_all([first.url, second.url], HOST, 443, timeout=600, enough=lambda verdicts: verdicts[0] is not None)
    assert found[0].ok
    assert found[1] is None


# --- in a network of its own ---


def needs_namespace(test):
    """Mark a test that shares the network and its Squids with the others."""
    test = pytest.mark.xdist_group("proxy-probe")(pytest.mark.needs_root("a network namespace")(test))
    absent = shutil.which("squid", path="/usr/sbin") is None
    return pytest.mark.skipif(absent, reason="not installed: squid (tests/boot/packages.txt)")(test)


OTHER = "192.0.2.11"
INSPECTING = "192.0.2.12"
TLS_PORT = "192.0.2.13"
NOBODY = "192.0.2.99"

IN_NAMESPACE = """
import json, os, sys
import attrs
from agent.core.net.proxy_url import Credentials, parse_proxy_url
from agent.edges.proxy_probe import probe
url, host, port, who, timeout = json.loads(sys.argv[1])
found = probe(parse_proxy_url(url), host, port, Credentials(*who) if who else None, timeout=timeout)
print(json.dumps(attrs.asdict(found)))
sys.stdout.flush()
os._exit(0)
"""


class Network:
    """A namespace with its Squids."""

    def __init__(self, directory):
        self.session = Session()
        self.namespace = Namespace(self.session.name)
        self.directory = directory

    def ask(self, url, host, port=443, who=None, timeout=5.0, trust=""):
        """The verdict from inside, as a dict; `trust` is a file of CAs instead of the system's."""
        argv = [sys.executable, "-c", IN_NAMESPACE, json.dumps([url, host, port, who, timeout])]
        env = {"SSL_CERT_FILE": str(trust)} if trust else {}
        return json.loads(run(self.namespace.inside(argv), cwd=REPOSITORY, env=env).stdout)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """One for all tests here."""
    made = Network(tmp_path_factory.mktemp("network"))
    yield made
    made.session.close()


@pytest.fixture(scope="module")
def inspected(network):
    """A proxy that looks inside TLS, and behind it a host with a certificate of the world's CA."""
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
    """The name is known to Squid alone; the issuer of the certificate is told."""
    found = network.ask(f"http://{PROXY}:3128", NAME, trust=inspected.world.certificate)
    assert (found["ok"], found["kind"], found["issuer"]) == (True, "ok", "World CA")
    assert "certificate by World CA" in found["text"]


@needs_namespace
def test_a_certificate_that_is_not_trusted_is_shown_with_its_issuer(network, squid, inspected):
    """A proxy that inspects TLS, seen from a node without its CA; and a host with a CA that nobody
    knows.
    """
    url = f"http://{INSPECTING}:3128"
    found = network.ask(url, NAME, trust=inspected.world.certificate)
    assert (found["ok"], found["kind"], found["issuer"]) == (False, "tls-untrusted", "Corp Proxy CA")
    assert f"the certificate of {NAME}, issued by Corp Proxy CA, is not trusted here" in found["text"]
    assert "node.ca_bundle" in found["hint"]
    assert network.ask(url, NAME, trust=inspected.authority.certificate)["kind"] == "ok"
    unknown = network.ask(f"http://{PROXY}:3128", NAME, trust=inspected.authority.certificate)
    assert (unknown["kind"], unknown["issuer"]) == ("tls-untrusted", "World CA")


@needs_namespace
def test_interception_of_aws_is_named_where_it_is_trusted(network, inspected):
    """With the proxy's CA in the trust store all is well, and the person is told who reads
    along.
    """
    found = network.ask(f"http://{INSPECTING}:3128", HOST, trust=inspected.authority.certificate)
    assert (found["ok"], found["kind"], found["issuer"]) == (True, "tls-inspected", "Corp Proxy CA")


@needs_namespace
def test_squid_says_why_it_does_not(network, squid):
    """A policy, a name that it cannot resolve and a port where nobody listens have different
    verdicts.
    """
    url = f"http://{PROXY}:3128"
    denied = network.ask(url, "forbidden.example.test")
    assert denied["kind"] == "denied"
    assert "ERR_ACCESS_DENIED" in denied["text"]
    unknown = network.ask(url, "unknown.example.test", timeout=30)
    assert unknown["kind"] == "upstream"
    assert "(X-Squid-Error: " in unknown["text"]
    refused = network.ask(url, REGISTRY, 9)
    assert refused["kind"] == "upstream"
    assert "ERR_CONNECT_FAIL 111" in refused["text"]


@needs_namespace
def test_squid_says_what_time_it_is(network, squid):
    """To a request that it refuses, without TLS."""
    program = """
import sys
from agent.core.net.proxy_url import parse_proxy_url
from agent.edges.proxy_date import ask_date
print(ask_date(parse_proxy_url(sys.argv[1]), timeout=5.0))
"""
    argv = network.namespace.inside([sys.executable, "-c", program, f"http://{PROXY}:3128"])
    assert run(argv, cwd=REPOSITORY, env={}).stdout.endswith(" GMT\n")


@needs_namespace
def test_a_password_is_missing_wrong_or_right(network, inspected):
    """407 twice, with different ways out, and then a tunnel."""
    directory = network.session.work / "password"
    squid = squid_with_password(network.namespace, directory, OTHER, "node", "s3cret")
    try:
        url = f"http://{OTHER}:3128"
        missing = network.ask(url, NAME)
        wrong = network.ask(url, NAME, who=["node", "wrong"])
        right = network.ask(url, NAME, who=["node", "s3cret"], trust=inspected.world.certificate)
    finally:
        squid.stop()
    assert (missing["kind"], wrong["kind"], right["kind"]) == ("credentials", "credentials", "ok")
    assert "proxy.credentials_file is not set" in missing["text"]
    assert "refuses the user or the password" in wrong["text"]


@needs_namespace
def test_a_proxy_that_speaks_tls_itself(network, inspected):
    """TLS to the proxy and TLS through it; the scheme that is the wrong one for the port is said
    both ways.
    """
    world = inspected.world
    world.issue("proxy.example.test", "IP:" + TLS_PORT)
    certificate = f"tls-cert={world.directory}/proxy.example.test.pem tls-key={world.directory}/proxy.example.test.key"
    more = f"https_port {TLS_PORT}:3129 {certificate}"
    squid = Squid(network.namespace, network.session.work / "tls", address=TLS_PORT, more=more)
    try:
        right = network.ask(f"https://{TLS_PORT}:3129", NAME, trust=world.certificate)
        untrusted = network.ask(f"https://{TLS_PORT}:3129", NAME, trust=inspected.authority.certificate)
        plain = network.ask(f"http://{TLS_PORT}:3129", NAME)
        too_much = network.ask(f"https://{TLS_PORT}:3128", NAME)
    finally:
        squid.stop()
    assert (right["kind"], right["issuer"]) == ("ok", "World CA")
    assert (untrusted["kind"], untrusted["issuer"]) == ("tls-untrusted", "World CA")
    assert plain["kind"] == "protocol"
    assert "https://" in plain["hint"]
    assert too_much["kind"] == "protocol"
    assert "http://" in too_much["hint"]


@needs_namespace
def test_addresses_and_names_that_lead_nowhere(network, squid):
    """No route, a name that no resolver answers for, and a name that does not exist."""
    assert network.ask(f"http://{NOBODY}:3128", NAME)["kind"] == "unreachable"
    unknown = network.ask("http://unknown.example.test:3128", NAME, timeout=1.0)
    assert unknown["kind"] == "dns"


@needs_namespace
def test_a_name_server_that_says_nothing_does_not_hold_it_up(tmp_path):
    """The C library would wait for minutes; the bound holds all the same, and it is a matter of
    DNS.
    """
    program = """
        from agent.core.net.proxy_url import ProxyUrl
        from agent.edges.proxy_probe import probe
        found = probe(ProxyUrl("http", "never.test", 3128), "sts.test", 443, timeout=0.5)
        print(json.dumps([found.kind, found.text]))
        sys.stdout.flush()
        os._exit(0)  # whoever still waits for the silent name server
    """
    kind, text = in_namespace(tmp_path, [], program)
    assert kind == "dns"
    assert "its name was not resolved" in text
