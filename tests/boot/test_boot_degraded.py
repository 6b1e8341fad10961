"""Boots that do not succeed: every unit that waits starts, and the agent goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

from tests.boot.harness import page
from tests.boot.harness.bed import Trial
from tests.boot.harness.daemon import AGENT
from tests.boot.harness.node import Running
from tests.boot.harness.waiting import wait_for

RUNTIMES = ("docker", "containerd", "kubelet")
CONFIG = "etc/eks-proxy-agent/config.toml"
DROP_IN = "etc/systemd/system/eks-proxy-agent.service.d/test.conf"


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text in a file of a node that is powered off."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def status(running: Running) -> dict[str, Any]:
    """Return status.json."""
    document: dict[str, Any] = json.loads(running.run("cat", "/run/eks-proxy-agent/status.json"))
    return document


def wait_for_docker(node: Trial, running: Running) -> None:
    """Wait until the held units run, and check the boot against its case."""
    for unit in RUNTIMES:
        running.wait_until(f"{unit} to start by itself", "systemctl", "is-active", unit)
    running.wait_until("the bootstrap to run", "test", "-e", "/var/log/joined")
    node.finish(running)


def test_wrong_settings_are_corrected_without_a_restart(trial: Callable[[str], Trial]) -> None:
    """With a typo in the image, other units start, and policy closed holds docker back.

    After the edit the node is configured, by the same daemon; docker starts with the proxy.
    """
    node = trial("metadata-gone-closed")
    edit(node.root / CONFIG, "[failure]", "[failure]\nprefligth = 'off'")
    running = node.start(hold=True, limit=150)
    running.wait_settled()
    node.serve()
    assert running.show(AGENT + "-bootstrap", "ExecMainStatus") == "78", "the bootstrap was not held back"
    assert [running.show(unit, "ActiveState") for unit in RUNTIMES] == ["inactive"] * 3
    document = status(running)
    assert document["phase"] == "degraded"
    assert "failure.prefligth: unknown key; did you mean failure.preflight?" in document["error"]
    assert running.show(AGENT, "StatusText").startswith("degraded: /etc/eks-proxy-agent/config.toml, line ")
    assert page.difference(running, "phase-degraded") == ""
    agent = running.show(AGENT, "MainPID")
    running.run("sed", "-i", "/prefligth/d", "/" + CONFIG)
    wait_for("the edit to take effect", lambda: status(running)["phase"] == "configured")
    assert (running.show(AGENT, "MainPID"), running.show(AGENT, "NRestarts")) == (agent, "0")
    wait_for_docker(node, running)


def test_killed_worker_at_boot_does_not_stop_the_boot(trial: Callable[[str], Trial]) -> None:
    """SIGKILL to the worker while it waits for metadata: units start, status has the crash.

    The next worker configures the node.
    """
    node = trial("metadata-gone-closed")
    edit(node.root / CONFIG, "deadline = 2", "deadline = 15")  # of the bootstrap too, which fails then
    running = node.start(hold=True, limit=150)
    running.wait_until("the worker to wait", "sh", "-c", f"""
        systemctl show --property=StatusText {AGENT} | grep -q 'waiting, .* s left: instance metadata service' &&
        pkill --signal=KILL --parent "$(systemctl show --value --property=MainPID {AGENT})" """)  # fmt: skip
    running.wait_settled()
    node.serve()
    wait_for("the node to be configured", lambda: status(running)["phase"] == "configured", limit=60)
    events = running.run("journalctl", "--quiet", "--unit=" + AGENT, "--output=cat", "EKS_PROXY_EVENT=node.degraded")
    assert 'error="worker process killed by signal 9"' in events
    crash = running.run("journalctl", "--quiet", "--unit=" + AGENT, "--output=cat", "EKS_PROXY_EVENT=pass.crashed")
    assert crash.strip() == 'pass.crashed reason=boot ended="by signal 9"'
    assert (status(running)["error"], running.show(AGENT, "NRestarts")) == (None, "0")
    wait_for_docker(node, running)


def test_boot_without_a_log_is_configured(trial: Callable[[str], Trial]) -> None:
    """With stderr closed, and on the next boot full, docker starts with the proxy."""
    node = trial("fresh-node")
    path = node.root / DROP_IN
    path.parent.mkdir()
    for redirection in ("2>&-", "2>/dev/full"):
        path.write_text(
            f"[Service]\nExecStart=\nExecStart=/bin/sh -c 'exec /usr/bin/eks-proxy-agent run {redirection}'\n"
        )
        boot = node.boot()
        assert boot.active_at("docker") > boot.active_at("eks-proxy-agent")


#: Limits /run to a few more inodes than it has, and takes them.
FILL = """\
used=$(df --output=iused /run | tail -1)
for more in 2 50 200; do mount -o remount,nr_inodes=$((used + more)) /run && break; done
n=0; while touch /run/fill-$n; do n=$((n + 1)); done
true # another process may free an inode meanwhile; the test sees whether the agent had one
"""


def test_boot_with_a_full_run_directory_is_configured(trial: Callable[[str], Trial]) -> None:
    """Without an inode in /run, /etc has the proxy when docker starts.

    The journal has what is missing, and the next cycle writes it.
    """
    node = trial("fresh-node")
    (node.root / "etc/fill").write_text(FILL)
    path = node.root / DROP_IN
    path.parent.mkdir()
    empty = "mount -o remount,nr_inodes=10000 /run; rm /run/fill-*"  # docker needs some too
    path.write_text(f"[Service]\nExecStartPre=+/bin/sh /etc/fill\nExecStartPost=+/bin/sh -c '{empty}'\n")
    running = node.start(hold=True)
    running.wait_settled()
    events = running.run("journalctl", "--quiet", "--unit=" + AGENT, "--output=cat", "EKS_PROXY_EVENT=state.not_saved")
    assert "file=/run/eks-proxy-agent/status.json" in events
    assert running.run("journalctl", "--quiet", "--unit=" + AGENT, "EKS_PROXY_EVENT=node.degraded", check=False) == ""
    running.run("systemctl", "reload", AGENT)
    running.wait_until("status.json", "test", "-e", "/run/eks-proxy-agent/status.json")
    node.finish(running)
