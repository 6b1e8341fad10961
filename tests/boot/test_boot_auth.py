"""A Squid with a password full of special characters: all clients pass, and nothing shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

import pytest

from tests.boot.harness import cri
from tests.boot.harness.bed import Trial
from tests.boot.harness.node import Running
from tests.boot.harness.packages import INSTALL, PACKAGE, Repository
from tests.boot.harness.services import IMAGE, REGISTRY_NAME, Squid, squid_with_password

ADDRESS = "192.0.2.11"
CURL = f"http://{REGISTRY_NAME}/v2/_catalog"
UNIT_ENVIRONMENT = "--property=EnvironmentFile=/etc/eks-proxy-agent/node.env"
SHOWN = ("plan", "plan --json", "status", "status --json", "config show", "config show --json")


@pytest.fixture
def node(trial: Callable[[str], Trial]) -> Trial:
    """A node whose proxy requires the password."""
    return trial("auth-awkward-password")


@pytest.fixture
def squid(node: Trial) -> Iterator[Squid]:
    """That proxy, and a repository of packages behind it."""
    user, _, password = credentials(node).partition(":")
    squid = squid_with_password(node.bed.namespace, node.node.directory / "squid", ADDRESS, user, password)
    repository = Repository(node.bed.namespace, node.node.directory / "repository")
    yield squid
    repository.stop()
    squid.stop()


def credentials(node: Trial) -> str:
    """Return USER:PASSWORD of the case."""
    return (node.root / "etc/eks-proxy-agent/credentials").read_text().rstrip("\n")


def show(running: Running) -> str:
    """Return what the agent, systemd and docker print about settings and environment."""
    output = "".join(running.run("eks-proxy-agent", *words.split(), check=False) for words in SHOWN)
    return (
        output
        + running.run("systemctl", "show", "docker", "containerd", "eks-proxy-agent")
        + running.run("docker", "info")
    )


def change(running: Running, line: str, password: str) -> None:
    """Change the credentials, reload, and wait until node.env and dnf.conf have that password."""
    (running.directory / "credentials").write_text(f"{line}\n")
    running.run("mv", "/probe/credentials", "/etc/eks-proxy-agent/credentials")
    running.run("chmod", "600", "/etc/eks-proxy-agent/credentials")
    running.run("systemctl", "reload", "eks-proxy-agent")
    for file in ("/etc/eks-proxy-agent/node.env", "/etc/dnf/dnf.conf"):
        running.wait_until(f"the password in {file}", "grep", "--quiet", f"{password}@", file)


def test_all_clients_pass_with_a_special_password(node: Trial, squid: Squid) -> None:
    """docker, containerd, dnf and curl get through, and a reload changes the password.

    The end of the boot searches what the agent, systemd and docker show.
    """
    pair = credentials(node)
    running = node.start(hold=True)
    running.wait_settled()
    running.run("docker", "pull", IMAGE)
    pulled = cri.pull(running, IMAGE)
    running.run(*INSTALL)
    running.run("systemd-run", "--quiet", "--wait", UNIT_ENVIRONMENT, "curl", "--fail", "--silent", CURL)
    running.run("sh", "-euc", f"set -a; . /etc/eks-proxy-agent/node.env; exec curl --fail --silent {CURL}")
    (running.directory / "shown.txt").write_text(show(running))
    change(running, f"{pair}2", "vXkTail92")
    change(running, pair, "vXkTail9")
    node.finish(running)
    assert pulled == ""
    requests = squid.requests()
    for client in ("docker/", "containerd/", "libdnf", "curl/"):
        assert any(" 200 " in line and client in line for line in requests), (client, requests)
    assert any(PACKAGE in line for line in requests)


def test_proxy_refuses_requests_without_the_password(node: Trial, squid: Squid) -> None:
    """A node without the credentials gets 407, so the proxy does require them."""
    for name in ("config.toml", "credentials"):
        (node.root / "etc/eks-proxy-agent" / name).unlink()
    (node.root / "etc/eks-proxy-agent/config.toml").write_text('proxy.url = "http://login.example.test:3128"\n')
    running = node.start(hold=True)
    running.wait_settled()
    output = running.run("sh", "-c", f"docker pull {IMAGE} 2>&1", check=False)
    running.finish()
    assert "407" in output
    # A connection that ends without a request is left out: the agent's health check tries a second
    # address.
    requests = [line for line in squid.requests() if "error:transaction-end-before-headers" not in line]
    assert requests
    assert not [line for line in requests if " 407 " not in line]
