"""`status` and metrics while the daemon runs, is stopped, and cannot write the metrics."""

from __future__ import annotations

import json
import re
from typing import Callable

from tests.boot.harness import page
from tests.boot.harness.bed import Trial
from tests.boot.harness.waiting import wait_for
from tests.status_schema import problems

USUAL = "var/lib/node_exporter/textfile_collector/eks_proxy_agent.prom"
COPY = "/run/eks-proxy-agent/metrics.prom"
AGENT = "eks-proxy-agent"


def test_status_and_metrics_follow_the_daemon(trial: Callable[[str], Trial]) -> None:
    """A healthy node is reported as such; for a stopped daemon, status names the start command.

    The unit's sandbox allows metrics in the usual directory, not in another one; that is logged
    once, and the node stays healthy.  Those in /run are always there, and count across restarts.
    """
    node = trial("status")
    running = node.start(hold=True)
    running.wait_settled()
    wait_for("the end of the boot's pass", lambda: "next in" in running.run(AGENT, "status"))
    well = running.run(AGENT, "status")
    found = json.loads(running.run(AGENT, "status", "--json"))
    wait_for("the metrics", (node.root / USUAL).exists)
    metrics = (node.root / USUAL).read_text()

    copy = running.run("cat", COPY)

    running.run("systemctl", "stop", AGENT)
    dead = running.run(AGENT, "status")
    differences = page.difference(running, "agent-not-running")
    way_out = re.search(r"^to do .*: (systemctl start \S+)$", dead, re.MULTILINE)
    assert way_out, dead
    running.run(*way_out.group(1).split())
    wait_for("the daemon", lambda: "next in" in running.run(AGENT, "status"))
    again = running.run(AGENT, "status")

    running.run("systemctl", "reload", AGENT)
    wait_for("a look at the proxy", lambda: "in use, up" in running.run(AGENT, "status"))

    settings = node.root / "etc/eks-proxy-agent/config.d/metrics.toml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text('[watch]\nmetrics = "/opt"\n')
    for _ in range(2):
        running.run("systemctl", "reload", AGENT)
        wait_for("the metrics to move", lambda: "read-only" in running.run(AGENT, "status").lower())
    blocked = running.run(AGENT, "status")
    passes = re.findall(r'passes_total{result="configured"} (\d+)', running.run("cat", COPY))
    differences += page.difference(running, "no-metrics")
    left = (node.root / USUAL).exists()
    boot = node.finish(running)

    assert differences == ""
    assert "no action needed" in well
    assert re.search(r"^daemon +running \(pid \d+\), last reconcile ", well, re.MULTILINE)
    assert problems(found) == []
    assert found["daemon"]["enabled"] == "enabled"
    assert 'eks_proxy_agent_phase{phase="configured"} 1\n' in metrics
    assert 'eks_proxy_agent_unit_stale{unit="docker.service"} 0\n' in metrics
    assert 'eks_proxy_agent_phase{phase="configured"} 1\n' in copy
    assert found["metrics"]["copy"] == COPY
    assert [int(number) >= 3 for number in passes] == [True], "one of the first daemon, at least two of the second"
    assert "NOT RUNNING (inactive)" in dead
    assert "no action needed" in again
    assert "configured" in blocked.splitlines()[0]
    assert "ReadWritePaths=" in blocked
    assert not left
    assert len([line for line in boot.messages(AGENT) if "metrics.failed" in line]) == 1
    assert boot.status()["metrics"]["path"] == "/opt/eks_proxy_agent.prom"
