"""A proxy that inspects TLS: https works only with its CA in node.ca_bundle."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Callable

import pytest

from tests.boot.harness import cri, page
from tests.boot.harness.bed import Bed, Trial
from tests.boot.harness.node import Running
from tests.boot.harness.tls import IMAGE, NAME, Inspected

STORE = "/etc/ssl/certs/ca-certificates.crt"
ANCHOR = "/usr/local/share/ca-certificates/eks-proxy-agent.crt"


@pytest.fixture(scope="module")
def inspected(bed: Bed) -> Iterator[Inspected]:
    """The proxy, and a registry behind it."""
    proxy = Inspected(bed.namespace, bed.session.work / "tls", "192.0.2.12")
    yield proxy
    proxy.stop()


@pytest.fixture
def node(inspected: Inspected, trial: Callable[[str], Trial]) -> Trial:
    """A node behind that proxy, with the proxy's CA in a file."""
    node = trial("tls-inspected")
    (node.root / "etc/corp-proxy-ca.pem").write_text(inspected.authority.certificate.read_text())
    return node


def docker_pull(running: Running) -> str:
    """Return the output of docker pull, with its exit code at the end."""
    return running.run("sh", "-c", f"docker pull {IMAGE} 2>&1; echo exit $?")


def test_docker_and_containerd_pull_over_https_with_the_ca(node: Trial, inspected: Inspected) -> None:
    """The CA is in the trust store before docker starts, and revert removes it."""
    certificate = inspected.authority.certificate.read_text().strip()
    running = node.start(hold=True)
    running.wait_settled()
    assert docker_pull(running).endswith("exit 0\n")
    assert cri.pull(running, IMAGE) == ""
    assert any(f"GET https://{NAME}/v2/hello/blobs/" in line for line in inspected.squid.requests())
    assert certificate in running.run("cat", STORE)
    written = (node.root / STORE[1:]).stat().st_mtime_ns - (time.time_ns() - time.monotonic_ns())
    running.run("eks-proxy-agent", "revert")
    assert page.difference(running, "phase-not-run") == ""
    assert certificate not in running.run("cat", STORE)
    assert not (node.root / ANCHOR[1:]).exists()
    boot = running.finish()
    assert written < boot.active_at("docker") * 1000


def test_without_the_ca_https_fails_at_the_certificate(node: Trial) -> None:
    """Without the CA docker refuses the proxy's certificate, so the CA makes the difference."""
    settings = node.root / "etc/eks-proxy-agent/config.toml"
    settings.write_text(settings.read_text().replace("ca_bundle", "# ca_bundle"))
    running = node.start(hold=True)
    running.wait_settled()
    output = docker_pull(running)
    node.finish(running)
    assert "x509: certificate signed by unknown authority" in output
