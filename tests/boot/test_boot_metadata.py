"""A metadata service that is late, or unreachable."""

from __future__ import annotations

import json
from typing import Callable

from tests.boot.harness import page
from tests.boot.harness.bed import Trial


def test_docker_waits_for_a_late_metadata_service(trial: Callable[[str], Trial]) -> None:
    """docker and containerd wait for a metadata service that is ten seconds late.

    They start with the proxy.
    """
    node = trial("metadata-late")
    boot = node.boot()
    assert boot.active_at("eks-proxy-agent") > node.served_at
    assert min(boot.active_at("docker"), boot.active_at("containerd")) > boot.active_at("eks-proxy-agent")


def test_policy_open_starts_docker_with_the_last_good_values(trial: Callable[[str], Trial]) -> None:
    """Without metadata, policy open boots docker with the values of the boot before.

    An error is logged.
    """
    node = trial("metadata-gone-open")
    node.boot()
    boot = node.boot(serve_after=-1, phase="degraded", failed=("eks-proxy-agent-bootstrap",))
    assert boot.status()["error"]
    errors = [entry for entry in boot.journal if entry.get("PRIORITY", "6") <= "3" and "eks-proxy" in str(entry)]
    assert any("169.254.169.254" in str(entry["MESSAGE"]) for entry in errors)


def test_policy_closed_starts_docker_only_with_metadata(
    trial: Callable[[str], Trial],
) -> None:
    """Policy closed boots a node without docker and kubelet.

    Once it is configured, they and the failed bootstrap are started.
    """
    node = trial("metadata-gone-closed")
    running = node.start(hold=True)
    running.wait_settled()
    assert json.loads(running.run("cat", "/run/eks-proxy-agent/status.json"))["phase"] == "degraded"
    runtimes = ("docker", "containerd", "kubelet")
    assert [running.show(unit, "ActiveState") for unit in runtimes] == ["inactive"] * 3
    assert page.difference(running, "node-notready") == ""
    held = json.loads(running.run("eks-proxy-agent", "status", "--json"))["held_units"]
    assert sorted(held) == sorted(f"{unit}.service" for unit in runtimes)
    node.serve()
    for unit in runtimes:
        running.wait_until(f"{unit} to start by itself", "systemctl", "is-active", unit)
    running.wait_until("the bootstrap to run", "test", "-e", "/var/log/joined")
    assert json.loads(running.run("eks-proxy-agent", "status", "--json"))["held_units"] == []
    boot = node.finish(running)
    assert boot.active_at("docker") > node.served_at
