"""The preflight of the daemon: how often a proxy is asked, for what, and what is kept and told of
it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from agent.core.facts.instance import Facts
from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import Credentials
from agent.core.noproxy.entries import Entry
from agent.core.settings.schema import Check, Failure, Settings
from agent.core.status.records import PreflightStatus
from agent.node.proxies import preflight
from tests.boot.harness.tls import Authority
from tests.integration.test_proxy_probe import OK, Server, sends

FACTS = Facts("i-0123456789abcdef0", "", ("10.0.0.0/16",), (), "eu-west-1", "amazonaws.com", "aws", "111122223333")
FORBIDDEN = sends(b"HTTP/1.1 403 Forbidden\r\n\r\n", stays=False)
BROKEN = sends(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", stays=False)
HOST = "sts.example.test"


class Proxy(Server):
    """A proxy on loopback, of which the daemon knows."""

    def found(self, *entries: Entry, **settings: Any) -> Any:
        """What the last pass came to; `entries` are reached directly."""
        made = attrs.evolve(Settings(), **settings)
        return SimpleNamespace(settings=made, facts=FACTS, intent=Intent(self.url, self.url, entries))

    def become(self, behave: Any) -> None:
        """Answer otherwise from now on."""
        self._behave = behave

    @property
    def asked(self) -> list[str]:
        """The hosts that were asked for."""
        return sorted(request.split()[1].decode().partition(":")[0] for request in self.requests)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """One that refuses everything."""
    made = Proxy(FORBIDDEN)
    yield made
    made.close()


@pytest.fixture
def carries(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """It opens tunnels instead, to a host with a certificate that is trusted here."""
    authority = Authority(tmp_path / "ca", "World CA")
    authority.issue(HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.directory / f"{HOST}.pem", authority.directory / f"{HOST}.key")

    def tunnel(server: Server, connection: Any) -> None:
        connection.sendall(OK)
        with tls.wrap_socket(connection, server_side=True):
            server.ended.wait()

    proxy.become(tunnel)
    return proxy


def one_endpoint() -> dict[str, Any]:
    """Settings with an endpoint of the owner's."""
    return {"check": Check((HOST + ":443",))}


def test_two_endpoints_are_enough(proxy: Proxy) -> None:
    """The first that a joining node asks for, in the time that docker takes to start."""
    shown = preflight(proxy.found(), None)
    assert shown is not None
    assert (shown.ok, shown.kind, shown.proxy) == (False, "denied", str(proxy.url))
    assert proxy.asked == ["api.ecr.eu-west-1.amazonaws.com", "eks.eu-west-1.amazonaws.com"]


def test_a_proxy_that_is_well_is_asked_once_a_boot(carries: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    """And once more when another one is in use."""
    found = carries.found(**one_endpoint())
    first = preflight(found, None)
    assert first is not None
    assert (first.ok, first.kind, first.hint) == (True, "ok", "")
    assert preflight(found, first) is first
    assert carries.asked == [HOST]
    assert preflight(found, first._replace(proxy="http://192.0.2.1:3128")) is not first
    assert carries.asked == [HOST, HOST]
    assert capsys.readouterr().err.count("preflight.ok") == 2


def test_a_proxy_that_is_not_well_is_asked_again_and_told_when_that_changes(
    carries: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    """At every look, until it is; the same fault is told once."""
    tunnel, found = carries._behave, carries.found(**one_endpoint())
    kinds, shown = [], None
    for behave in (FORBIDDEN, FORBIDDEN, BROKEN, tunnel):
        carries.become(behave)
        shown = preflight(found, shown)
        assert shown is not None
        kinds.append(shown.kind)
    assert kinds == ["denied", "denied", "upstream", "ok"]
    assert len(carries.asked) == 4
    log = capsys.readouterr().err
    assert (log.count("preflight.failed"), log.count("preflight.ok")) == (2, 1)


def test_there_is_none_when_it_is_off_or_nothing_goes_through_the_proxy(proxy: Proxy) -> None:
    """Off, no proxy, or all endpoints direct: nobody is asked."""
    unconfigured = proxy.found()
    unconfigured.intent = None
    direct = proxy.found(Entry("eu-west-1.amazonaws.com", "owner"))
    for found in (proxy.found(failure=Failure(preflight="off")), unconfigured, direct):
        assert preflight(found, PreflightStatus(False, "denied", "", "", str(proxy.url), None)) is None
    assert proxy.requests == []


def test_no_credentials_are_kept_or_told(proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    """They go to the proxy, and the status is for everybody."""
    found = proxy.found(**one_endpoint())
    found.intent = attrs.evolve(found.intent, credentials=Credentials("node", "s3cret"))
    shown = preflight(found, None)
    assert b"Proxy-Authorization: Basic bm9kZTpzM2NyZXQ=" in proxy.requests[0]
    told = str(shown) + capsys.readouterr().err
    assert not any(secret in told for secret in ("s3cret", "bm9kZTpzM2NyZXQ="))
