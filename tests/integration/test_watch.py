"""The daemon after boot: what it detects, repairs and leaves alone."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import pytest

from agent.core.facts.instance import Facts
from agent.core.plan.baseline import FileState
from agent.core.plan.drift import REPAIRS, Memory
from agent.core.record import evolve
from agent.daemon import cycle as cycle_module
from agent.daemon import worker
from agent.daemon.daemon import Daemon
from agent.daemon.protocol import Message, NextRun, Status, WatchPaths, decode, encode
from agent.daemon.supervisor import Reason
from agent.demo.instance import Instance
from agent.demo.metadata_service import MetadataService
from agent.edges.files import FileSystem
from agent.edges.inotify import FileWatcher
from agent.edges.lock import held
from agent.edges.signals import watched
from agent.edges.state import LockedState
from agent.errors import FileError, NoRoomError
from agent.node import proxies
from agent.node import reconcile as reconcile_module
from agent.node.budget import Budget
from agent.node.host import host_of
from agent.node.reconcile import ReconcileResult, Trigger
from agent.node.sources import SettingsSources, StaticSettings
from tests.integration import moods
from tests.integration.command_line import PROXY, Node
from tests.integration.daemon import Start, configure, starter, status, wait_until
from tests.integration.moods import Mood, MoodyService

SETTINGS = "etc/eks-proxy-agent/config.toml"


@pytest.fixture
def service() -> Iterator[MoodyService]:
    """The metadata service of the nodes."""
    with MoodyService() as service:
        yield service


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node; `configure` writes its settings."""
    return Node(tmp_path)


@pytest.fixture
def start(node: Node) -> Iterator[Start]:
    """A function that starts daemons on the node; they are killed after the test."""
    with starter(node) as start:
        yield start


class Cycles:
    """Cycles of the daemon inside this process, one for each call; keeps the last messages."""

    def __init__(self, node: Node) -> None:
        self._host = host_of(argparse.Namespace(root=str(node.root)))
        self.messages: list[Message] = []

    def __call__(self, reason: Reason = Reason.TIME) -> int:
        """Run one cycle as the worker does, and return its exit code."""
        self.messages = []
        with watched() as signals:
            return worker._run(Daemon(self._host, SettingsSources(), self.messages.append, signals), reason)

    @property
    def next(self) -> float:
        """Seconds until the next cycle."""
        (seconds,) = [message.seconds for message in self.messages if isinstance(message, NextRun)]
        return seconds

    @property
    def watched(self) -> list[str]:
        """Files whose change starts a cycle."""
        return [path for message in self.messages if isinstance(message, WatchPaths) for path in message.paths]

    @property
    def status(self) -> str:
        """The status lines for `systemctl status`."""
        return "\n".join(message.text for message in self.messages if isinstance(message, Status))


# --- what is detected


def replaced(path: Path) -> None:
    """Replace a file, as editors do."""
    path.with_name("swap").write_text("http_proxy=http://me:hunter2@wrong:1\n")
    path.with_name("swap").rename(path)


@pytest.mark.parametrize("name", ["etc/environment", "etc/dnf/dnf.conf", "etc/eks-proxy-agent/node.env"])
@pytest.mark.parametrize("damage", [replaced, lambda path: path.write_text("x=1\n"), Path.unlink])
def test_drifted_file_is_repaired_soon(
    node: Node, service: MoodyService, start: Start, name: str, damage: Callable[[Path], object]
) -> None:
    """Whatever the kind of change, the file is repaired once.

    The log says what was wrong, without secrets.
    """
    configure(node, service.endpoint)
    daemon = start()
    daemon.wait_for("READY=1")
    wait_until("the daemon to watch its files", lambda: status(node).get("repairs"))
    time.sleep(0.2)  # status.json is written before the supervisor sets its watches
    damage(node.root / name)
    wait_until("the repair to be logged", lambda: "drift.repaired" in daemon.log.read_text())
    wait_until("the repair to be counted", lambda: status(node)["repairs"] == {"total": 1, "fought": []})
    assert PROXY in node.read(name)
    assert daemon.stop() == 0
    log = daemon.log.read_text()
    assert log.count("drift.repaired file=/" + name) == log.count("drift.repaired") == 1
    assert log.count("node.configured") == 1, "nothing else happened"
    assert "hunter2" not in log


