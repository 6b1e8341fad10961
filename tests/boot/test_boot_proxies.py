"""Several proxies: one is chosen at boot, and another only after an outage of the set time; and the
look after a boot.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

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
        """Take both addresses: where no Squid runs, connections are refused."""
        self.bed = bed
        self.directory = directory
        self.running: dict[str, Squid] = {}
        self.started = 0
        for address in (FIRST, SECOND):
            bed.namespace.add(address)

    def start(self, address: str) -> Squid:
        """A new Squid there, with a log of its own."""
        self.started += 1
        directory = self.directory / f"squid-{self.started}"
        self.running[address] = Squid(self.bed.namespace, directory, address=address)
        return self.running[address]

    def stop(self, address: str) -> None:
        """End the one there."""
        self.running.pop(address).stop()


@pytest.fixture
def node(trial: Callable[[str], Trial]) -> Trial:
    """A node with two proxies in its settings."""
    return trial("proxies")


@pytest.fixture
def proxies(node: Trial) -> Iterator[Proxies]:
    """None runs yet."""
    made = Proxies(node.bed, node.node.directory)
    yield made
    for address in list(made.running):
        made.stop(address)


def url(address: str) -> str:
    """The proxy there, as the settings name it."""
    return f"http://{address}:3128"


def said(boot: Boot, event: str) -> list[dict[str, Any]]:
    """The journal's entries of one event of the agent."""
    return [
        entry
        for entry in boot.journal
        if entry.get("EKS_PROXY_EVENT") == event or re.match(rf"{re.escape(event)}\b", str(entry.get("MESSAGE")))
    ]


def in_use(running: Running, address: str) -> None:
    """Wait until node.env names that proxy."""
    running.wait_until(f"{address} in node.env", "grep", "--quiet", f"http_proxy={url(address)}$", NODE_ENV, limit=60)


def proxies_in(running: Running, *states: str) -> None:
    """Wait until status.json says of the two proxies `up` or `down` and `chosen` or not."""
    wanted = json.dumps([{"up": "up" in state, "chosen": "chosen" in state} for state in states])
    code = (
        "import json,sys; found = json.load(open(sys.argv[1])).get('proxies') or []; "
        "sys.exit([{k: one[k] for k in ('up', 'chosen')} for one in found] != json.loads(sys.argv[2]))"
    )
    running.wait_until(f"{states} in status.json", "python3", "-c", code, STATUS, wanted, limit=60)


def test_the_first_that_answers_at_boot_is_chosen_and_docker_pulls_through_it(node: Trial, proxies: Proxies) -> None:
    """The preferred proxy is dead: every file names the second, before docker starts."""
    second = proxies.start(SECOND)
    running = node.start(hold=True)
    running.wait_settled()
    in_use(running, SECOND)
    proxies_in(running, "down", "up chosen")
    assert running.run("sh", "-c", f"docker pull {IMAGE} 2>&1; echo exit $?").endswith("exit 0\n")
    assert running.run("eks-proxy-agent", "plan") == "", "plan takes the remembered choice"
    boot = node.finish(running)
    assert any(f"http://{REGISTRY_NAME}/v2/" in line and "docker/" in line for line in second.requests())
    assert (boot.environment("docker") or {})["http_proxy"] == url(SECOND)
    assert "proxy=" + url(SECOND) in (node.root / "etc/dnf/dnf.conf").read_text()
    (chosen,) = said(boot, "proxy.chosen")
    assert f"{url(FIRST)}: Connection refused" in str(chosen["MESSAGE"])


@pytest.mark.long
def test_one_switch_after_the_set_time_none_before_and_none_back(node: Trial, proxies: Proxies) -> None:
    """The chosen proxy is stopped while the daemon runs; the other takes over, and keeps it when
    the first is back.

    Back it goes at the next boot.
    """
    proxies.start(FIRST)
    proxies.start(SECOND)
    running = node.start(hold=True)
    running.wait_settled()
    proxies_in(running, "up chosen", "up")
    proxies.stop(FIRST)
    in_use(running, SECOND)
    proxies_in(running, "down", "up chosen")
    proxies.start(FIRST)
    proxies_in(running, "up", "up chosen")
    seen = running.run("stat", "--format=%Y", STATUS).strip()
    later = f"[ $(stat --format=%Y {STATUS}) -ge $(({seen} + 9)) ]"
    running.wait_until("another look", "sh", "-c", later, limit=60)
    in_use(running, SECOND)
    first = node.finish(running)
    (down,), (failover,) = said(first, "proxy.down"), said(first, "proxy.failover")
    seconds = (int(failover["__MONOTONIC_TIMESTAMP"]) - int(down["__MONOTONIC_TIMESTAMP"])) / 1e6
    assert seconds >= AFTER - 1, "but for what the journal took"
    second = node.boot()
    assert (second.environment("docker") or {})["http_proxy"] == url(FIRST)


def test_with_all_proxies_dead_the_first_is_taken_loudly(node: Trial, proxies: Proxies) -> None:
    """Both drop every packet: READY comes all the same, long before a connection would time out,
    and the log says it.
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
    (loud,) = said(boot, "proxy.none_serves")
    assert loud["PRIORITY"] == "3"
    assert url(FIRST) in str(loud["MESSAGE"])
    assert url(SECOND) in str(loud["MESSAGE"])


def test_the_preflight_says_after_the_boot_what_clients_will_meet(bed: Bed, trial: Callable[[str], Trial]) -> None:
    """Behind a proxy that inspects TLS: with its CA all is well; without it the journal and the
    status name the issuer.
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
    """What status.json says of it after a boot."""
    running = node.start(hold=True)
    running.wait_settled()
    running.wait_until("the preflight", "grep", "--quiet", '"preflight": {', STATUS)
    found: dict[str, Any] = json.loads(running.run("cat", STATUS))["preflight"]
    node.finish(running)
    return found
