"""Several proxies: the choice at boot, the failover after an outage, and the preflight."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.boot.harness import page
from tests.boot.harness.bed import Bed, Trial
from tests.boot.harness.boot import Boot
from tests.boot.harness.node import Running
from tests.boot.harness.services import IMAGE, REGISTRY_NAME, Listener, Squid
from tests.boot.harness.tls import NAME, Inspected

FIRST, SECOND = "192.0.2.14", "192.0.2.15"
NODE_ENV = "/etc/eks-proxy-agent/node.env"
STATUS = "/run/eks-proxy-agent/status.json"
AFTER = 10.0  # watch.failover_after of the case


class Proxies:
    """Squids at the two addresses of the case, started and stopped by the test."""

    def __init__(self, bed: Bed, directory: Path) -> None:
        """Add both addresses: where no Squid runs, connections are refused."""
        self.bed = bed
        self.directory = directory
        self.running: dict[str, Squid] = {}
        self.started = 0
        for address in (FIRST, SECOND):
            bed.namespace.add(address)

    def start(self, address: str) -> Squid:
        """Start a new Squid there, with a log of its own."""
        self.started += 1
        directory = self.directory / f"squid-{self.started}"
        self.running[address] = Squid(self.bed.namespace, directory, address=address)
        return self.running[address]

    def stop(self, address: str) -> None:
        """Stop the Squid there."""
        self.running.pop(address).stop()


@pytest.fixture
def node(trial: Callable[[str], Trial]) -> Trial:
    """A node with two proxies in its settings."""
    return trial("proxies")


@pytest.fixture
def proxies(node: Trial) -> Iterator[Proxies]:
    """Both proxies, not running yet."""
    pair = Proxies(node.bed, node.node.directory)
    yield pair
    for address in list(pair.running):
        pair.stop(address)


def url(address: str) -> str:
    """Return the proxy there, as the settings name it."""
    return f"http://{address}:3128"


def entries_of(boot: Boot, event: str) -> list[dict[str, Any]]:
    """Return the journal entries of one event of the agent."""
    return [
        entry
        for entry in boot.journal
        if entry.get("EKS_PROXY_EVENT") == event or re.match(rf"{re.escape(event)}\b", str(entry.get("MESSAGE")))
    ]


def wait_for_proxy_in_use(running: Running, address: str) -> None:
    """Wait until node.env names that proxy."""
    running.wait_until(f"{address} in node.env", "grep", "--quiet", f"http_proxy={url(address)}$", NODE_ENV, limit=60)


def wait_for_states(running: Running, *states: str) -> None:
    """Wait for states of the two proxies in status.json: `up` or `down`, `chosen` or not."""
    expected = json.dumps([{"up": "up" in state, "chosen": "chosen" in state} for state in states])
    code = (
        "import json,sys; found = json.load(open(sys.argv[1])).get('proxies') or []; "
        "sys.exit([{k: one[k] for k in ('up', 'chosen')} for one in found] != json.loads(sys.argv[2]))"
    )
    running.wait_until(f"{states} in status.json", "python3", "-c", code, STATUS, expected, limit=60)


def test_first_proxy_that_serves_at_boot_is_chosen(node: Trial, proxies: Proxies) -> None:
    """The preferred proxy is down: every file names the second one before docker starts."""
    second = proxies.start(SECOND)
    running = node.start(hold=True)
    running.wait_settled()
    wait_for_proxy_in_use(running, SECOND)
    wait_for_states(running, "down", "up chosen")
    assert running.run("sh", "-c", f"docker pull {IMAGE} 2>&1; echo exit $?").endswith("exit 0\n")
    assert running.run("eks-proxy-agent", "plan") == "", "plan uses the remembered choice"
    boot = node.finish(running)
    assert any(f"http://{REGISTRY_NAME}/v2/" in line and "docker/" in line for line in second.requests())
    assert (boot.environment("docker") or {})["http_proxy"] == url(SECOND)
    assert "proxy=" + url(SECOND) in (node.root / "etc/dnf/dnf.conf").read_text()
    (chosen,) = entries_of(boot, "proxy.chosen")
    assert f"{url(FIRST)}: Connection refused" in str(chosen["MESSAGE"])


@pytest.mark.long
def test_failover_after_the_configured_time_and_not_back(node: Trial, proxies: Proxies) -> None:
    """The chosen proxy is stopped while the daemon runs.

    The other one takes over and stays chosen when the first is back, until the next boot.
    """
    proxies.start(FIRST)
    proxies.start(SECOND)
    running = node.start(hold=True)
    running.wait_settled()
    wait_for_states(running, "up chosen", "up")
    proxies.stop(FIRST)
    wait_for_proxy_in_use(running, SECOND)
    wait_for_states(running, "down", "up chosen")
    proxies.start(FIRST)
    wait_for_states(running, "up", "up chosen")
    seen = running.run("stat", "--format=%Y", STATUS).strip()
    later = f"[ $(stat --format=%Y {STATUS}) -ge $(({seen} + 9)) ]"
    running.wait_until("another check", "sh", "-c", later, limit=60)
    wait_for_proxy_in_use(running, SECOND)
    difference = page.difference(running, "proxy-changes-often")
    first = node.finish(running)
    assert difference == ""
    (down,), (failover,) = entries_of(first, "proxy.down"), entries_of(first, "proxy.failover")
    seconds = (int(failover["__MONOTONIC_TIMESTAMP"]) - int(down["__MONOTONIC_TIMESTAMP"])) / 1e6
    assert seconds >= AFTER - 1, "apart from the delay of the journal"
    second = node.boot()
    assert (second.environment("docker") or {})["http_proxy"] == url(FIRST)


def test_first_proxy_is_used_with_an_error_if_none_serves(node: Trial, proxies: Proxies) -> None:
    """Both drop every packet.

    READY=1 is sent nevertheless, long before a connection would time out, and an error is logged.
    """
    silent = [
        Listener(node.bed.namespace, node.node.directory / address, address, 3128, silent=True)
        for address in (FIRST, SECOND)
    ]
    try:
        boot = node.boot(limit=60)
    finally:
        for listener in silent:
            listener.stop()
    assert (boot.environment("docker") or {})["http_proxy"] == url(FIRST)
    (error,) = entries_of(boot, "proxy.none_serves")
    assert error["PRIORITY"] == "3"
    assert url(FIRST) in str(error["MESSAGE"])
    assert url(SECOND) in str(error["MESSAGE"])


def test_preflight_reports_tls_inspection(bed: Bed, trial: Callable[[str], Trial]) -> None:
    """Behind a proxy that inspects TLS, the preflight succeeds with its CA.

    Without the CA, journal and status name the issuer.
    """
    inspected = Inspected(bed.namespace, bed.session.work / "preflight", "192.0.2.12")
    try:
        node = trial("tls-inspected")
        (node.root / "etc/corp-proxy-ca.pem").write_text(inspected.authority.certificate.read_text())
        settings = node.root / "etc/eks-proxy-agent/config.toml"
        settings.write_text(settings.read_text() + f'\n[check]\nendpoints = ["{NAME}"]\n')
        well = preflight(node)
        settings.write_text(settings.read_text().replace("ca_bundle", "# ca_bundle"))
        ill = preflight(node)
    finally:
        inspected.stop()
    assert (well["ok"], well["kind"]) == (True, "ok")
    assert "certificate issued by Corp Proxy CA" in well["text"]
    assert (ill["ok"], ill["kind"]) == (False, "tls-untrusted")
    assert "issued by Corp Proxy CA" in ill["text"]


def preflight(node: Trial) -> dict[str, Any]:
    """Boot the node; return the preflight of status.json."""
    running = node.start(hold=True)
    running.wait_settled()
    running.wait_until("the preflight", "grep", "--quiet", '"preflight": {', STATUS)
    result: dict[str, Any] = json.loads(running.run("cat", STATUS))["preflight"]
    node.finish(running)
    return result
