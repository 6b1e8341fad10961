"""The daemon on a booted node: drift, a changed instance, and a killed daemon."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from tests.boot.harness import page
from tests.boot.harness.bed import Trial
from tests.boot.harness.command import run
from tests.boot.harness.daemon import AGENT, ENVIRONMENT, RunningAgent
from tests.boot.harness.waiting import wait_for

NODE_ENV = "/etc/eks-proxy-agent/node.env"
CLOCK = Path(__file__).with_name("harness") / "clock.c"
DROP_INS = "/etc/systemd/system/docker.service.d"


def test_edited_file_is_repaired_once(trial: Callable[[str], Trial]) -> None:
    """Within seconds it is repaired, with one journal entry.

    The entry has the file, the instance and the difference.
    """
    agent = RunningAgent(trial("watch"))
    before, pids, agent_pid = agent.read(), agent.pids(), agent.pid()
    agent.running.run(
        "sh",
        "-c",
        f"sed -i s/proxy.example/http:..me:hunter2@other.example/ {ENVIRONMENT}; echo EDITOR=vi >> {ENVIRONMENT}",
    )
    (entry,) = agent.wait_for_event("drift.repaired", "FILE=" + ENVIRONMENT)
    assert entry["INSTANCE_ID"] == agent.status()["instance_id"]
    assert entry["REASON"] == "edited"
    assert entry["PRIORITY"] == "4"
    assert "other.example" in str(entry["EKS_PROXY_DIFF"])
    assert "hunter2" not in str(entry)
    wait_for("the status to report it", lambda: agent.status()["repairs"] == {"total": 1, "fought": []})
    agent.running.run("rm", "-r", DROP_INS)
    agent.running.run("sh", "-c", f"echo x > {NODE_ENV}.new; mv {NODE_ENV}.new {NODE_ENV}")
    agent.wait_for_event("drift.repaired", "REASON=missing", f"FILE={DROP_INS}/zz-eks-proxy.conf")
    agent.wait_for_event("drift.repaired", "FILE=" + NODE_ENV)
    wait_for("the status to report it", lambda: agent.status()["repairs"]["total"] == 3)
    after = agent.read()
    assert "EDITOR=vi\n" in after, "lines of others stay"
    assert [line for line in after.splitlines() if line != "EDITOR=vi"] == before.splitlines()
    assert (agent.pids(), agent.pid()) == (pids, agent_pid), "nothing was restarted"
    agent.node.finish(agent.running)


def test_contested_file_is_left_alone(trial: Callable[[str], Trial]) -> None:
    """A process that changes the file back each time wins after five repairs; an error is logged.

    A reload repairs the file again.
    """
    agent = RunningAgent(trial("watch"))
    agent.running.run("sh", "-c", f"""cat > /run/fight <<'END'
