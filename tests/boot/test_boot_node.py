"""A node boots, boots again, and becomes the image of another node."""

from __future__ import annotations

from typing import Callable

from tests.boot.harness import page
from tests.boot.harness.bed import Trial


def test_second_boot_of_a_fresh_node_changes_nothing(trial: Callable[[str], Trial]) -> None:
    """A fresh node pulls through Squid; its next boot changes no file below /etc.

    Nor does it reload systemd.
    """
    node = trial("fresh-node")
    first, second = node.boot(), node.boot()
    assert first.active_at("eks-proxy-agent") < first.active_at("docker")
    assert second.etc == first.etc
    assert second.reloads() == 0


def test_image_baked_on_one_instance_boots_as_another(trial: Callable[[str], Trial]) -> None:
    """A node from another node's disk has the values of its own VPC.

    It needs no reload, because its drop-ins are baked.
    """
    node = trial("baked-image")
    assert node.boot().status()["instance_id"] == "i-0a1b2c3d4e5f60718"
    node.bake()
    baked = node.boot()
    assert baked.status()["instance_id"] == "i-0f9e8d7c6b5a49382"
    assert baked.reloads() == 0


def test_node_without_settings_boots_as_without_the_agent(trial: Callable[[str], Trial]) -> None:
    """The agent is ready immediately, docker starts without a proxy.

    No file below /etc is the agent's.
    """
    node = trial("no-settings")
    running = node.start(hold=True)
    running.wait_settled()
    difference = page.difference(running, "phase-unconfigured")
    boot = node.finish(running)
    assert difference == ""
    assert boot.active_at("eks-proxy-agent") < boot.active_at("docker")
    assert [path for path in boot.etc if path.endswith(("-eks-proxy.conf", "-eks-proxy-closed.conf", ".env"))] == []
    assert boot.reloads() == 0