def test_mode_and_owner_of_a_drop_in_are_drift(
    node: Node, service: MetadataService, capfd: pytest.CaptureFixture[str]
) -> None:
    """A user who may write a drop-in is root once the unit starts; a stricter mode stays."""
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    path = node.root / "etc/systemd/system/docker.service.d/zz-eks-proxy.conf"
    content = path.read_bytes()
    path.chmod(0o666)
    assert "/zz-eks-proxy.conf: mode becomes 0644\n" in node.main("plan", facts=False).out
    cycle(Reason.FILES)
    assert (path.stat().st_mode & 0o7777, path.read_bytes()) == (0o644, content)
    assert 'file=/etc/systemd/system/docker.service.d/zz-eks-proxy.conf reason=edited diff="mode becomes 0644"' in (
        capfd.readouterr().err
    )
    assert status(node)["repairs"]["total"] == 1
    path.chmod(0o640)
    cycle(Reason.FILES)
    assert path.stat().st_mode & 0o7777 == 0o640


@pytest.mark.needs_root("chown(2)")
@pytest.mark.parametrize(
    "name", ["etc/systemd/system/docker.service.d/zz-eks-proxy.conf", "etc/eks-proxy-agent/node.env"]
)
def test_owner_of_a_file_of_the_agent_is_drift(
    node: Node, service: MetadataService, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    """Its owner could read the credentials, or write what root runs."""
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    path = node.root / name
    mode = path.stat().st_mode & 0o7777
    os.chown(path, 77, 88)
    cycle(Reason.FILES)
    assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o7777) == (0, 0, mode)
    assert f'file=/{name} reason=edited diff="mode becomes {mode:04o}, owner root"' in capfd.readouterr().err
    os.chown(node.root / "etc/environment", 77, 88)
    cycle(Reason.FILES)
    assert (node.root / "etc/environment").stat().st_uid == 77


def test_edited_settings_take_effect_without_a_reload(node: Node, service: MoodyService, start: Start) -> None:
    """Wrong settings degrade the node and leave its files; corrected settings recover it."""
    configure(node, service.endpoint, proxy="")
    daemon = start()
    daemon.wait_for("READY=1")
    wait_until("the daemon to watch its files", lambda: status(node).get("repairs"))
    time.sleep(0.2)
    configure(node, service.endpoint)
    daemon.wait_for(f"STATUS=configured: {PROXY}, ")
    configure(node, service.endpoint, proxy="http://other.corp:8080")
    daemon.wait_for("STATUS=configured: http://other.corp:8080, ")
    configure(node, service.endpoint, "oops = 1", proxy="http://third.corp:8080")
    assert "the last good values stay" in daemon.wait_for("STATUS=degraded")
    assert node.variables()["http_proxy"] == "http://other.corp:8080"
    assert "oops: unknown key" in str(status(node)["error"])
    configure(node, service.endpoint, proxy="http://third.corp:8080")
    daemon.wait_for("STATUS=configured: http://third.corp:8080, ")
    node.settings('[proxy]\nno_proxy = ["nexus.corp"]\n', "config.d/10-more.toml")
    wait_until("config.d to be read", lambda: "nexus.corp" in node.no_proxy())
    assert daemon.stop() == 0
    log = daemon.log.read_text()
    assert "drift" not in log, "what the operator sets is not drift"
    assert log.count("node.degraded") == 1


def test_rotated_credentials_take_effect(node: Node, service: MoodyService, start: Start) -> None:
    """A rotated password appears in node.env without a reload, and nowhere else."""
    node.write("etc/proxy.pass", b"me:first\n", 0o600)
    configure(node, service.endpoint, 'credentials_file = "/etc/proxy.pass"')
    daemon = start()
    daemon.wait_for("READY=1")
    wait_until("the daemon to watch its files", lambda: status(node).get("repairs"))
    time.sleep(0.2)
    node.write("etc/proxy.new", b"me:second\n", 0o600).rename(node.root / "etc/proxy.pass")
    wait_until("the new password", lambda: "me:second@" in node.read("etc/eks-proxy-agent/node.env"))
    assert daemon.stop() == 0
    assert "drift" not in daemon.log.read_text()
    assert "second" not in daemon.log.read_text() + "".join(daemon.notifications) + json.dumps(status(node))


