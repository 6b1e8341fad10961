"""The daemon after boot: what it sees, what it puts right, and what it leaves alone."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from agent import journal
from agent.core.plan.drift import REPAIRS, Memory
from agent.daemon.boot import Daemon
from agent.daemon.cycle import run_cycle
from agent.daemon.protocol import Busy, Message, NextRun, Ready, Status, WatchPaths, decode, encode
from agent.daemon.supervisor import Reason, Supervisor
from agent.demo.instance import Instance
from agent.demo.metadata_service import MetadataService
from agent.edges.child import SILENCE, ForkError, HandleLine
from agent.edges.files import FileSystem
from agent.edges.inotify import FileWatcher
from agent.edges.lock import held
from agent.edges.signals import watched
from agent.edges.state import LockedState
from agent.errors import FileError
from agent.node import proxies
from agent.node import reconcile as configuring
from agent.node.host import host_of
from agent.node.sources import SettingsSources
from tests.integration import moods
from tests.integration.command_line import PROXY, Node
from tests.integration.daemon import PATIENCE, Start, configure, starter, status
from tests.integration.moods import Mood, MoodyService

SETTINGS = "etc/eks-proxy-agent/config.toml"


@pytest.fixture
def service() -> Iterator[MoodyService]:
    """The metadata service of these nodes."""
    with MoodyService() as service:
        yield service


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node; `configure` gives it settings."""
    return Node(tmp_path)


@pytest.fixture
def start(node: Node) -> Iterator[Start]:
    """Starts daemons on the node; they are gone after the test."""
    with starter(node) as start:
        yield start


def until(what: str, condition: Callable[[], object]) -> None:
    """Wait, with a limit that is no measurement."""
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, what
        time.sleep(0.02)


class Turns:
    """Turns of the daemon inside this process, one when asked; what it said last."""

    def __init__(self, node: Node) -> None:
        self._machine = host_of(argparse.Namespace(root=str(node.root)))
        self.said: list[Message] = []

    def __call__(self, reason: Reason = Reason.TIME) -> None:
        self.said = []
        with watched() as signals:
            run_cycle(Daemon(self._machine, SettingsSources(), self.said.append, signals), reason)

    @property
    def next(self) -> float:
        """Seconds until the next one."""
        (seconds,) = [message.seconds for message in self.said if isinstance(message, NextRun)]
        return seconds

    @property
    def watched(self) -> list[str]:
        """The files of which a change is worth a turn."""
        return [path for message in self.said if isinstance(message, WatchPaths) for path in message.paths]

    @property
    def status(self) -> str:
        """What `systemctl status` shows."""
        return "\n".join(message.text for message in self.said if isinstance(message, Status))


# --- what is seen
# -----------------------------------------------------------------------------------------------------


def replaced(path: Path) -> None:
    """As editors do."""
    path.with_name("swap").write_text("http_proxy=http://me:hunter2@wrong:1\n")
    path.with_name("swap").rename(path)


@pytest.mark.parametrize("name", ["etc/environment", "etc/dnf/dnf.conf", "etc/eks-proxy-agent/node.env"])
@pytest.mark.parametrize("spoil", [replaced, lambda path: path.write_text("x=1\n"), Path.unlink])
def test_a_file_that_drifts_is_put_right_at_once(
    node: Node, service: MoodyService, start: Start, name: str, spoil: Callable[[Path], object]
) -> None:
    """However it was changed, it comes back by itself, once, and the log says what was wrong,
    without secrets.
    """
    configure(node, service.endpoint)
    daemon = start()
    daemon.hear("READY=1")
    until("the watch to begin", lambda: status(node).get("repairs"))
    time.sleep(0.2)  # it is written before the list of files is taken in
    spoil(node.root / name)
    until("the repair to be told", lambda: "drift.repaired" in daemon.log.read_text())
    until("the repair to be counted", lambda: status(node)["repairs"] == {"total": 1, "fought": []})
    assert PROXY in node.read(name)
    assert daemon.stop() == 0
    log = daemon.log.read_text()
    assert log.count("drift.repaired file=/" + name) == log.count("drift.repaired") == 1
    assert log.count("node.configured") == 1, "nothing else has happened"
    assert "hunter2" not in log


