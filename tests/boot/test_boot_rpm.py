"""The package in an image: installed, baked, cleaned and copied to two instances.

Also upgraded and erased while a node runs.
"""

from __future__ import annotations

import json
import shutil
from typing import Callable

import pytest

from tests.boot.harness.bed import Trial
from tests.boot.harness.daemon import RunningAgent
from tests.boot.harness.node import Running
from tests.boot.harness.waiting import wait_for
from tests.packaging import rpms

#: On one worker of pytest-xdist with tests/packaging, which builds the packages once.
pytestmark = pytest.mark.xdist_group("packaging")

NAME = "eks-proxy-agent"
JOINS = "var/log/joins.log"  # of the stand-in for bootstrap.sh
RUNTIMES = ("docker", "containerd", "kubelet")


def build_image(trial: Callable[..., Trial]) -> Trial:
    """Return a node with the agent by rpm: baked, booted once, cleaned and powered off."""
    builder = trial("rpm-builder")
    system = rpms.enrol(builder.root)
    system.rpm("-i", rpms.built())
    system.run(NAME, "bake")
    builder.boot()
    builder.stop_serving()
    assert system.rpm("-V", NAME) == ""
    said = system.run(NAME, "clean")
    assert "removed the state of instance i-0b111d3e3a9e00001" in said
    assert "nothing to do" in system.run(NAME, "clean")
    assert read(builder, JOINS) == "called\n"
    (builder.root / JOINS).unlink()
    traces = [path for path in ("etc/environment", "etc/dnf/dnf.conf") if "example.test" in read(builder, path)]
    assert traces == []
    builder.bake()
    return builder


def read(node: Trial, name: str) -> str:
    """Return the text of a file of a node."""
    return (node.root / name).read_text()


def pids(running: Running) -> dict[str, str]:
    """Return the main processes of the runtimes."""
    return {unit: running.show(unit, "MainPID") for unit in RUNTIMES}


def rpm(running: Running, *arguments: str) -> str:
    """Run the node's own rpm, inside the node."""
    command: list[str] = ["rpm", "--dbpath", "/var/lib/rpm", "--force-debian", *arguments]
    return running.run(*command)


def test_one_image_built_by_rpm_boots_as_two_instances(trial: Callable[..., Trial]) -> None:
    """Each copy has its own values at its first boot, without a reload, with policy closed.

    rpm -V reports nothing.
    """
    image = build_image(trial)
    for name in ("rpm-blue", "rpm-green"):
        node = trial(name, image)
        boot = node.boot()
        node.stop_serving()
        assert (
            boot.status()["instance_id"]
            == json.loads((node.case.directory / "metadata.json").read_text())["instance_id"]
        )
        assert boot.reloads() == 0, boot.messages("eks-proxy-agent")
        assert boot.active_at(NAME) < boot.active_at("docker")
        assert "192.168.77.0" not in read(node, "etc/eks-proxy-agent/node.env")
        assert rpms.Root(node.root).rpm("-V", NAME) == ""
        assert read(node, JOINS) == "called\n"


def test_upgrade_downgrade_and_erase_do_not_affect_a_running_node(trial: Callable[..., Trial]) -> None:
    """An upgrade and a downgrade restart only the agent, and do not bootstrap again.

    This is so with watch.restart = "changed" and a version that adds to NO_PROXY, too.  After an
    erase, which names what still uses the proxy, docker can be restarted without it.
    """
    node = trial("rpm-builder")
    restarting = '[watch]\nrestart = "changed"\n'
    (node.root / "etc/eks-proxy-agent/config.d/60-restart.toml").write_text(restarting)
    rpms.enrol(node.root).rpm("-i", rpms.built())
    rpms.copy_rpm(node.root)
    shutil.copy(rpms.next_version(), node.root / "next.rpm")
    daemon = RunningAgent(node)
    running = daemon.running
    before, agent = pids(running), running.show(NAME, "MainPID")
    assert "0" not in (*before.values(), agent)
    metrics = node.root / "var/lib/node_exporter/textfile_collector/eks_proxy_agent.prom"
    wait_for("the metrics in the directory of the package", metrics.exists)

    rpm(running, "-U", "/next.rpm")
    assert running.run("eks-proxy-agent", "--version").startswith("eks-proxy-agent 99.")
    assert running.show(NAME, "ActiveState") == "active"
    assert running.show(NAME, "MainPID") != agent
    running.run("systemctl", "reload", NAME)  # a full reconcile, then the search for stale units
    wait_for("the status to name the units", lambda: daemon.status().get("deferred_units"))
    status = daemon.status()
    assert {"docker.service", "containerd.service"} <= set(status["deferred_units"])
    assert status["stale_units"] == []
    assert "new.example.test" in read(node, "etc/eks-proxy-agent/node.env")
    assert pids(running) == before
    assert read(node, JOINS) == "called\n"
    assert rpm(running, "-V", NAME) == ""

    shutil.copy(rpms.built(), node.root / "earlier.rpm")
    agent = running.show(NAME, "MainPID")
    rpm(running, "-U", "--oldpackage", "/earlier.rpm")
    assert "99." not in running.run("eks-proxy-agent", "--version")
    assert running.show(NAME, "MainPID") != agent
    wait_for("the entry to go", lambda: "new.example.test" not in read(node, "etc/eks-proxy-agent/node.env"))
    running.run("systemctl", "reload", NAME)
    wait_for("the status to be of this version", lambda: not daemon.status()["version"].startswith("99."))
    assert (daemon.status()["phase"], daemon.status()["stale_units"]) == ("configured", [])
    assert pids(running) == before
    assert read(node, JOINS) == "called\n"
    assert rpm(running, "-V", NAME) == ""

    said = running.run("sh", "-c", f"rpm --dbpath /var/lib/rpm --force-debian -e {NAME} 2>&1")
    assert "removed /etc/systemd/system/docker.service.d/zz-eks-proxy.conf\n" in said
    for unit in RUNTIMES:
        assert f"{unit}.service uses the proxy until its next restart: systemctl restart {unit}.service\n" in said
    assert pids(running) == before
    assert running.show(NAME, "LoadState") == "not-found"
    assert "eks-proxy-agent" not in running.run("ls", "/run")
    assert list(metrics.parent.iterdir()) == []
    running.run("systemctl", "restart", "docker")
    boot = running.finish()
    assert boot.unit("docker")["ActiveState"] == "active"
    assert [name for name in boot.environment("docker") or {} if name.lower().endswith("_proxy")] == []
    settings = ("/config.d", "/config.d/50-company.toml", "/config.d/60-restart.toml")
    left = [path for path in boot.etc if "eks-proxy" in path]
    assert sorted(left) == [f"/etc/eks-proxy-agent{name}" for name in ("", *settings)]