@pytest.mark.parametrize("name", ["config.toml", "credentials"])
def test_targets_of_links_are_watched(node: Node, service: MoodyService, start: Start, name: str) -> None:
    """Configuration management and secret stores keep files elsewhere; edits there take effect."""
    node.write("etc/eks-proxy-agent/credentials", b"user:first\n")
    (node.root / "etc/eks-proxy-agent/credentials").chmod(0o600)
    configure(node, service.endpoint, 'credentials_file = "/etc/eks-proxy-agent/credentials"')
    link, file = node.root / "etc/eks-proxy-agent" / name, node.root / "opt/elsewhere" / name
    file.parent.mkdir(parents=True)
    link.rename(file)
    link.symlink_to("/opt/elsewhere/" + name)
    daemon = start()
    daemon.wait_for("READY=1")
    wait_until("the daemon to watch its files", lambda: status(node).get("repairs"))
    time.sleep(0.2)
    file.write_text(file.read_text().replace("first", "second").replace(PROXY, "http://other.corp:8080"))
    url = "http://user:second@proxy.corp" if name == "credentials" else "http://user:first@other.corp:8080"
    wait_until("the edit to take effect", lambda: url in node.read("etc/eks-proxy-agent/node.env"))
    assert daemon.stop() == 0


def test_removed_credentials_are_watched(node: Node, service: MoodyService) -> None:
    """A rotation may remove the file first; the degraded node watches for its return."""
    node.write("etc/eks-proxy-agent/credentials", b"user:first\n")
    (node.root / "etc/eks-proxy-agent/credentials").chmod(0o600)
    configure(node, service.endpoint, 'credentials_file = "/etc/eks-proxy-agent/credentials"')
    cycle = Cycles(node)
    cycle()
    (node.root / "etc/eks-proxy-agent/credentials").unlink()
    cycle(Reason.FILES)
    assert status(node)["phase"] == "degraded"
    assert str(node.root / "etc/eks-proxy-agent/credentials") in cycle.watched


def test_locked_cycle_is_postponed(node: Node, service: MoodyService, start: Start) -> None:
    """A cycle that finds the lock held by a long apply is repeated after it.

    The node is not degraded, and no crash is logged.
    """
    configure(node, service.endpoint)
    daemon = start()
    daemon.wait_for("READY=1")
    wait_until("the daemon to watch its files", lambda: status(node).get("repairs"))
    time.sleep(0.2)
    with held(FileSystem(str(node.root))):
        (node.root / "etc/environment").write_text("x=1\n")
        wait_until("the cycle to be postponed", lambda: "pass.postponed" in daemon.log.read_text())
    wait_until("the repair", lambda: node.variables().get("http_proxy") == PROXY)
    assert daemon.stop() == 0
    assert "crashed" not in daemon.log.read_text()
    assert "degraded" not in daemon.log.read_text()


def test_killed_worker_of_a_cycle_degrades_the_node(node: Node, service: MoodyService, start: Start) -> None:
    """The daemon stays; status and metrics tell of the crash until the next cycle succeeds."""
    (node.root / "var/lib/node_exporter").mkdir(parents=True)
    metrics = "var/lib/node_exporter/eks_proxy_agent.prom"
    configure(node, service.endpoint)
    daemon = start()
    daemon.wait_for("READY=1")
    wait_until("the daemon to watch its files", lambda: status(node).get("repairs"))
    variables = node.variables()
    service.moods.append(Mood(moods.hang, times=1))
    daemon.send_signal(signal.SIGHUP)
    daemon.wait_for("RELOADING=1")
    daemon.kill_worker()
    assert daemon.wait_for("STATUS=degraded") == "STATUS=degraded: worker process killed by signal 9"
    daemon.wait_for("READY=1")
    assert "; the last good values stay in place" in daemon.wait_for("STATUS=degraded: worker process killed")
    wait_until("the metrics", lambda: 'eks_proxy_agent_phase{phase="degraded"} 1' in node.read(metrics))
    assert (status(node)["phase"], status(node)["error"]) == ("degraded", "worker process killed by signal 9")
    assert node.variables() == variables
    assert 'pass.crashed reason=reload ended="by signal 9"' in daemon.log.read_text()
    assert 'eks_proxy_agent_failures_total{category="crash"} 1' in node.read(metrics)
    daemon.wait_for("STATUS=configured")
    wait_until("the metrics", lambda: 'eks_proxy_agent_phase{phase="configured"} 1' in node.read(metrics))
    assert (status(node)["phase"], status(node)["error"]) == ("configured", None)
    assert daemon.stop() == 0