def test_settings_are_taken_up_when_they_are_edited(node: Node, service: MoodyService, start: Start) -> None:
    """Without a reload; wrong ones degrade the node and leave its files, right ones make it well
    again.
    """
    configure(node, service.endpoint, proxy="")
    daemon = start()
    daemon.hear("READY=1")
    until("the watch to begin", lambda: status(node).get("repairs"))
    time.sleep(0.2)
    configure(node, service.endpoint)
    daemon.hear(f"STATUS=configured: {PROXY}, ")
    configure(node, service.endpoint, proxy="http://other.corp:8080")
    daemon.hear("STATUS=configured: http://other.corp:8080, ")
    configure(node, service.endpoint, "oops = 1", proxy="http://third.corp:8080")
    assert "the last good values stay" in daemon.hear("STATUS=degraded")
    assert node.variables()["http_proxy"] == "http://other.corp:8080"
    assert "oops: unknown key" in str(status(node)["error"])
    configure(node, service.endpoint, proxy="http://third.corp:8080")
    daemon.hear("STATUS=configured: http://third.corp:8080, ")
    node.settings('[proxy]\nno_proxy = ["nexus.corp"]\n', "config.d/10-more.toml")
    until("config.d to be read", lambda: "nexus.corp" in node.no_proxy())
    assert daemon.stop() == 0
    log = daemon.log.read_text()
    assert "drift" not in log, "what the owner asks for is no drift"
    assert log.count("node.degraded") == 1


def test_credentials_and_their_file_are_followed(node: Node, service: MoodyService, start: Start) -> None:
    """A rotated password is in node.env by itself, and nowhere else."""
    node.write("etc/proxy.pass", b"me:first\n", 0o600)
    configure(node, service.endpoint, 'credentials_file = "/etc/proxy.pass"')
    daemon = start()
    daemon.hear("READY=1")
    until("the watch to begin", lambda: status(node).get("repairs"))
    time.sleep(0.2)
    node.write("etc/proxy.new", b"me:second\n", 0o600).rename(node.root / "etc/proxy.pass")
    until("the new password", lambda: "me:second@" in node.read("etc/eks-proxy-agent/node.env"))
    assert daemon.stop() == 0
    assert "drift" not in daemon.log.read_text()
    assert "second" not in daemon.log.read_text() + "".join(daemon.said) + json.dumps(status(node))


@pytest.mark.parametrize("name", ["config.toml", "credentials"])
def test_what_settings_are_linked_to_is_followed_at_once(
    node: Node, service: MoodyService, start: Start, name: str
) -> None:
    """Configuration management and secret stores keep their files elsewhere: an edit there is an
    edit.
    """
    node.write("etc/eks-proxy-agent/credentials", b"user:first\n")
    (node.root / "etc/eks-proxy-agent/credentials").chmod(0o600)
    configure(node, service.endpoint, 'credentials_file = "/etc/eks-proxy-agent/credentials"')
    link, file = node.root / "etc/eks-proxy-agent" / name, node.root / "opt/elsewhere" / name
    file.parent.mkdir(parents=True)
    link.rename(file)
    link.symlink_to("/opt/elsewhere/" + name)
    daemon = start()
    daemon.hear("READY=1")
    until("the watch to begin", lambda: status(node).get("repairs"))
    time.sleep(0.2)
    file.write_text(file.read_text().replace("first", "second").replace(PROXY, "http://other.corp:8080"))
    wanted = "http://user:second@proxy.corp" if name == "credentials" else "http://user:first@other.corp:8080"
    until("the edit to arrive", lambda: wanted in node.read("etc/eks-proxy-agent/node.env"))
    assert daemon.stop() == 0


def test_credentials_that_are_gone_for_a_moment_are_waited_for(node: Node, service: MoodyService) -> None:
    """Who rotates them may remove the file first: its return is watched for while the node is
    degraded.
    """
    node.write("etc/eks-proxy-agent/credentials", b"user:first\n")
    (node.root / "etc/eks-proxy-agent/credentials").chmod(0o600)
    configure(node, service.endpoint, 'credentials_file = "/etc/eks-proxy-agent/credentials"')
    once = Turns(node)
    once()
    (node.root / "etc/eks-proxy-agent/credentials").unlink()
    once(Reason.FILES)
    assert status(node)["phase"] == "degraded"
    assert str(node.root / "etc/eks-proxy-agent/credentials") in once.watched


