"""The daemon's life on a booted node: files that drift, an instance that changes, a daemon that is
killed.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from tests.boot.harness.bed import Trial
from tests.boot.harness.command import run
from tests.boot.harness.daemon import AGENT, ENVIRONMENT, Life
from tests.boot.harness.waiting import wait_for

NODE_ENV = "/etc/eks-proxy-agent/node.env"
CLOCK = Path(__file__).with_name("harness") / "clock.c"
DROP_INS = "/etc/systemd/system/docker.service.d"


def test_a_file_that_somebody_edits_comes_back_once(trial: Callable[[str], Trial]) -> None:
    """Within seconds, with one entry in the journal that says which file of which instance, and
    what was wrong with it.
    """
    life = Life(trial("watch"))
    before, pids, agent = life.read(), life.pids(), life.pid()
    life.running.run(
        "sh",
        "-c",
        f"sed -i s/proxy.example/http:..me:hunter2@other.example/ {ENVIRONMENT}; echo EDITOR=vi >> {ENVIRONMENT}",
    )
    (entry,) = life.wait_for_event("drift.repaired", "FILE=" + ENVIRONMENT)
    assert entry["INSTANCE_ID"] == life.status()["instance_id"]
    assert entry["REASON"] == "edited"
    assert entry["PRIORITY"] == "4"
    assert "other.example" in str(entry["EKS_PROXY_DIFF"])
    assert "hunter2" not in str(entry)
    wait_for("the status to tell", lambda: life.status()["repairs"] == {"total": 1, "fought": []})
    life.running.run("rm", "-r", DROP_INS)
    life.running.run("sh", "-c", f"echo x > {NODE_ENV}.new; mv {NODE_ENV}.new {NODE_ENV}")
    life.wait_for_event("drift.repaired", "REASON=missing", f"FILE={DROP_INS}/90-eks-proxy.conf")
    life.wait_for_event("drift.repaired", "FILE=" + NODE_ENV)
    wait_for("the status to tell", lambda: life.status()["repairs"]["total"] == 3)
    after = life.read()
    assert "EDITOR=vi\n" in after, "what is not ours stays"
    assert [line for line in after.splitlines() if line != "EDITOR=vi"] == before.splitlines()
    assert (life.pids(), life.pid()) == (pids, agent), "nothing was restarted"
    life.node.finish(life.running)


def test_a_file_that_is_fought_over_is_left_alone(trial: Callable[[str], Trial]) -> None:
    """Who changes it back each time wins after five repairs, loudly; a reload takes it up again."""
    life = Life(trial("watch"))
    life.running.run("sh", "-c", f"""cat > /run/fight <<'END'