while [ ! -e /run/peace ]; do grep -q wrong {ENVIRONMENT} || echo http_proxy=wrong > {ENVIRONMENT}; sleep 0.1; done
END
systemd-run --quiet --unit=fight sh /run/fight""")  # fmt: skip
    agent.wait_for_event("drift.fought", "FILE=" + ENVIRONMENT, limit=80)
    assert len(agent.events("drift.repaired", "FILE=" + ENVIRONMENT)) == 5
    wait_for("the status to report it", lambda: agent.status()["repairs"]["fought"] == [ENVIRONMENT])
    assert "left alone: /etc/environment" in agent.running.show(AGENT, "StatusText")
    assert page.difference(agent.running, "contested-file") == ""
    agent.running.run("sh", "-c", "touch /run/peace; systemctl stop fight; systemctl reload eks-proxy-agent")
    wait_for("the reload to repair it", lambda: "proxy.example" in agent.read())
    assert len(agent.events("drift.fought")) == 1
    agent.node.finish(agent.running)


def test_new_vpc_cidr_is_written_and_stale_units_are_reported(trial: Callable[[str], Trial]) -> None:
    """A cycle writes it to the files, the third at the latest; the daemons keep the old list.

    Journal and status name them as stale.
    """
    agent = RunningAgent(trial("watch"))
    pids = agent.pids()
    agent.change_instance(vpc_cidrs_v4=["10.0.0.0/16", "10.99.0.0/16", "100.64.0.0/16"])
    wait_for("the CIDR to be written", lambda: "10.99.0.0/16" in agent.read(), limit=90)
    units = ["containerd.service", "docker.service", "kubelet.service"]
    wait_for("the status to name the stale units", lambda: sorted(agent.status()["stale_units"]) == units)
    entries = agent.wait_for_event("units.stale", "UNIT=docker.service")
    assert "restart needed: " in agent.running.show(AGENT, "StatusText")
    last = agent.status()["updated"]
    wait_for("another cycle", lambda: agent.status()["updated"] != last)
    assert agent.events("units.stale") == entries, "logged once for each change"
    assert agent.pids() == pids, "watch.restart is never"
    agent.running.run("systemctl", "restart", "docker", "containerd", "kubelet")
    wait_for("no unit to be stale", lambda: agent.status()["stale_units"] == [])
    agent.node.finish(agent.running)


def test_stale_docker_is_restarted_once_and_its_container_survives(trial: Callable[[str], Trial]) -> None:
    """With watch.restart = "changed" and live-restore, docker restarts once with the new list.

    kubelet restarts after it.
    """
    agent = RunningAgent(trial("watch-restart"))
    agent.running.run("sh", "-c", """
        for group in /sys/fs/cgroup/*; do mount -o remount,rw,bind $group || :; done
        tar -C / -c bin lib lib64 usr/lib64 usr/bin/sleep usr/lib/x86_64-linux-gnu/libc.so.6 usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 |
            docker import - sleeper
        docker run --detach --network=none --name=sleeper sleeper /bin/sleep 3600""")  # fmt: skip
    inspect = ["docker", "inspect", "--format={{.State.Pid}} {{.State.Running}}", "sleeper"]
    container, pids = agent.running.run(*inspect), agent.pids()
    assert container.endswith(" true\n")
    agent.change_instance(vpc_cidrs_v4=["10.0.0.0/16", "10.99.0.0/16", "100.64.0.0/16"])
    agent.wait_for_event("unit.restarted", "UNIT=docker.service", limit=90)
    wait_for("no unit to be stale", lambda: agent.status()["stale_units"] == [])
    order = [entry["UNIT"] for entry in agent.events("unit.restarted")]
    assert order == ["containerd.service", "docker.service"], (
        "kubelet requires docker: systemd restarts it after docker"
    )
    after = agent.pids()
    assert set(pids.values()).isdisjoint(after.values())
    assert agent.running.run(*inspect) == container
    for unit in after:
        started = f"journalctl --quiet _PID=1 UNIT={unit}.service | grep -c 'Started {unit}'"
        assert agent.running.run("sh", "-c", started).strip() == "2", "at boot, and once more"
    assert "10.99.0.0/16" in agent.running.run("sh", "-c", f"tr '\\0' '\\n' < /proc/{after['docker']}/environ")
    last = agent.status()["updated"]
    wait_for("another cycle", lambda: agent.status()["updated"] != last)
    assert agent.pids() == after
    agent.running.run("docker", "rm", "--force", "sleeper")  # it ignores SIGTERM and would delay the power-off by 90 s
    agent.node.finish(agent.running)


def test_docker_without_live_restore_is_not_restarted(trial: Callable[[str], Trial]) -> None:
    """Its containers would stop with it, so it is not restarted, which is logged once."""
    node = trial("watch-restart")
    settings = node.root / "etc/docker/daemon.json"
    settings.write_text(settings.read_text().replace('"live-restore": true', '"live-restore": false'))
    agent = RunningAgent(node)
    docker = agent.pid("docker")
    agent.change_instance(vpc_cidrs_v4=["10.0.0.0/16", "10.99.0.0/16", "100.64.0.0/16"])
    agent.wait_for_event("unit.restarted", "UNIT=kubelet.service", limit=90)
    wait_for("docker to be named", lambda: "docker.service" in agent.status()["stale_units"])
    last = agent.status()["updated"]
    wait_for("another cycle", lambda: agent.status()["updated"] != last)
    (entry,) = agent.events("unit.not_restarted", "UNIT=docker.service")
    assert "live-restore" in entry["REASON"]
    assert agent.pid("docker") == docker
    agent.node.finish(agent.running)


def test_kubelet_is_not_restarted_if_its_runtime_fails(trial: Callable[[str], Trial]) -> None:
    """A docker that fails to restart is tried once and logged, and kubelet keeps running."""
    node = trial("watch-restart")
    unit = node.root / "etc/systemd/system/kubelet.service"
    unit.write_text(
        unit.read_text().replace("Requires=docker.service", "")
    )  # as on AL2023; otherwise systemd stops it too
    agent = RunningAgent(node)
    kubelet = agent.pid("kubelet")
    agent.running.run("sh", "-c", """
        mkdir /run/systemd/system/docker.service.d
        printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\nRestart=no\\n' > /run/systemd/system/docker.service.d/broken.conf
        systemctl daemon-reload""")  # fmt: skip
    agent.change_instance(vpc_cidrs_v4=["10.0.0.0/16", "10.99.0.0/16", "100.64.0.0/16"])
    (entry,) = agent.wait_for_event("unit.not_restarted", "UNIT=kubelet.service", limit=90)
    assert "runtime" in entry["REASON"]
    (failed,) = agent.events("unit.not_restarted", "UNIT=docker.service")
    assert "systemctl try-restart -- docker.service" in failed["REASON"]
    assert agent.pid("kubelet") == kubelet
    wait_for("kubelet to be named", lambda: agent.status()["stale_units"] == ["kubelet.service"])
    node.case = replace(node.case, active=("eks-proxy-agent", "containerd", "kubelet"), failed=("docker",))
    node.finish(agent.running)


def test_daemon_that_dies_or_hangs_is_restarted(trial: Callable[[str], Trial]) -> None:
    """systemd restarts it after SIGKILL, SIGSEGV and, by the watchdog, SIGSTOP.

    No file and no other process is affected.  Its memory, which may hold the proxy's password, is
    not written to a core dump.
    """
    node = trial("watch")
    directory = node.root / "etc/systemd/system/eks-proxy-agent.service.d"
    directory.mkdir()
    (directory / "short.conf").write_text("[Service]\nWatchdogSec=4\nRestartSec=100ms\nTimeoutStopSec=5\n")
    agent = RunningAgent(node)
    pids = agent.pids()
    assert agent.running.run("systemctl", "show", "--property=LimitCORE", AGENT).strip() == "LimitCORE=0"
    stamp = agent.running.run("stat", "--format=%i %y", ENVIRONMENT, NODE_ENV)
    for number in ("KILL", "SEGV", "STOP"):
        agent_pid = agent.pid()
        agent.running.run("systemctl", "kill", "--kill-whom=main", "--signal=" + number, AGENT)
        agent.wait_for_another(agent_pid)
        assert agent.pids() == pids, number
        assert agent.running.run("stat", "--format=%i %y", ENVIRONMENT, NODE_ENV) == stamp, number
    assert "watchdog" in agent.running.run("journalctl", "--quiet", "--unit=" + AGENT).lower()
    agent.node.finish(agent.running)


def test_killed_worker_does_not_end_the_daemon(trial: Callable[[str], Trial]) -> None:
    """A cycle is a process of its own: if killed, the node is degraded until the next one."""
    agent = RunningAgent(trial("watch"))
    agent_pid = agent.pid()
    agent.running.run("sh", "-c", f"""
        while ! pkill --signal=KILL --parent {agent_pid}; do sleep 0.02; done""", timeout=60)  # fmt: skip
    agent.wait_for_event("node.degraded", "EKS_PROXY_ERROR=worker process killed by signal 9")
    (entry,) = agent.wait_for_event("pass.crashed", "PRIORITY=3")
    assert "by signal 9" in entry["MESSAGE"]
    agent.wait_for_status("another cycle", phase="configured", error=None)
    assert agent.pid() == agent_pid
    agent.node.finish(agent.running)


@pytest.mark.long
def test_clock_jumps_change_nothing(trial: Callable[[str], Trial]) -> None:
    """The agent's time of day jumps a year ahead and two back.

    Cycles are as frequent as before, the watchdog is pinged, and there is no drift.
    """
    node = trial("watch")
    run(["gcc", "-shared", "-fPIC", "-o", node.root / "usr/lib/clock.so", CLOCK])
    directory = node.root / "etc/systemd/system/eks-proxy-agent.service.d"
    directory.mkdir()
    (directory / "clock.conf").write_text("[Service]\nWatchdogSec=4\nEnvironment=LD_PRELOAD=/usr/lib/clock.so\n")
    agent = RunningAgent(node)
    pids, agent_pid, year = agent.pids(), agent.pid(), int(agent.status()["updated"][:4])
    for days in (365, -365):
        agent.running.run("sh", "-c", f"echo {days * 86400} > /etc/clock.new; mv /etc/clock.new /etc/clock-ahead")
        new_year = str(year + days // 365)
        wait_for("a cycle at the new time", lambda: agent.status()["next_pass"].startswith(new_year), limit=60)  # noqa: B023
        begin, planned = time.monotonic(), agent.status()["next_pass"]
        wait_for("another cycle", lambda: agent.status()["next_pass"] != planned, limit=60)  # noqa: B023
        assert time.monotonic() - begin > 5, "not early: the interval is ten seconds, less a tenth at most"
    assert (agent.pids(), agent.pid()) == (pids, agent_pid)
    assert agent.running.show(AGENT, "NRestarts") == "0"
    assert agent.events("drift.repaired") + agent.events("node.degraded") + agent.events("metadata.missing") == []
    node.finish(agent.running)


def test_last_good_values_are_kept_and_repaired_without_metadata(trial: Callable[[str], Trial]) -> None:
    """The node is degraded, which is logged once, and drift is still repaired.

    With metadata back the node recovers.
    """
    agent = RunningAgent(trial("watch"))
    before = agent.read()
    agent.node.stop_serving()
    agent.wait_for_status("the node to be degraded", phase="degraded")
    agent.running.run("sh", "-c", f"echo http_proxy=wrong > {ENVIRONMENT}")
    wait_for("the file to be repaired", lambda: agent.read().splitlines()[-6:] == before.splitlines()[-6:], limit=60)
    assert len(agent.events("node.degraded")) == 1
    assert agent.status()["stale_units"] == []
    agent.node.serve()
    agent.running.run("systemctl", "reload", AGENT)
    agent.wait_for_status("the node to be configured", phase="configured", error=None)
    agent.running.run("sh", "-c", "echo 'oops = 1' >> /etc/eks-proxy-agent/config.toml")
    assert "oops: unknown key" in str(agent.wait_for_status("wrong settings to be reported", phase="degraded")["error"])
    assert agent.read().splitlines()[-6:] == before.splitlines()[-6:]
    agent.running.run("sed", "-i", "/oops/d", "/etc/eks-proxy-agent/config.toml")
    agent.wait_for_status("corrected settings to take effect", phase="configured")
    agent.node.finish(agent.running)