def test_a_machine_that_another_run_holds_is_no_trouble(node: Node, service: MoodyService, start: Start) -> None:
    """A pass that meets a long apply comes again after it: the node is not degraded, and no pass
    has crashed.
    """
    configure(node, service.endpoint)
    daemon = start()
    daemon.hear("READY=1")
    until("the watch to begin", lambda: status(node).get("repairs"))
    time.sleep(0.2)
    with held(FileSystem(str(node.root))):
        (node.root / "etc/environment").write_text("x=1\n")
        until("the pass to give way", lambda: "pass.postponed" in daemon.log.read_text())
    until("the repair", lambda: node.variables().get("http_proxy") == PROXY)
    assert daemon.stop() == 0
    assert "crashed" not in daemon.log.read_text()
    assert "degraded" not in daemon.log.read_text()


def test_a_pass_that_crashes_is_told_and_done_again(node: Node, service: MoodyService, start: Start) -> None:
    """Its process dies, the daemon's does not."""
    configure(node, service.endpoint)
    daemon = start()
    daemon.hear("READY=1")
    until("the watch to begin", lambda: status(node).get("repairs"))
    service.moods.append(Mood(moods.hang, times=1))
    daemon.tell(signal.SIGHUP)
    daemon.hear("RELOADING=1")
    children = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children")
    until("the child", children.read_text)
    os.kill(int(children.read_text()), signal.SIGSEGV)
    daemon.hear("READY=1")
    assert 'pass.crashed reason=reload ended="by signal 11"' in daemon.log.read_text()
    daemon.hear("STATUS=configured")
    assert daemon.stop() == 0


# --- what is left alone
# -----------------------------------------------------------------------------------------------


def test_a_file_that_is_fought_over_is_left_alone_until_somebody_asks(
    node: Node, service: MoodyService, capfd: pytest.CaptureFixture[str]
) -> None:
    """After so many repairs its changes wake nobody; other files are still put right, and a reload
    takes it up again.
    """
    configure(node, service.endpoint)
    once = Turns(node)
    once()
    path = str(node.root / "etc/environment")
    assert path in once.watched
    for number in range(REPAIRS + 3):
        assert status(node)["repairs"] == {
            "total": min(number, REPAIRS),
            "fought": ["/etc/environment"] * (number >= REPAIRS),
        }
        node.write("etc/environment", b"http_proxy=wrong\n")
        once(Reason.FILES)
    assert node.read("etc/environment") == "http_proxy=wrong\n"
    assert path not in once.watched
    assert "contested, left alone: /etc/environment" in once.status
    node.write("etc/dnf/dnf.conf", b"[main]\n")
    once()
    assert PROXY in node.read("etc/dnf/dnf.conf")
    log = capfd.readouterr().err
    assert log.count("drift.repaired file=/etc/environment") == REPAIRS
    assert log.count("drift.fought file=/etc/environment") == 1
    once(Reason.RELOAD)
    assert node.variables()["http_proxy"] == PROXY
    assert status(node)["repairs"] == {"total": REPAIRS + 2, "fought": []}
    assert path in once.watched