while [ ! -e /run/peace ]; do grep -q wrong {ENVIRONMENT} || echo http_proxy=wrong > {ENVIRONMENT}; sleep 0.1; done
END
systemd-run --quiet --unit=fight sh /run/fight""")  # fmt: skip
    life.wait_for_event("drift.fought", "FILE=" + ENVIRONMENT, limit=80)
    assert len(life.events("drift.repaired", "FILE=" + ENVIRONMENT)) == 5
    wait_for("the status to tell", lambda: life.status()["repairs"]["fought"] == [ENVIRONMENT])
    assert "left alone: /etc/environment" in life.running.show(AGENT, "StatusText")
    life.running.run("sh", "-c", "touch /run/peace; systemctl stop fight; systemctl reload eks-proxy-agent")
    wait_for("the reload to put it right", lambda: "proxy.example" in life.read())
    assert len(life.events("drift.fought")) == 1
    life.node.finish(life.running)


def test_a_new_cidr_of_the_vpc_arrives_and_what_is_stale_is_told(trial: Callable[[str], Trial]) -> None:
    """The files have it at the next look, the daemons run on with the old list, and the journal and
    the status name them.
    """
    life = Life(trial("watch"))
    pids = life.pids()
    life.be(vpc_cidrs_v4=["10.0.0.0/16", "10.99.0.0/16", "100.64.0.0/16"])
    wait_for("the CIDR to arrive", lambda: "10.99.0.0/16" in life.read(), limit=45)
    units = ["containerd.service", "docker.service", "kubelet.service"]
    wait_for("the status to name the stale", lambda: sorted(life.status()["stale_units"]) == units)
    entries = life.wait_for_event("units.stale", "UNIT=docker.service")
    assert "restart needed: " in life.running.show(AGENT, "StatusText")
    looked = life.status()["updated"]
    wait_for("another look", lambda: life.status()["updated"] != looked)
    assert life.events("units.stale") == entries, "told once a change"
    assert life.pids() == pids, "watch.restart is never"
    life.running.run("systemctl", "restart", "docker", "containerd", "kubelet")
    wait_for("nothing to be stale", lambda: life.status()["stale_units"] == [])
    life.node.finish(life.running)


def test_docker_is_restarted_once_and_its_container_survives(trial: Callable[[str], Trial]) -> None:
    """With watch.restart = "changed" and live-restore docker comes back with the new list, once,
    and kubelet after it.
    """
    life = Life(trial("watch-restart"))
    life.running.run("sh", "-c", """
        for group in /sys/fs/cgroup/*; do mount -o remount,rw,bind $group || :; done
        tar -C / -c bin lib lib64 usr/lib64 usr/bin/sleep usr/lib/x86_64-linux-gnu/libc.so.6 usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 |
            docker import - sleeper
        docker run --detach --network=none --name=sleeper sleeper /bin/sleep 3600""")  # fmt: skip
    inspect = ["docker", "inspect", "--format={{.State.Pid}} {{.State.Running}}", "sleeper"]
    container, pids = life.running.run(*inspect), life.pids()
    assert container.endswith(" true\n")
    life.be(vpc_cidrs_v4=["10.0.0.0/16", "10.99.0.0/16", "100.64.0.0/16"])
    life.wait_for_event("unit.restarted", "UNIT=docker.service", limit=90)
    wait_for("nothing to be stale", lambda: life.status()["stale_units"] == [])
    order = [entry["UNIT"] for entry in life.events("unit.restarted")]
    assert order == ["containerd.service", "docker.service"], (
        "kubelet requires docker: systemd restarts it after docker"
    )
    after = life.pids()
    assert set(pids.values()).isdisjoint(after.values())
    assert life.running.run(*inspect) == container
    for unit in after:
        started = f"journalctl --quiet _PID=1 UNIT={unit}.service | grep -c 'Started {unit}'"
        assert life.running.run("sh", "-c", started).strip() == "2", "at boot, and once more"
    assert "10.99.0.0/16" in life.running.run("sh", "-c", f"tr '\\0' '\\n' < /proc/{after['docker']}/environ")
    looked = life.status()["updated"]
    wait_for("another look", lambda: life.status()["updated"] != looked)
    assert life.pids() == after
    life.running.run("docker", "rm", "--force", "sleeper")  # deaf to SIGTERM, it would hold up the power-off for 90 s
    life.node.finish(life.running)


def test_docker_without_live_restore_is_left_alone(trial: Callable[[str], Trial]) -> None:
    """Its containers would end with it, so it is not restarted, and that is said once."""
    node = trial("watch-restart")
    settings = node.root / "etc/docker/daemon.json"
    settings.write_text(settings.read_text().replace('"live-restore": true', '"live-restore": false'))
    life = Life(node)
    docker = life.pid("docker")
    life.be(vpc_cidrs_v4=["10.0.0.0/16", "10.99.0.0/16", "100.64.0.0/16"])
    life.wait_for_event("unit.restarted", "UNIT=kubelet.service", limit=90)
    wait_for("docker to be named", lambda: "docker.service" in life.status()["stale_units"])
    looked = life.status()["updated"]
    wait_for("another look", lambda: life.status()["updated"] != looked)
    (entry,) = life.events("unit.not_restarted", "UNIT=docker.service")
    assert "live-restore" in entry["REASON"]
    assert life.pid("docker") == docker
    life.node.finish(life.running)


def test_kubelet_is_left_alone_when_its_runtime_does_not_come_back(trial: Callable[[str], Trial]) -> None:
    """A docker that fails to restart is told of, tried once, and kubelet keeps what it has."""
    node = trial("watch-restart")
    unit = node.root / "etc/systemd/system/kubelet.service"
    unit.write_text(unit.read_text().replace("Requires=docker.service", ""))  # as on AL2023; else systemd stops it too
    life = Life(node)
    kubelet = life.pid("kubelet")
    life.running.run("sh", "-c", """
        mkdir /run/systemd/system/docker.service.d
        printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\nRestart=no\\n' > /run/systemd/system/docker.service.d/broken.conf
        systemctl daemon-reload""")  # fmt: skip
    life.be(vpc_cidrs_v4=["10.0.0.0/16", "10.99.0.0/16", "100.64.0.0/16"])
    (entry,) = life.wait_for_event("unit.not_restarted", "UNIT=kubelet.service", limit=90)
    assert "runtime" in entry["REASON"]
    (failed,) = life.events("unit.not_restarted", "UNIT=docker.service")
    assert "systemctl try-restart -- docker.service" in failed["REASON"]
    assert life.pid("kubelet") == kubelet
    wait_for("kubelet to be named", lambda: life.status()["stale_units"] == ["kubelet.service"])
    node.case = replace(node.case, active=("eks-proxy-agent", "containerd", "kubelet"), failed=("docker",))
    node.finish(life.running)


def test_a_daemon_that_dies_or_hangs_comes_back(trial: Callable[[str], Trial]) -> None:
    """SIGKILL, SIGSEGV and, by the watchdog, SIGSTOP: systemd starts it again, no file and no other
    process is touched.

    Nor is its memory, where the proxy's password may be, written to a core dump.
    """
    node = trial("watch")
    directory = node.root / "etc/systemd/system/eks-proxy-agent.service.d"
    directory.mkdir()
    (directory / "short.conf").write_text("[Service]\nWatchdogSec=4\nRestartSec=100ms\nTimeoutStopSec=5\n")
    life = Life(node)
    pids = life.pids()
    assert life.running.run("systemctl", "show", "--property=LimitCORE", AGENT).strip() == "LimitCORE=0"
    stamp = life.running.run("stat", "--format=%i %y", ENVIRONMENT, NODE_ENV)
    for number in ("KILL", "SEGV", "STOP"):
        agent = life.pid()
        life.running.run("systemctl", "kill", "--kill-whom=main", "--signal=" + number, AGENT)
        life.wait_for_another(agent)
        assert life.pids() == pids, number
        assert life.running.run("stat", "--format=%i %y", ENVIRONMENT, NODE_ENV) == stamp, number
    assert "watchdog" in life.running.run("journalctl", "--quiet", "--unit=" + AGENT).lower()
    life.node.finish(life.running)


def test_a_pass_that_dies_or_hangs_does_not_take_the_daemon_along(trial: Callable[[str], Trial]) -> None:
    """A pass is a process of its own: killed, it is told of and done again; the daemon's process
    stays.
    """
    life = Life(trial("watch"))
    agent = life.pid()
    life.running.run("sh", "-c", f"""
        while ! pkill --signal=SEGV --parent {agent}; do sleep 0.02; done""", timeout=60)  # fmt: skip
    (entry,) = life.wait_for_event("pass.crashed", "PRIORITY=3")
    assert "by signal 11" in entry["MESSAGE"]
    looked = life.status()["updated"]
    wait_for("another look", lambda: life.status()["updated"] != looked, limit=60)
    assert life.pid() == agent
    life.node.finish(life.running)


@pytest.mark.long
def test_a_clock_that_jumps_changes_nothing(trial: Callable[[str], Trial]) -> None:
    """The time of day goes a year ahead and two back for the agent: it looks as often as before,
    pings, and finds no drift.
    """
    node = trial("watch")
    run(["gcc", "-shared", "-fPIC", "-o", node.root / "usr/lib/clock.so", CLOCK])
    directory = node.root / "etc/systemd/system/eks-proxy-agent.service.d"
    directory.mkdir()
    (directory / "clock.conf").write_text("[Service]\nWatchdogSec=4\nEnvironment=LD_PRELOAD=/usr/lib/clock.so\n")
    life = Life(node)
    pids, agent, year = life.pids(), life.pid(), int(life.status()["updated"][:4])
    for days in (365, -365):
        life.running.run("sh", "-c", f"echo {days * 86400} > /etc/clock.new; mv /etc/clock.new /etc/clock-ahead")
        there = str(year + days // 365)
        wait_for("a look by the new time", lambda: life.status()["next_pass"].startswith(there), limit=60)  # noqa: B023
        seen, told = time.monotonic(), life.status()["next_pass"]
        wait_for("another look", lambda: life.status()["next_pass"] != told, limit=60)  # noqa: B023
        assert time.monotonic() - seen > 5, "not before its time, which is ten seconds or a tenth less"
    assert (life.pids(), life.pid()) == (pids, agent)
    assert life.running.show(AGENT, "NRestarts") == "0"
    assert life.events("drift.repaired") + life.events("node.degraded") + life.events("metadata.missing") == []
    node.finish(life.running)


def test_while_metadata_is_away_the_last_good_values_are_kept_and_guarded(trial: Callable[[str], Trial]) -> None:
    """The node is degraded and says so once; what drifts is mended all the same; when metadata is
    back, all is well.
    """
    life = Life(trial("watch"))
    before = life.read()
    life.node.stop_serving()
    life.wait_for_status("the node to be degraded", phase="degraded")
    life.running.run("sh", "-c", f"echo http_proxy=wrong > {ENVIRONMENT}")
    wait_for("the file to come back", lambda: life.read().splitlines()[-6:] == before.splitlines()[-6:], limit=60)
    assert len(life.events("node.degraded")) == 1
    assert life.status()["stale_units"] == []
    life.node.serve()
    life.running.run("systemctl", "reload", AGENT)
    life.wait_for_status("the node to be configured", phase="configured", error=None)
    life.running.run("sh", "-c", "echo 'oops = 1' >> /etc/eks-proxy-agent/config.toml")
    assert "oops: unknown key" in str(life.wait_for_status("broken settings to be told", phase="degraded")["error"])
    assert life.read().splitlines()[-6:] == before.splitlines()[-6:]
    life.running.run("sed", "-i", "/oops/d", "/etc/eks-proxy-agent/config.toml")
    life.wait_for_status("mended settings to be taken up", phase="configured")
    life.node.finish(life.running)