@pytest.mark.parametrize("step", [(cycle_module, "reconcile_once"), (cycle_module, "_check_units")])
def test_any_exception_of_a_cycle_is_a_degraded_node(
    node: Node,
    service: MoodyService,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    step: tuple[ModuleType, str],
) -> None:
    """A bug degrades the node, with its type, text and origin; the next cycle is a retry."""
    (node.root / "var/lib/node_exporter").mkdir(parents=True)
    metrics = "var/lib/node_exporter/eks_proxy_agent.prom"
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()

    def fail(*arguments: object) -> None:
        raise KeyError("x")

    with monkeypatch.context() as patched:
        patched.setattr(*step, fail)
        assert cycle() == 0
    assert (status(node)["phase"], status(node)["error"]) == ("degraded", "KeyError: 'x'")
    assert 'eks_proxy_agent_phase{phase="degraded"} 1' in node.read(metrics)
    assert cycle.status.splitlines()[-1] == "degraded: KeyError: 'x'; the last good values stay in place"
    assert cycle.next < 5
    assert str(node.root / "etc/environment") in cycle.watched
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "node.degraded" in line]
    assert "please report it: test_watch.py:" in line
    cycle()
    assert (status(node)["phase"], status(node)["error"]) == ("configured", None)
    assert 'eks_proxy_agent_phase{phase="configured"} 1' in node.read(metrics)


# --- what is left alone


def test_contested_file_is_left_alone_until_reload(
    node: Node, service: MoodyService, capfd: pytest.CaptureFixture[str]
) -> None:
    """After REPAIRS repairs, changes of the file start no cycle; other files are still repaired.

    A reload repairs it again.
    """
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    path = str(node.root / "etc/environment")
    assert path in cycle.watched
    for number in range(REPAIRS + 3):
        assert status(node)["repairs"] == {
            "total": min(number, REPAIRS),
            "fought": ["/etc/environment"] * (number >= REPAIRS),
        }
        node.write("etc/environment", b"http_proxy=wrong\n")
        cycle(Reason.FILES)
    assert node.read("etc/environment") == "http_proxy=wrong\n"
    assert path not in cycle.watched
    assert "contested, left alone: /etc/environment" in cycle.status
    node.write("etc/dnf/dnf.conf", b"[main]\n")
    cycle()
    assert PROXY in node.read("etc/dnf/dnf.conf")
    log = capfd.readouterr().err
    assert log.count("drift.repaired file=/etc/environment") == REPAIRS
    assert log.count("drift.fought file=/etc/environment") == 1
    cycle(Reason.RELOAD)
    assert node.variables()["http_proxy"] == PROXY
    assert status(node)["repairs"] == {"total": REPAIRS + 2, "fought": []}
    assert path in cycle.watched


def test_apply_is_not_drift_and_repairs_contested_files(
    node: Node, service: MoodyService, capfd: pytest.CaptureFixture[str]
) -> None:
    """What an operator applies is desired.

    The next cycle reverts `apply --once`, which is not drift either.
    """
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    capfd.readouterr()
    assert node.main("apply --proxy http://flags.corp:1", facts=False).code == 0
    cycle()
    assert node.variables()["http_proxy"] == "http://flags.corp:1"
    assert node.main("apply --once --proxy http://once.corp:1", facts=False).code == 0
    cycle()
    assert node.variables()["http_proxy"] == "http://flags.corp:1"
    assert "drift" not in capfd.readouterr().err
    for _ in range(REPAIRS):
        node.write("etc/environment", b"http_proxy=wrong\n")
        cycle(Reason.FILES)
    assert status(node)["repairs"] == {"total": REPAIRS, "fought": ["/etc/environment"]}
    assert node.main("apply", facts=False).code == 0
    cycle()
    assert status(node)["repairs"] == {"total": REPAIRS, "fought": []}


