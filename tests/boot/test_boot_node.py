"""A node boots, boots again, and becomes the image of another node."""

from __future__ import annotations

from typing import Callable

from tests.boot.harness.bed import Trial


def test_fresh_node_is_proxied_and_its_second_boot_writes_and_reloads_nothing(trial: Callable[[str], Trial]) -> None:
    """A fresh node pulls through Squid; booting it again touches no file below /etc and reloads
    systemd not once.
    """
    node = trial("fresh-node")
    first, second = node.boot(), node.boot()
    assert first.active_at("eks-proxy-agent") < first.active_at("docker")
    assert second.etc == first.etc
    assert second.reloads() == 0


def test_image_baked_on_one_instance_boots_as_another(trial: Callable[[str], Trial]) -> None:
    """A node made from another node's disk has its own VPC's values, and needs no reload since its
    drop-ins are baked.
    """
    node = trial("baked-image")
    assert node.boot().status()["instance_id"] == "i-0a1b2c3d4e5f60718"
    node.bake()
    baked = node.boot()
    assert baked.status()["instance_id"] == "i-0f9e8d7c6b5a49382"
    assert baked.reloads() == 0


def test_node_without_any_settings_boots_as_if_the_agent_were_absent(trial: Callable[[str], Trial]) -> None:
    """Without settings the agent is ready at once, docker starts unproxied, and nothing below /etc
    is the agent's.
    """
    boot = trial("no-settings").boot()
    assert boot.active_at("eks-proxy-agent") < boot.active_at("docker")
    assert [path for path in boot.etc if path.endswith(("-eks-proxy.conf", "-eks-proxy-closed.conf", ".env"))] == []
    assert boot.reloads() == 0