def test_apply_ends_a_fight_and_is_no_drift(
    node: Node, service: MoodyService, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a person applies is wanted; with --once it is the daemon that changes its mind, which is
    no drift either.
    """
    configure(node, service.endpoint)
    once = Turns(node)
    once()
    capfd.readouterr()
    assert node.main("apply --proxy http://flags.corp:1", facts=False).code == 0
    once()
    assert node.variables()["http_proxy"] == "http://flags.corp:1"
    assert node.main("apply --once --proxy http://once.corp:1", facts=False).code == 0
    once()
    assert node.variables()["http_proxy"] == "http://flags.corp:1"
    assert "drift" not in capfd.readouterr().err
    for _ in range(REPAIRS):
        node.write("etc/environment", b"http_proxy=wrong\n")
        once(Reason.FILES)
    assert status(node)["repairs"] == {"total": REPAIRS, "fought": ["/etc/environment"]}
    assert node.main("apply", facts=False).code == 0
    once()
    assert status(node)["repairs"] == {"total": REPAIRS, "fought": []}


def test_a_repair_is_told_although_it_cannot_be_kept_in_mind(
    node: Node, service: MoodyService, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With a full /run the file is put right all the same, and nothing is changed without a
    word.
    """
    configure(node, service.endpoint)
    once = Turns(node)
    once()
    (node.root / "etc/environment").write_text("x=1\n")

    def full(state: LockedState, memory: Memory) -> None:
        if memory != state.memory():
            raise FileError("/run/eks-proxy-agent/watch.json: cannot be written: No space left on device")

    monkeypatch.setattr(LockedState, "save_memory", full)
    with pytest.raises(FileError):
        once(Reason.FILES)
    assert node.variables()["http_proxy"] == PROXY
    assert "drift.repaired file=/etc/environment" in capfd.readouterr().err


def test_plan_is_no_drift_and_changes_no_memory(node: Node, service: MoodyService) -> None:
    """Looking leaves everything as it was."""
    configure(node, service.endpoint)
    once = Turns(node)
    once()
    memory = node.read("run/eks-proxy-agent/watch.json")
    assert node.main("plan --proxy http://other.corp:1", facts=False).code == 3
    assert node.read("run/eks-proxy-agent/watch.json") == memory


def test_other_people_s_lines_are_no_drift(
    node: Node, service: MoodyService, capfd: pytest.CaptureFixture[str]
) -> None:
    """What an administrator writes beside our lines stays, causes no change, and is there after
    `revert`.
    """
    configure(node, service.endpoint)
    once = Turns(node)
    once()
    capfd.readouterr()
    ours = node.read("etc/environment")
    node.write("etc/environment", ("PAGER=less\n" + ours).encode())
    once(Reason.FILES)
    assert node.read("etc/environment") == "PAGER=less\n" + ours
    assert capfd.readouterr().err == ""
    node.write("etc/environment", b"PAGER=less\nhttp_proxy=wrong\n")
    once(Reason.FILES)
    assert node.main("revert").code == 0
    assert node.read("etc/environment") == "PAGER=less\n"


# --- metadata
# ---------------------------------------------------------------------------------------------------------


def test_a_lie_of_the_metadata_service_takes_nothing_away(
    node: Node, service: MoodyService, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A CIDR that is missing once stays; one that stays away goes; one that is new counts at
    once.
    """
    now = [1000.0]
    monkeypatch.setattr(configuring.time, "monotonic", lambda: now[0])
    configure(node, service.endpoint)
    two = ("10.0.0.0/16", "10.1.0.0/16")
    service.instance = Instance(vpc_cidrs_v4=two)
    once = Turns(node)

    def believed(*cidrs: str) -> list[str]:
        service.instance = Instance(vpc_cidrs_v4=cidrs)
        now[0] += 400
        once()
        return [entry for entry in node.no_proxy() if entry.startswith("10.")]

    once()
    assert believed("10.1.0.0/16") == list(two)
    assert believed(*two) == list(two)
    assert believed("10.1.0.0/16") == list(two)
    assert believed("10.1.0.0/16", "10.2.0.0/16") == [*two, "10.2.0.0/16"]
    capfd.readouterr()
    assert believed("10.1.0.0/16", "10.2.0.0/16") == ["10.1.0.0/16", "10.2.0.0/16"]
    assert "metadata.missing" not in capfd.readouterr().err


def test_garbage_from_the_metadata_service_changes_nothing(node: Node, service: MoodyService) -> None:
    """One pass that is told rubbish is a degraded one, with the last good values, guarded; the next
    one is good.
    """
    configure(node, service.endpoint)
    once = Turns(node)
    once()
    stamps = node.stamps()
    service.moods.append(Mood(moods.answer(b"<html>captive portal</html>"), "/vpc-ipv4-cidr-blocks"))
    once()
    assert (status(node)["phase"], node.stamps()) == ("degraded", stamps)
    assert "is not a CIDR" in str(status(node)["error"])
    assert once.next < 5
    once()
    assert (status(node)["phase"], status(node)["error"]) == ("configured", None)
    assert once.next > 500


def test_while_metadata_is_away_the_node_is_guarded_with_what_is_known(
    node: Node, service: MoodyService, capfd: pytest.CaptureFixture[str]
) -> None:
    """Drift is put right, new settings are taken up, trouble is told once, and the pauses grow."""
    configure(node, service.endpoint, deadline=1.0)
    once = Turns(node)
    once()
    capfd.readouterr()
    service.moods.append(Mood(moods.status(503), times=10**6))
    pauses = []
    for proxy in (PROXY, PROXY, "http://other.corp:8080"):
        configure(node, service.endpoint, proxy=proxy, deadline=1.0)
        node.write("etc/environment", b"http_proxy=wrong\n")
        once()
        pauses.append(once.next)
        assert node.variables()["http_proxy"] == proxy
        assert "10.42.0.0/16" in node.no_proxy()
        assert status(node)["phase"] == "degraded"
    assert pauses == sorted(pauses)
    log = capfd.readouterr().err
    assert log.count("node.degraded") == 1
    assert log.count("drift.repaired") == 2
    service.moods.clear()
    once()
    assert status(node)["phase"] == "configured"


def test_broken_settings_leave_the_metrics_where_they_are(node: Node, service: MetadataService) -> None:
    """In the owner's directory, with the word that the node is degraded."""
    directory = node.root / "srv/metrics"
    directory.mkdir(parents=True)
    (node.root / "var/lib/node_exporter").mkdir()
    configure(node, service.endpoint, '[watch]\nmetrics = "/srv/metrics"')
    once = Turns(node)
    once()
    configure(node, service.endpoint, "oops = 1")
    once(Reason.FILES)
    assert 'phase{phase="degraded"} 1' in (directory / "eks_proxy_agent.prom").read_text()
    assert list((node.root / "var/lib/node_exporter").iterdir()) == []


def test_proxies_that_left_the_settings_are_not_told_of(node: Node, service: MetadataService) -> None:
    """A node without a proxy has none that is down, on no screen and in no metric."""
    (node.root / "var/lib/node_exporter").mkdir(parents=True)
    configure(node, service.endpoint)
    once = Turns(node)
    once()
    down = {"url": PROXY, "up": False, "latency_seconds": None, "chosen": True, "since": None, "text": "refused"}
    seen = {"proxies": [down], "preflight": {"ok": False, "kind": "refused", "text": "refused", "hint": ""}}
    node.write("run/eks-proxy-agent/status.json", json.dumps({**status(node), **seen}).encode())
    once()
    assert status(node)["proxies"] == [down]
    configure(node, service.endpoint, proxy="")
    once(Reason.FILES)
    assert "No proxy is up" not in node.main("status").out
    shown = (node.root / "var/lib/node_exporter/eks_proxy_agent.prom").read_text()
    assert "proxy_up" not in shown
    assert "preflight" not in shown


def test_a_turn_that_could_not_look_forgets_no_stale_unit(node: Node, service: MetadataService) -> None:
    """While the settings are broken nobody asks which processes are stale, and those that are go on
    being named.
    """
    configure(node, service.endpoint)
    once = Turns(node)
    once()
    node.write(
        "run/eks-proxy-agent/status.json", json.dumps({**status(node), "stale_units": ["docker.service"]}).encode()
    )
    configure(node, service.endpoint, "oops = 1")
    once(Reason.FILES)
    assert (status(node)["phase"], status(node)["stale_units"]) == ("degraded", ["docker.service"])
    configure(node, service.endpoint)
    once(Reason.FILES)
    assert (status(node)["phase"], status(node)["stale_units"]) == ("configured", [])


def test_what_is_stale_is_known_from_the_boot_on(node: Node, service: MetadataService, start: Start) -> None:
    """Before the first look at what runs nothing is stale, and a daemon that starts again forgets
    no stale unit.
    """
    configure(node, service.endpoint)
    path = node.root / "run/eks-proxy-agent/status.json"
    for before, after in (({}, []), ({"stale_units": ["docker.service"]}, ["docker.service"])):
        if before:
            path.write_text(json.dumps({**status(node), **before, "next_pass": None}))
        daemon = start()
        daemon.hear("READY=1")
        until("the watch to begin", lambda: status(node).get("next_pass"))
        assert status(node)["stale_units"] == after
        assert daemon.stop() == 0


def test_a_link_to_a_name_that_is_not_text_is_watched(node: Node, service: MetadataService) -> None:
    """A line feed or a byte that is not UTF-8 reaches the waiting process as it is, and so does the
    file's change.
    """
    configure(node, service.endpoint)
    once = Turns(node)
    for target in (b"a\nNEXT=1", b"\xff"):
        (node.root / "etc/environment").unlink(missing_ok=True)
        os.symlink(target, os.fsencode(node.root / "etc/environment"))
        once()
        path = node.root / "etc" / os.fsdecode(target)
        message = decode(encode(WatchPaths(tuple(once.watched))))
        assert isinstance(message, WatchPaths)
        assert str(path) in message.paths
        with contextlib.closing(FileWatcher()) as watcher:
            watcher.watch(message.paths)
            assert not watcher.changed()
            path.write_text("edited=1\n")
            assert watcher.changed()


def test_a_change_over_that_fails_degrades_the_node(
    node: Node, service: MetadataService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another proxy is chosen just when a file cannot be written: that is said at once, and tried
    again soon.
    """
    configure(node, service.endpoint)
    once = Turns(node)
    once()

    def check(*_: object) -> proxies.ProxyCheck:
        (node.root / "etc/environment").unlink()
        (node.root / "etc/environment").mkdir()
        return proxies.ProxyCheck(True, 600)

    with monkeypatch.context() as patched:
        patched.setattr(proxies, "check", check)
        once()
    assert (status(node)["phase"], once.next < 10) == ("degraded", True)
    assert any(line.startswith("degraded") and "/etc/environment" in line for line in once.status.splitlines())
    (node.root / "etc/environment").rmdir()
    once()
    assert status(node)["phase"] == "configured"


def test_a_spoilt_memory_is_a_new_one(node: Node, service: MetadataService) -> None:
    """Nothing in it is worth failing for."""
    configure(node, service.endpoint)
    once = Turns(node)
    once()
    for text in ("", "[]", "{", '{"wishes": 1}'):
        node.write("run/eks-proxy-agent/watch.json", text.encode())
        once()
        assert status(node)["phase"] == "configured"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": 2}', '{"schema": 1, "metrics": 7}', '{"schema": 1, "proxies": 7}']
)
@pytest.mark.parametrize("name", ["run/eks-proxy-agent/status.json", "facts", "direct", "restarts"])
def test_what_can_be_learned_again_degrades_nobody(node: Node, service: MoodyService, name: str, text: str) -> None:
    """A file of our own that is spoilt, or of another version, is made anew if it holds nobody's
    wishes.
    """
    (node.root / "var/lib/node_exporter").mkdir(parents=True)
    configure(node, service.endpoint, '[watch]\nrestart = "changed"')
    once = Turns(node)
    once()
    (instance,) = (node.root / "var/lib/eks-proxy-agent/instances").iterdir()
    path = name if "/" in name else str((instance / (name + ".json")).relative_to(node.root))
    node.write(path, text.encode())
    for _ in range(2):
        once()
        assert status(node)["phase"] == "configured"
    assert node.main("revert").code == 0
    assert not instance.exists()


@pytest.mark.parametrize("name", ["etc/environment", "etc/yum.conf"])
def test_a_loop_of_links_is_a_problem_of_one_file(node: Node, service: MoodyService, name: str) -> None:
    """The turn says so and comes to its end, with the loop among what is watched; once it is gone
    all is well.
    """
    configure(node, service.endpoint)
    once = Turns(node)
    once()
    before = os.readlink(node.root / name) if name == "etc/yum.conf" else None
    (node.root / name).unlink()
    (node.root / name).symlink_to(Path(name).name)
    once()
    assert "too many levels of symbolic links" in str(status(node)["error"])
    assert str(node.root / name) in once.watched
    (node.root / name).unlink()
    if before:
        (node.root / name).symlink_to(before)
    once()
    assert status(node)["phase"] == "configured"


def test_many_reloads_are_one_and_a_stop_is_heard_behind_them(capfd: pytest.CaptureFixture[str]) -> None:
    """Those that come while a pass works are one pass after it; a pass that SIGTERM ends has not
    crashed.
    """
    reasons: list[Reason] = []

    def perform(reason: Reason, handle_line: HandleLine, idle: Callable[[], float]) -> int:
        reasons.append(reason)
        handle_line(encode(Ready()))
        last = [signal.SIGTERM] if len(reasons) == 2 else []
        for number in [signal.SIGHUP] * 5 + last:
            os.kill(os.getpid(), number)
        return -signal.SIGTERM if last else 0

    with watched() as signals, contextlib.closing(FileWatcher()) as watcher:
        assert Supervisor(perform, lambda text: None, signals, watcher).run() == 0
    assert reasons == [Reason.BOOT, Reason.RELOAD]
    assert "crashed" not in capfd.readouterr().err


def test_a_pass_for_which_there_is_no_process_is_tried_again(capfd: pytest.CaptureFixture[str]) -> None:
    """On a node that has no process to give for a while the daemon stays, says so, and asks again
    later.
    """
    reasons: list[Reason] = []

    def perform(reason: Reason, handle_line: HandleLine, idle: Callable[[], float]) -> int:
        reasons.append(reason)
        if reason == Reason.BOOT:
            handle_line(encode(Ready()))
            os.kill(os.getpid(), signal.SIGHUP)
            return 0
        os.kill(os.getpid(), signal.SIGHUP if len(reasons) == 2 else signal.SIGTERM)
        if len(reasons) == 2:
            raise ForkError("cannot fork a worker process")
        return 0

    with watched() as signals, contextlib.closing(FileWatcher()) as watcher:
        assert Supervisor(perform, lambda text: None, signals, watcher).run() == 0
    assert reasons == [Reason.BOOT, Reason.RELOAD, Reason.RELOAD]
    assert 'pass.crashed reason=reload ended="cannot fork a worker process"' in capfd.readouterr().err


def test_a_line_that_is_not_a_message_is_ignored(capfd: pytest.CaptureFixture[str]) -> None:
    """The daemon goes on, says that there was one, and not what was in it; what it tells systemd is
    one line.
    """
    told: list[str] = []

    def perform(reason: Reason, handle_line: HandleLine, idle: Callable[[], float]) -> int:
        assert [handle_line(line) for line in ("", "READY=1", '{"type": "NextRun", "seconds": "secret"}')] == [None] * 3
        handle_line(encode(Status("all is well\nREADY=1")))
        assert handle_line(encode(Busy(5))) == 5 + SILENCE
        handle_line(encode(Ready()))
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    with watched() as signals, contextlib.closing(FileWatcher()) as watcher:
        assert Supervisor(perform, told.append, signals, watcher).run() == 0
    assert told == ["STATUS=all is well", "READY=1", "STOPPING=1"]
    assert capfd.readouterr().err == 'warning: message.ignored error="not a message"\n' * 3


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("boot", [True, False])
def test_a_crash_is_found_by_its_fields(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], boot: bool, taken: bool
) -> None:
    """`journalctl EKS_PROXY_EVENT=pass.crashed` has it; a line does when journald refuses, or the
    daemon ends with it.
    """
    sent: list[str] = []
    monkeypatch.setattr(journal, "is_stderr_connected", lambda: True)
    monkeypatch.setattr(journal, "send", lambda *fields: sent.extend(fields) or taken)

    def perform(reason: Reason, handle_line: HandleLine, idle: Callable[[], float]) -> int:
        if reason == Reason.BOOT and not boot:
            handle_line(encode(Ready()))
            os.kill(os.getpid(), signal.SIGHUP)
            return 0
        return -signal.SIGSEGV

    def notify(text: str) -> None:
        if text == "READY=1" and sent:
            os.kill(os.getpid(), signal.SIGTERM)

    with watched() as signals, contextlib.closing(FileWatcher()) as watcher:
        assert Supervisor(perform, notify, signals, watcher).run() == (1 if boot else 0)
    text = f'pass.crashed reason={"boot" if boot else "reload"} ended="by signal 11"'
    assert ("<3>" + text in capfd.readouterr().err) == (boot or not taken)
    assert bool(sent) is not boot
    wanted = {"MESSAGE=" + text, "PRIORITY=3", "EKS_PROXY_EVENT=pass.crashed", "REASON=reload"}
    assert boot or wanted <= set(sent)


def test_status_says_when_the_next_look_is(node: Node, service: MetadataService) -> None:
    """With jitter around watch.interval, so that the nodes of a group do not ask together."""
    configure(node, service.endpoint, "[watch]\ninterval = 100")
    once = Turns(node)
    pauses: list[float | None] = []
    for _ in range(10):
        once()
        pauses.append(once.next)
    assert all(pause and 90 <= pause <= 110 for pause in pauses)
    assert len(set(pauses)) > 1
    assert str(status(node)["next_pass"]) > str(status(node)["updated"])