def test_repair_is_logged_although_memory_cannot_be_saved(
    node: Node, service: MoodyService, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With a full /run the file is repaired nevertheless, and the change is logged."""
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    (node.root / "etc/environment").write_text("x=1\n")

    def full(state: LockedState, memory: Memory) -> None:
        if memory != state.memory():
            raise FileError("/run/eks-proxy-agent/watch.json: cannot be written: No space left on device")

    monkeypatch.setattr(LockedState, "save_memory", full)
    cycle(Reason.FILES)
    assert node.variables()["http_proxy"] == PROXY
    assert "drift.repaired file=/etc/environment" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("reason", "trigger"),
    [
        (Reason.TIME, Trigger.DAEMON_CYCLE),
        (Reason.FILES, Trigger.DAEMON_CYCLE),
        (Reason.RELOAD, Trigger.DAEMON_BOOT),
        (Reason.RETRY, Trigger.DAEMON_BOOT),
    ],
)
def test_retry_does_all_that_a_boot_does(
    node: Node, service: MoodyService, monkeypatch: pytest.MonkeyPatch, reason: Reason, trigger: Trigger
) -> None:
    """The worker that was killed may have been the one that had to enable docker."""
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    triggers: list[Trigger] = []
    reconcile_once = cycle_module.reconcile_once

    def recording(daemon: Daemon, static: StaticSettings, facts: Facts, trigger: Trigger) -> ReconcileResult:
        triggers.append(trigger)
        return reconcile_once(daemon, static, facts, trigger)

    monkeypatch.setattr(cycle_module, "reconcile_once", recording)
    cycle(reason)
    assert triggers == [trigger]


def test_run_directory_without_room_is_not_degraded(
    node: Node, service: MoodyService, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Drift is repaired; the journal names what could not be saved, and no old status misleads."""
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    (node.root / "etc/environment").write_text("x=1\n")
    write = FileSystem.write

    def full(files: FileSystem, path: str, *arguments: Any) -> None:
        if path.startswith("/run/"):
            raise NoRoomError(f"{path}: cannot be written: No space left on device")
        write(files, path, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(FileSystem, "write", full)
        cycle(Reason.FILES)
    assert node.variables()["http_proxy"] == PROXY
    assert cycle.status.startswith(f"configured: {PROXY}, ")
    assert not (node.root / "run/eks-proxy-agent/status.json").exists()
    log = capfd.readouterr().err
    assert log.count("state.not_saved file=/run/eks-proxy-agent/status.json") == 1
    assert "node.degraded" not in log
    cycle()
    assert status(node)["phase"] == "configured"


def test_plan_is_not_drift_and_does_not_change_memory(node: Node, service: MoodyService) -> None:
    """`plan` changes nothing."""
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    memory = node.read("run/eks-proxy-agent/watch.json")
    assert node.main("plan --proxy http://other.corp:1", facts=False).code == 3
    assert node.read("run/eks-proxy-agent/watch.json") == memory


def test_lines_of_others_are_not_drift(node: Node, service: MoodyService, capfd: pytest.CaptureFixture[str]) -> None:
    """Lines that an administrator adds stay, cause no change, and are there after `revert`."""
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    capfd.readouterr()
    ours = node.read("etc/environment")
    node.write("etc/environment", ("PAGER=less\n" + ours).encode())
    cycle(Reason.FILES)
    assert node.read("etc/environment") == "PAGER=less\n" + ours
    assert capfd.readouterr().err == ""
    node.write("etc/environment", b"PAGER=less\nhttp_proxy=wrong\n")
    cycle(Reason.FILES)
    assert node.main("revert").code == 0
    assert node.read("etc/environment") == "PAGER=less\n"


# --- metadata


def test_cidr_missing_from_metadata_is_kept_for_a_while(
    node: Node, service: MoodyService, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A CIDR that is missing once stays, and one that is missing for longer goes.

    A new one counts immediately.
    """
    now = [1000.0]
    monkeypatch.setattr(reconcile_module.time, "monotonic", lambda: now[0])
    configure(node, service.endpoint)
    cidrs = ("10.0.0.0/16", "10.1.0.0/16")
    service.instance = Instance(vpc_cidrs_v4=cidrs)
    cycle = Cycles(node)

    def no_proxy_after(*cidrs: str) -> list[str]:
        service.instance = Instance(vpc_cidrs_v4=cidrs)
        now[0] += 400
        cycle()
        return [entry for entry in node.no_proxy() if entry.startswith("10.")]

    cycle()
    assert no_proxy_after("10.1.0.0/16") == list(cidrs)
    assert no_proxy_after(*cidrs) == list(cidrs)
    assert no_proxy_after("10.1.0.0/16") == list(cidrs)
    assert no_proxy_after("10.1.0.0/16", "10.2.0.0/16") == [*cidrs, "10.2.0.0/16"]
    capfd.readouterr()
    assert no_proxy_after("10.1.0.0/16", "10.2.0.0/16") == ["10.1.0.0/16", "10.2.0.0/16"]
    assert "metadata.missing" not in capfd.readouterr().err


def test_metadata_is_requested_in_every_third_cycle(
    node: Node, service: MoodyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The libraries for it take most of a cycle's CPU; a reload and a retry always request it."""
    configure(node, service.endpoint)
    requested: list[bool] = []
    request_facts = cycle_module.request_facts

    def counted(daemon: Daemon, static: StaticSettings, budget: Budget) -> Facts:
        requested[-1] = True
        return request_facts(daemon, static, budget)

    monkeypatch.setattr(cycle_module, "request_facts", counted)
    cycle = Cycles(node)
    reasons = [
        Reason.TIME,
        Reason.TIME,
        Reason.FILES,
        Reason.TIME,
        Reason.TIME,
        Reason.RELOAD,
        Reason.TIME,
        Reason.RETRY,
    ]
    for reason in reasons:
        requested.append(False)
        cycle(reason)
        assert status(node)["phase"] == "configured"
    assert requested == [True, False, False, True, False, True, False, True]
    service.instance = evolve(service.instance, vpc_cidrs_v4=("10.9.0.0/16",))
    for _ in range(3):
        cycle()
    assert "10.9.0.0/16" in node.no_proxy()
    cycle()
    assert status(node)["phase"] == "configured"


def test_invalid_metadata_changes_nothing(node: Node, service: MoodyService) -> None:
    """Invalid metadata degrades one cycle, and the last good values stay; the next one succeeds."""
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    stamps = node.stamps()
    service.moods.append(Mood(moods.answer(b"<html>captive portal</html>"), "/vpc-ipv4-cidr-blocks"))
    cycle(Reason.RELOAD)
    assert (status(node)["phase"], node.stamps()) == ("degraded", stamps)
    assert "is not a CIDR" in str(status(node)["error"])
    assert cycle.next < 5
    cycle()
    assert (status(node)["phase"], status(node)["error"]) == ("configured", None)
    assert cycle.next > 500


def test_drift_is_repaired_while_metadata_is_unreachable(
    node: Node, service: MoodyService, capfd: pytest.CaptureFixture[str]
) -> None:
    """New settings take effect too, the error is logged once, and the delays grow."""
    configure(node, service.endpoint, deadline=1.0)
    cycle = Cycles(node)
    cycle()
    capfd.readouterr()
    service.moods.append(Mood(moods.status(503), times=10**6))
    delays = []
    for proxy in (PROXY, PROXY, "http://other.corp:8080"):
        configure(node, service.endpoint, proxy=proxy, deadline=1.0)
        node.write("etc/environment", b"http_proxy=wrong\n")
        cycle(Reason.TIME if delays else Reason.RELOAD)
        delays.append(cycle.next)
        assert node.variables()["http_proxy"] == proxy
        assert "10.42.0.0/16" in node.no_proxy()
        assert status(node)["phase"] == "degraded"
    assert delays == sorted(delays)
    log = capfd.readouterr().err
    assert log.count("node.degraded") == 1
    assert log.count("drift.repaired") == 2
    service.moods.clear()
    cycle()
    assert status(node)["phase"] == "configured"


def test_metrics_directory_stays_with_wrong_settings(node: Node, service: MetadataService) -> None:
    """The metrics stay in the operator's directory, and report the node as degraded."""
    directory = node.root / "srv/metrics"
    directory.mkdir(parents=True)
    (node.root / "var/lib/node_exporter").mkdir()
    configure(node, service.endpoint, '[watch]\nmetrics = "/srv/metrics"')
    cycle = Cycles(node)
    cycle()
    configure(node, service.endpoint, "oops = 1")
    cycle(Reason.FILES)
    assert 'phase{phase="degraded"} 1' in (directory / "eks_proxy_agent.prom").read_text()
    assert list((node.root / "var/lib/node_exporter").iterdir()) == []


def test_removed_proxies_are_not_reported(node: Node, service: MetadataService) -> None:
    """A node without a proxy reports no proxy that is down, neither in `status` nor in metrics."""
    (node.root / "var/lib/node_exporter").mkdir(parents=True)
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    down = {"url": PROXY, "up": False, "latency_seconds": None, "chosen": True, "since": None, "text": "refused"}
    found = {"proxies": [down], "preflight": {"ok": False, "kind": "refused", "text": "refused", "hint": ""}}
    node.write("run/eks-proxy-agent/status.json", json.dumps({**status(node), **found}).encode())
    cycle()
    assert status(node)["proxies"] == [down]
    configure(node, service.endpoint, proxy="")
    cycle(Reason.FILES)
    assert "No proxy is up" not in node.main("status").out
    metrics = (node.root / "var/lib/node_exporter/eks_proxy_agent.prom").read_text()
    assert "proxy_up" not in metrics
    assert "preflight" not in metrics


def test_stale_units_stay_while_settings_are_wrong(node: Node, service: MetadataService) -> None:
    """With wrong settings no cycle searches for stale units, so the status keeps the known ones."""
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    node.write(
        "run/eks-proxy-agent/status.json", json.dumps({**status(node), "stale_units": ["docker.service"]}).encode()
    )
    configure(node, service.endpoint, "oops = 1")
    cycle(Reason.FILES)
    assert (status(node)["phase"], status(node)["stale_units"]) == ("degraded", ["docker.service"])
    configure(node, service.endpoint)
    cycle(Reason.FILES)
    assert (status(node)["phase"], status(node)["stale_units"]) == ("configured", [])


def test_a_daemon_that_starts_examines_the_units(node: Node, service: MetadataService, start: Start) -> None:
    """What an earlier daemon saw may be over."""
    configure(node, service.endpoint)
    path = node.root / "run/eks-proxy-agent/status.json"
    for before, after in (({}, []), ({"stale_units": ["docker.service"]}, [])):
        if before:
            path.write_text(json.dumps({**status(node), **before, "next_pass": None}))
        daemon = start()
        daemon.wait_for("READY=1")
        wait_until("the daemon to watch its files", lambda: status(node).get("next_pass"))
        assert status(node)["stale_units"] == after
        assert daemon.stop() == 0


def test_link_to_a_name_of_any_bytes_is_watched(node: Node, service: MetadataService) -> None:
    """A line feed or a byte that is not UTF-8 reaches the supervisor unchanged.

    So does the change of that file.
    """
    configure(node, service.endpoint)
    cycle = Cycles(node)
    for target in (b"a\nNEXT=1", b"\xff"):
        (node.root / "etc/environment").unlink(missing_ok=True)
        os.symlink(target, os.fsencode(node.root / "etc/environment"))
        cycle()
        path = node.root / "etc" / os.fsdecode(target)
        message = decode(encode(WatchPaths(tuple(cycle.watched))))
        assert isinstance(message, WatchPaths)
        assert str(path) in message.paths
        with contextlib.closing(FileWatcher()) as watcher:
            watcher.watch(message.paths)
            assert not watcher.changed()
            path.write_text("edited=1\n")
            assert watcher.changed()


def test_failed_switch_of_the_proxy_degrades_the_node(
    node: Node, service: MetadataService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another proxy is chosen while a file cannot be written.

    That is reported immediately, and tried again soon.
    """
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()

    def check(*_: object) -> proxies.ProxyCheck:
        (node.root / "etc/environment").unlink()
        (node.root / "etc/environment").mkdir()
        return proxies.ProxyCheck(True, 600)

    with monkeypatch.context() as patched:
        patched.setattr(proxies, "check", check)
        cycle()
    assert (status(node)["phase"], cycle.next < 10) == ("degraded", True)
    assert any(line.startswith("degraded") and "/etc/environment" in line for line in cycle.status.splitlines())
    (node.root / "etc/environment").rmdir()
    cycle()
    assert status(node)["phase"] == "configured"


def test_corrupt_memory_is_replaced(node: Node, service: MetadataService) -> None:
    """No content of it is worth a failure."""
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    for text in ("", "[]", "{", '{"wishes": 1}'):
        node.write("run/eks-proxy-agent/watch.json", text.encode())
        cycle()
        assert status(node)["phase"] == "configured"


def test_unreadable_memory_is_degraded_and_stays(
    node: Node, service: MetadataService, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An I/O error is not an empty memory: saving one would forget repairs and contested files."""
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    (node.root / "etc/environment").write_text("x=1\n")
    cycle(Reason.FILES)
    memory = node.read("run/eks-proxy-agent/watch.json")
    state = FileSystem.state

    def fails(files: FileSystem, path: str, *arguments: int) -> FileState:
        if path.endswith("/watch.json"):
            return FileState(problem="cannot be read: Input/output error")
        return state(files, path, *arguments)

    for reason in (Reason.TIME, Reason.RELOAD):
        with monkeypatch.context() as patched:
            patched.setattr(FileSystem, "state", fails)
            cycle(reason)
        assert node.read("run/eks-proxy-agent/watch.json") == memory
        assert (status(node)["phase"], cycle.next < 10) == ("degraded", True)
        assert status(node)["error"] == "/run/eks-proxy-agent/watch.json: cannot be read: Input/output error"
    assert "Traceback" not in capfd.readouterr().err
    cycle()
    assert status(node)["phase"] == "configured"
    assert status(node)["repairs"]["total"] == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": 2}', '{"schema": 1, "metrics": 7}', '{"schema": 1, "proxies": 7}']
)
@pytest.mark.parametrize("name", ["run/eks-proxy-agent/status.json", "facts", "direct", "restarts"])
def test_corrupt_state_that_can_be_rebuilt_does_not_degrade(
    node: Node, service: MoodyService, name: str, text: str
) -> None:
    """A corrupt file, or one of another version, is rewritten if it holds no operator's input."""
    (node.root / "var/lib/node_exporter").mkdir(parents=True)
    configure(node, service.endpoint, '[watch]\nrestart = "changed"')
    cycle = Cycles(node)
    cycle()
    (instance,) = (node.root / "var/lib/eks-proxy-agent/instances").iterdir()
    path = name if "/" in name else str((instance / (name + ".json")).relative_to(node.root))
    node.write(path, text.encode())
    for _ in range(2):
        cycle()
        assert status(node)["phase"] == "configured"
    assert node.main("revert").code == 0
    assert not instance.exists()


@pytest.mark.parametrize("name", ["etc/environment", "etc/yum.conf"])
def test_loop_of_links_is_a_problem_of_one_file(node: Node, service: MoodyService, name: str) -> None:
    """The cycle reports it and completes, with the loop among the watched files.

    Without the loop the node recovers.
    """
    configure(node, service.endpoint)
    cycle = Cycles(node)
    cycle()
    before = os.readlink(node.root / name) if name == "etc/yum.conf" else None
    (node.root / name).unlink()
    (node.root / name).symlink_to(Path(name).name)
    cycle()
    assert "too many levels of symbolic links" in str(status(node)["error"])
    assert str(node.root / name) in cycle.watched
    (node.root / name).unlink()
    if before:
        (node.root / name).symlink_to(before)
    cycle()
    assert status(node)["phase"] == "configured"


def test_status_has_the_time_of_the_next_cycle(node: Node, service: MetadataService) -> None:
    """It has jitter around watch.interval, so that nodes of a group do not act together."""
    configure(node, service.endpoint, "[watch]\ninterval = 100")
    cycle = Cycles(node)
    delays: list[float | None] = []
    for _ in range(10):
        cycle()
        delays.append(cycle.next)
    assert all(delay and 90 <= delay <= 110 for delay in delays)
    assert len(set(delays)) > 1
    assert str(status(node)["next_pass"]) > str(status(node)["updated"])
