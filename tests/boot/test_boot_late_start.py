"""The agent on a node that runs already: nothing waited for it, and it says so at once."""

from __future__ import annotations

import json
from typing import Any, Callable

from tests.boot.harness.bed import Trial
from tests.boot.harness.daemon import RunningAgent
from tests.boot.harness.node import Running
from tests.boot.test_boot_bootstrap import signals

STACK = '[signal]\nstack = "blue-nodes"\nresource = "NodeGroup"\n'
KUBELET = "/usr/local/lib/eksproxy-boot/kubelet"
AGENT, BOOTSTRAP = "eks-proxy-agent", "eks-proxy-agent-bootstrap"
UNITS = ("amazon-ssm-agent", "containerd", "docker", "kubelet")
STALE = [f"{unit}.service" for unit in UNITS]
#: What a user's shell sees: no command waits for the daemon but `systemctl start` itself.
START = f"systemctl start {AGENT} && {AGENT} status --json"


def pids(running: Running) -> dict[str, str]:
    """Return the main processes of the units that ran before the agent."""
    return {unit: running.show(unit, "MainPID") for unit in UNITS}


def status(running: Running) -> dict[str, Any]:
    """Return the output of `status --json`."""
    document: dict[str, Any] = json.loads(running.run(AGENT, "status", "--json"))
    return document


def settled(node: Trial) -> Running:
    """Boot a node whose agent is not enabled, and wait until the others run."""
    running = node.start(hold=True)
    running.wait_settled()
    assert "0" not in pids(running).values()
    assert running.show(AGENT, "ActiveState") == "inactive"
    return running


def test_status_is_true_as_soon_as_systemctl_start_returns(trial: Callable[[str], Trial]) -> None:
    """It is configured, and names what runs without the proxy.

    `apply --restart` restarts that once.  The bootstrap unit, which only the next boot would start,
    is started too, and signals that kubelet is healthy.
    """
    node = trial("late-start")
    unit = node.root / "etc/systemd/system/kubelet.service"
    unit.write_text(unit.read_text().replace("/bin/sleep infinity", KUBELET))
    (node.root / "etc/eks-proxy-agent/config.d/50-stack.toml").write_text(STACK)
    running = settled(node)
    before = pids(running)
    running.run("systemctl", "preset", AGENT, BOOTSTRAP)  # as the package does when it is installed
    first = json.loads(running.run("sh", "-c", START))
    assert (first["phase"], sorted(first["stale_units"])) == ("configured", STALE)
    screen = running.run(AGENT, "status")
    assert "no action needed" not in screen
    for unit in STALE:
        assert f"{unit} runs with an old environment. Restart it at a convenient time" in screen
    assert pids(running) == before

    done = running.run(AGENT, "apply", "--restart").splitlines()
    assert done == [
        "nothing to do: the node is as planned",
        "restarted containerd.service",
        "restarted docker.service",
        "restarted amazon-ssm-agent.service",
    ], "kubelet requires docker: systemd restarts it with docker"
    after = pids(running)
    assert set(before.values()).isdisjoint(after.values())
    assert status(running)["stale_units"] == []
    assert json.loads(running.run("cat", "/run/eks-proxy-agent/status.json"))["stale_units"] == []
    assert running.run(AGENT, "apply", "--restart") == "nothing to do: the node is as planned\n"
    assert pids(running) == after
    running.wait_until("the bootstrap unit to end", "systemctl", "is-active", BOOTSTRAP)
    (signal,) = signals(node)
    assert signal["argv"][:3] == ["/opt/aws/bin/cfn-signal", "--exit-code", "0"]
    (text,) = running.run("journalctl", "--quiet", "--output=cat", "EKS_PROXY_EVENT=units.stale").splitlines()
    assert all(unit in text for unit in STALE)
    node.finish(running)


def test_apply_starts_the_daemon_of_a_node(trial: Callable[[str], Trial]) -> None:
    """`apply` says that it does not run, with the command; --start and --restart do the rest."""
    node = trial("late-start")
    running = settled(node)
    said = running.run("sh", "-c", f"{AGENT} apply 2>&1")
    assert f"warning: {AGENT}.service is neither enabled nor running" in said
    assert f"systemctl enable --now {AGENT}, or: {AGENT} apply --start\n" in said
    assert sorted(status(running)["stale_units"]) == STALE
    done = running.run(AGENT, "apply", "--start", "--restart").splitlines()
    assert done[:2] == ["nothing to do: the node is as planned", f"enabled {AGENT}.service and started it"]
    assert running.show(AGENT, "ActiveState") == "active"
    assert running.show(AGENT, "UnitFileState") == "enabled"
    assert status(running)["stale_units"] == []
    assert "not" not in running.run("sh", "-c", f"{AGENT} apply --start --restart 2>&1").replace("nothing", "")
    node.finish(running)
    life = RunningAgent(node)
    assert life.status()["stale_units"] == [], "the next boot is a usual one"
    node.finish(life.running)


def test_docker_without_live_restore_stays_and_is_named(trial: Callable[[str], Trial]) -> None:
    """The exit code says that a unit still runs without the proxy; the others are restarted."""
    node = trial("late-start")
    settings = node.root / "etc/docker/daemon.json"
    settings.write_text(settings.read_text().replace('"live-restore": true', '"live-restore": false'))
    running = settled(node)
    docker = running.show("docker", "MainPID")
    script = f"{AGENT} apply --start --restart 2>&1; echo exit $?"
    said = running.run("sh", "-c", script)
    assert "warning: docker.service was not restarted: live-restore is off" in said
    assert said.endswith("exit 3\n")
    assert running.show("docker", "MainPID") == docker
    assert status(running)["stale_units"] == ["docker.service"]
    running.run("systemctl", "restart", "docker")
    assert status(running)["stale_units"] == []
    node.finish(running)


def test_a_masked_daemon_is_an_error(trial: Callable[[str], Trial]) -> None:
    """The files are written, and systemctl's reason is printed."""
    node = trial("late-start")
    running = settled(node)
    running.run("systemctl", "mask", AGENT)
    said = running.run("sh", "-c", f"{AGENT} apply --start --restart 2>&1; echo exit $?")
    assert f"systemctl enable --now -- {AGENT}.service" in said
    assert "is masked" in said
    assert f"warning: {AGENT}.service is masked" in running.run("sh", "-c", f"{AGENT} apply 2>&1")
    assert said.endswith("exit 1\n")
    running.run("systemctl", "unmask", AGENT)
    running.run(AGENT, "apply", "--start", "--restart")
    node.finish(running)
