"""The preflight of the daemon: its requests, its result, and what is logged of it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.core.facts.instance import Facts
from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import Credentials
from agent.core.noproxy.entries import Entry
from agent.core.record import evolve
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
    """A proxy on loopback that a node is configured with."""

    def resolved(self, *entries: Entry, **settings: Any) -> Any:
        """Return the Resolved of the last reconcile; `entries` are reached directly."""
        evolved = evolve(Settings(), **settings)
        return SimpleNamespace(settings=evolved, facts=FACTS, intent=Intent(self.url, self.url, entries))

    def behave_as(self, behave: Any) -> None:
        """Behave differently from now on."""
        self._behave = behave

    @property
    def hosts(self) -> list[str]:
        """The hosts that tunnels were requested for."""
        return sorted(request.split()[1].decode().partition(":")[0] for request in self.requests)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy that refuses every request."""
    server = Proxy(FORBIDDEN)
    yield server
    server.close()


@pytest.fixture
def working_proxy(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """The proxy, but it opens tunnels, to a host whose certificate is trusted."""
    authority = Authority(tmp_path / "ca", "World CA")
    authority.issue(HOST)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.directory / f"{HOST}.pem", authority.directory / f"{HOST}.key")

    def tunnel(server: Server, connection: Any) -> None:
        connection.sendall(OK)
        with tls.wrap_socket(connection, server_side=True):
            server.ended.wait()

    proxy.behave_as(tunnel)
    return proxy


def one_endpoint() -> dict[str, Any]:
    """Return settings with one endpoint of the operator."""
    return {"check": Check((HOST + ":443",))}


def test_preflight_requests_two_endpoints(proxy: Proxy) -> None:
    """They are the first that a joining node needs, and take no longer than docker's start."""
    result = preflight(proxy.resolved(), None)
    assert result is not None
    assert (result.ok, result.kind, result.proxy) == (False, "denied", str(proxy.url))
    assert proxy.hosts == ["api.ecr.eu-west-1.amazonaws.com", "eks.eu-west-1.amazonaws.com"]


def test_successful_preflight_is_done_once_per_boot_and_proxy(
    working_proxy: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is done again when another proxy is in use."""
    resolved = working_proxy.resolved(**one_endpoint())
    first = preflight(resolved, None)
    assert first is not None
    assert (first.ok, first.kind, first.hint) == (True, "ok", "")
    assert preflight(resolved, first) is first
    assert working_proxy.hosts == [HOST]
    assert preflight(resolved, first._replace(proxy="http://192.0.2.1:3128")) is not first
    assert working_proxy.hosts == [HOST, HOST]
    assert capsys.readouterr().err.count("preflight.ok") == 2


def test_failed_preflight_is_repeated_and_logged_when_it_changes(
    working_proxy: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is repeated at every check until it succeeds; the same failure is logged once."""
    tunnel, resolved = working_proxy._behave, working_proxy.resolved(**one_endpoint())
    kinds, result = [], None
    for behave in (FORBIDDEN, FORBIDDEN, BROKEN, tunnel):
        working_proxy.behave_as(behave)
        result = preflight(resolved, result)
        assert result is not None
        kinds.append(result.kind)
    assert kinds == ["denied", "denied", "upstream", "ok"]
    assert len(working_proxy.hosts) == 4
    log = capsys.readouterr().err
    assert (log.count("preflight.failed"), log.count("preflight.ok")) == (2, 1)


def test_no_preflight_if_off_or_without_proxied_endpoints(proxy: Proxy) -> None:
    """If it is off, without a proxy, or with all endpoints direct, nothing is requested."""
    unconfigured = proxy.resolved()
    unconfigured.intent = None
    direct = proxy.resolved(Entry("eu-west-1.amazonaws.com", "owner"))
    for resolved in (proxy.resolved(failure=Failure(preflight="off")), unconfigured, direct):
        assert preflight(resolved, PreflightStatus(False, "denied", "", "", str(proxy.url), None)) is None
    assert proxy.requests == []


def test_preflight_neither_saves_nor_logs_credentials(proxy: Proxy, capsys: pytest.CaptureFixture[str]) -> None:
    """The proxy gets them; the status is world-readable."""
    resolved = proxy.resolved(**one_endpoint())
    resolved.intent = evolve(resolved.intent, credentials=Credentials("node", "s3cret"))
    result = preflight(resolved, None)
    assert b"Proxy-Authorization: Basic bm9kZTpzM2NyZXQ=" in proxy.requests[0]
    output = str(result) + capsys.readouterr().err
    assert not any(secret in output for secret in ("s3cret", "bm9kZTpzM2NyZXQ="))
