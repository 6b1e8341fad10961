"""The metadata service is late, or gone."""

from __future__ import annotations

import json
from typing import Callable

from tests.boot.harness.bed import Trial


def test_docker_waits_for_a_metadata_service_that_is_ten_seconds_late(trial: Callable[[str], Trial]) -> None:
    """Docker and containerd are held back until the metadata service has come, and then start with
    the proxy.
    """
    node = trial("metadata-late")
    boot = node.boot()
    assert boot.active_at("eks-proxy-agent") > node.served_at
    assert min(boot.active_at("docker"), boot.active_at("containerd")) > boot.active_at("eks-proxy-agent")


def test_policy_open_starts_docker_on_the_last_good_values(trial: Callable[[str], Trial]) -> None:
    """With the metadata service gone, policy open boots docker with the values of the boot before
    and says so loudly.
    """
    node = trial("metadata-gone-open")
    node.boot()
    boot = node.boot(serve_after=-1, phase="degraded", failed=("eks-proxy-agent-bootstrap",))
    assert boot.status()["error"]
    loud = [entry for entry in boot.journal if entry.get("PRIORITY", "6") <= "3" and "eks-proxy" in str(entry)]
    assert any("169.254.169.254" in str(entry["MESSAGE"]) for entry in loud)


def test_policy_closed_holds_docker_back_and_starts_it_when_the_metadata_service_comes(
    trial: Callable[[str], Trial],
) -> None:
    """Policy closed boots a node without docker and kubelet; once configured, they and the failed
    bootstrap start anew.
    """
    node = trial("metadata-gone-closed")
    running = node.start(hold=True)
    running.wait_settled()
    assert json.loads(running.run("cat", "/run/eks-proxy-agent/status.json"))["phase"] == "degraded"
    runtimes = ("docker", "containerd", "kubelet")
    assert [running.show(unit, "ActiveState") for unit in runtimes] == ["inactive"] * 3
    held = json.loads(running.run("eks-proxy-agent", "status", "--json"))["held_units"]
    assert sorted(held) == sorted(f"{unit}.service" for unit in runtimes)
    node.serve()
    for unit in runtimes:
        running.wait_until(f"{unit} to start by itself", "systemctl", "is-active", unit)
    running.wait_until("the bootstrap to run after all", "test", "-e", "/var/log/joined")
    assert json.loads(running.run("eks-proxy-agent", "status", "--json"))["held_units"] == []
    boot = node.finish(running)
    assert boot.active_at("docker") > node.served_at
