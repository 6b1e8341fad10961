"""Nodes of Amazon Linux 2023: nodeadm starts before cloud-init; NodeConfig names the cluster."""

from __future__ import annotations

from typing import Callable

from tests.boot.harness.bed import Trial


def requests_of(node: Trial) -> dict[str, str]:
    """Return the last request of each user agent in Squid's log of this boot."""
    return {line.rpartition(' "')[2].rstrip('"'): line for line in node.requests()}


def test_nodeadm_calls_through_squid_on_the_first_boot(trial: Callable[[str], Trial]) -> None:
    """nodeadm's call, before cloud-init, uses the proxy of a MIME part.

    NodeConfigs are merged, and a proxy in them is reported.
    """
    node = trial("nodeadm-parts")
    boot = node.boot()
    asked = requests_of(node)
    assert {name for name in asked if " 200 " in asked[name]} >= {"nodeadm-config", "nodeadm-run", "sandbox-image"}
    assert boot.active_at("nodeadm-config") < boot.active_at("cloud-init")
    (warning,) = boot.status()["warnings"]
    assert warning.startswith('NodeConfig sets "HTTP_PROXY" for "containerd" in spec.instance.environment')
    assert any(warning in text.replace("\\", "") for text in boot.messages("eks-proxy-agent"))


def test_invalid_node_config_keeps_the_last_good_values(trial: Callable[[str], Trial]) -> None:
    """Invalid YAML is reported with its line.

    docker, containerd and nodeadm keep the values of the boot before.
    """
    node = trial("nodeadm-broken")
    node.boot()
    boot = node.boot(phase="degraded")
    assert requests_of(node)["nodeadm-config"].startswith("GET http://registry.example.test:5000/v2/ 200")
    assert "NodeConfig (user data): line 7, column 1: invalid YAML" in boot.status()["error"]
    assert any("node.degraded" in text and "line 7, column 1" in text for text in boot.messages("eks-proxy-agent"))
