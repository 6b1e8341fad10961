"""Passwords that no file of the image has: by the AWS CLI from a VPC endpoint, and from systemd.

The recipes are those of docs/credentials.md, with the URL of the proxy of the test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Callable

import pytest

from tests.boot.harness.aws import VpcEndpoint
from tests.boot.harness.bed import Trial
from tests.boot.harness.root import REPOSITORY
from tests.boot.harness.services import IMAGE, Squid, squid_with_password

ADDRESS, REGION = "192.0.2.11", "eu-west-1"
PAIR = "svc-eks:Zq7Head4@:/%#$!&'\"` \\é vXkTail9"
URL = "http://login.example.test:3128"
NODE_ENV, CONFIG = "/etc/eks-proxy-agent/node.env", "etc/eks-proxy-agent/config.toml"
AGENT = "eks-proxy-agent"
SECRETS_MANAGER, PARAMETER_STORE = (
    text.replace("http://proxy.example.com:3128", URL)
    for text in re.findall(r"(?ms)^```toml\n(.*?)^```$", (REPOSITORY / "docs/credentials.md").read_text())
)


@pytest.fixture
def node(trial: Callable[[str], Trial]) -> Trial:
    """A node with the AWS CLI."""
    return trial("credentials-command")


@pytest.fixture
def squid(node: Trial) -> Iterator[Squid]:
    """The proxy that requires the password."""
    squid = squid_with_password(node.bed.namespace, node.node.directory / "squid", ADDRESS, *PAIR.split(":", 1))
    yield squid
    squid.stop()


@pytest.fixture
def endpoint(node: Trial) -> Iterator[VpcEndpoint]:
    """The services of the recipes; the node knows them."""
    endpoint = VpcEndpoint(node.bed.namespace, node.node.directory / "endpoint", REGION, PAIR)
    endpoint.introduce(node.root)
    node.node.watch.know(PAIR)
    yield endpoint
    endpoint.stop()


def configure(node: Trial, text: str) -> None:
    """Replace the settings, as an editor does."""
    path = node.root / CONFIG
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def test_recipes_fetch_the_password_in_the_sandbox(node: Trial, squid: Squid, endpoint: VpcEndpoint) -> None:
    """The node boots with the password, follows a change, and keeps the last one when a call fails.

    Secrets Manager at boot, then the Parameter Store; both by role credentials of the metadata
    service, without a proxy.  A refused system call would kill the CLI.
    """
    configure(node, SECRETS_MANAGER)
    running = node.start(hold=True)
    running.wait_settled()
    assert "configured" in running.run(AGENT, "status").splitlines()[0]
    running.run("docker", "pull", IMAGE)
    assert endpoint.requests() == ["secretsmanager.GetSecretValue eu-west-1 direct 200"]

    changed = f"{PAIR}Second8"
    node.node.watch.know(changed)
    endpoint.answer(changed)
    running.wait_until("the end of the boot's cycle", "sh", "-c", f"{AGENT} status | grep 'next in'")
    configure(node, PARAMETER_STORE)
    running.wait_until("the second password", "grep", "--quiet", "Second8@", NODE_ENV)
    assert endpoint.requests()[1:] == ["AmazonSSM.GetParameter eu-west-1 direct 200"]

    endpoint.answer(changed, error="AccessDeniedException")
    running.run("systemctl", "reload", AGENT)
    running.wait_until("the failure", "sh", "-c", f"{AGENT} status | grep AccessDeniedException")
    (running.directory / "degraded.txt").write_text(running.run(AGENT, "status"))
    assert "Second8@" in running.run("cat", NODE_ENV)
    plan = running.run(AGENT, "plan")
    assert plan == ""

    endpoint.answer(PAIR)
    running.wait_until("the first password", "grep", "--quiet", "vXkTail9@", NODE_ENV, limit=60)
    running.wait_until("phase configured", "sh", "-c", f"{AGENT} status | head -1 | grep configured")
    boot = node.finish(running)
    degraded = boot.text("degraded.txt")
    assert "degraded" in degraded.splitlines()[0]
    assert "AccessDeniedException when calling GetParameter; the last credentials stay in force" in degraded
    pulls = [line for line in squid.requests() if "docker/" in line]
    assert any(" 200 " in line for line in pulls), pulls


def test_a_command_that_hangs_holds_the_boot_for_ten_seconds(node: Trial) -> None:
    """Docker starts then, without a proxy, and the node says why it is degraded."""
    configure(node, f'[proxy]\nurl = "{URL}"\ncredentials_command = ["sleep", "1000"]\n')
    running = node.start(hold=True)
    running.wait_settled()
    status = running.run(AGENT, "status")
    boot = running.finish()
    assert "proxy.credentials_command: sleep: timed out after 10 s" in status
    assert boot.unit("docker")["ActiveState"] == "active"
    assert not (node.root / "etc/eks-proxy-agent/node.env").exists()
    assert boot.text("processes.json").count("sleep\\u00001000") <= 1  # that of a retry; the first one was killed


def test_a_systemd_credential_is_decrypted_for_the_unit(trial: Callable[[str], Trial]) -> None:
    """Without it the node boots degraded; after the commands of the page it is configured.

    So it is at the next boot.  A command of root reads it from the directory of the unit.
    """
    node = trial("credentials-systemd")
    squid = squid_with_password(node.bed.namespace, node.node.directory / "squid", ADDRESS, *PAIR.split(":", 1))
    node.node.watch.know(PAIR)
    running = node.start(hold=True)
    running.wait_settled()
    missing = running.run(AGENT, "status")
    for line in setup_of_systemd():
        running.run("sh", "-euc", line, stdin=f"{PAIR}\n")
    running.wait_until("phase configured", "sh", "-c", f"{AGENT} status | head -1 | grep configured")
    running.run(AGENT, "apply")
    running.finish()  # docker still runs with the environment of the degraded boot

    running = node.start(hold=True)
    running.wait_settled()
    running.run("docker", "pull", IMAGE)
    node.finish(running)
    squid.stop()
    assert "systemd has no credential proxy for eks-proxy-agent.service" in missing
    assert any(" 200 " in line and "docker/" in line for line in squid.requests())


def setup_of_systemd() -> list[str]:
    """Return the commands of docs/credentials.md."""
    text = (REPOSITORY / "docs/credentials.md").read_text()
    (block,) = re.findall(r"(?ms)^```\n(# install -d .*?)^```$", text)
    return [line[2:] for line in block.splitlines()]
