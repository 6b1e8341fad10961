"""Steps of a boot and of a cycle, each on its own: what they log, save, send and start."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from agent.core.facts.instance import Facts, facts_from_json
from agent.core.intent.reachability import ProbeResult
from agent.core.plan import drift
from agent.core.plan.drift import Memory
from agent.core.plan.files.systemd_dropin import ClosedGate, EnvironmentDropin
from agent.core.plan.plan import Change, Plan
from agent.core.record import evolve
from agent.core.status.document import StatusDocument
from agent.core.status.records import MetricsStatus
from agent.core.systemd import OutdatedUnits, UnitState
from agent.daemon import boot, cycle, degraded, outcome, preparation, retry, worker
from agent.daemon.daemon import Daemon
from agent.daemon.protocol import Busy, NextRun, Ready, Status, WatchPaths, encode
from agent.daemon.supervisor import Reason
from agent.edges import tcp
from agent.edges.files import FileSystem
from agent.edges.signals import watched
from agent.edges.state import STATUS, LockedState, State
from agent.edges.systemd import Systemd
from agent.errors import AgentError, CommandError, FileError, LockedError, MetadataError
from agent.node import inputs, reconcile, status_file
from agent.node.budget import Budget
from agent.node.host import Host
from agent.node.reconcile import ReconcileResult, Trigger
from agent.node.sources import SettingsSources
from tests.integration.command_line import FACTS, PROXY, Node
from tests.integration.thread_limit import limit_program

ID = str(FACTS["instance_id"])
DOCKER, BOOTSTRAP = "docker.service", "eks-proxy-agent-bootstrap.service"
SETTINGS = f'[proxy]\nurl = "{PROXY}"\n[node]\nunits = ["docker"]\nenable = []\n[aws]\ndirect = []\n'


class Fake(Systemd):
    """A systemd with units in given states, or one that does not respond."""

    def __init__(self) -> None:
        super().__init__(running=False)
        self.states: dict[str, UnitState] = {}
        self.error: Exception | None = None
        self.started: list[str] = []
        self.reloads = 0

    def show(self, names: Sequence[str], *, timeout: float = 30.0) -> dict[str, UnitState]:
        """Return the known states."""
        if self.error:
            raise self.error
        return {name: self.states[name] for name in names if name in self.states}

    def start(self, names: Sequence[str]) -> None:
        """Record it."""
        self.started += names

    def reload(self) -> None:
        """Count it."""
        self.reloads += 1


class Live(FileSystem):
    """A tree that passes for that of the running machine."""

    live = True  # type: ignore[assignment]


class Machine:
    """A node whose daemon runs in this process, one step at a time."""

    def __init__(self, directory: Path, signals: Any) -> None:
        self.node = Node(directory)
        self.node.settings(SETTINGS)
        files = Live(str(self.node.root))
        self.units = Fake()
        self.host = Host(files, State(files), self.units)
        self.sent: list[Any] = []
        sources = SettingsSources(facts=str(self.node.facts))
        self.daemon = Daemon(self.host, sources, self.sent.append, signals)

    def facts(self, **changes: Any) -> Facts:
        """Return the facts."""
        return facts_from_json(json.dumps({**FACTS, **changes}))

    def reconcile(self, trigger: Trigger = Trigger.DAEMON_BOOT) -> ReconcileResult:
        """Reconcile once."""
        return boot.reconcile_once(self.daemon, self.daemon.static_settings(), self.facts(), trigger)

    def of(self, kind: type) -> list[Any]:
        """Return the messages of a kind."""
        return [message for message in self.sent if isinstance(message, kind)]

    def remember(self, **changes: Any) -> None:
        """Change the memory."""
        with self.host.locked() as state:
            state.update_memory(lambda memory: evolve(memory, **changes))

    @property
    def memory(self) -> Memory:
        """The memory."""
        return self.host.state.memory()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine before its first reconcile."""
    with watched() as signals:
        yield Machine(tmp_path, signals)


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """The log."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def events(logs: list[Any]) -> list[tuple[str, str]]:
    """Return event and level of each entry."""
    return [(entry["event"], entry["log_level"]) for entry in logs]


# --- degraded


def closed(machine: Machine) -> None:
    """Write a gate, as policy "closed" does."""
    machine.host.files.put(ClosedGate.path_of(DOCKER), b"x")


@pytest.mark.parametrize(
    ("is_closed", "is_ready", "is_configured", "meaning", "policy"),
    [
        (True, False, False, "docker and kubelet stay stopped until the problem is fixed", "closed"),
        (True, True, True, "the last good values stay in place", "closed"),
        (False, False, True, "the last good values stay in place", "open"),
        (False, True, False, "units start with the last good values", "open"),
    ],
)
def test_the_consequence_of_an_error_is_read_from_the_machine(
    machine: Machine, logs: list[Any], is_closed: bool, is_ready: bool, is_configured: bool, meaning: str, policy: str
) -> None:
    """The settings may be what is wrong."""
    if is_closed:
        closed(machine)
    if is_ready:
        with machine.host.locked() as state:
            state.set_ready()
    if is_configured:
        machine.remember(desired={"/etc/environment": "x"})
    degraded.report_degraded(machine.daemon, FileError("/x: wrong\nmore", hint="fix it"))
    (entry,) = logs
    assert (entry["event"], entry["log_level"]) == ("node.degraded", "error")
    assert (entry["error"], entry["hint"], entry["policy"]) == ("/x: wrong\nmore", "fix it", policy)
    assert entry["meaning"] == meaning
    assert machine.of(Status) == [Status(f"degraded: /x: wrong; {meaning}")]
    status = machine.host.state.status()
    assert status
    assert (status.phase, status.error) == ("degraded", "/x: wrong\nmore")


def test_the_same_error_is_logged_once(machine: Machine, logs: list[Any]) -> None:
    """Another error is news, and so is the same one after a success; systemd has it each time."""
    for text in ("a", "a", "b"):
        degraded.report_degraded(machine.daemon, FileError(text))
    with machine.host.locked() as state:
        state.update_memory(lambda memory: memory.record_outcome(settled=True))
    degraded.report_degraded(machine.daemon, FileError("b"))
    assert [entry["error"] for entry in logs] == ["a", "b", "b"]
    assert len(machine.of(Status)) == 4
    assert logs[0]["hint"] == "-"


def test_an_error_that_cannot_be_saved_is_logged_each_time(
    machine: Machine, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk may be what is wrong; then only the journal has it."""

    def fail(*_: object) -> bool:
        raise FileError("disk")

    monkeypatch.setattr(degraded, "_save", fail)
    for _ in range(2):
        degraded.report_degraded(machine.daemon, FileError("a"))
    assert [(entry["event"], entry["error"]) for entry in logs] == [
        ("status.failed", "disk"),
        ("node.degraded", "a"),
    ] * 2


def test_a_bug_is_an_error_too(machine: Machine, logs: list[Any]) -> None:
    """Its text names the exception."""
    degraded.report_degraded(machine.daemon, KeyError("x"))
    assert "KeyError" in logs[0]["error"]


@pytest.mark.parametrize(("next_in", "low", "high"), [(7.0, 7.0, 7.0), (None, 2.0, 4.0)])
def test_a_worker_that_failed_is_retried(machine: Machine, next_in: float | None, low: float, high: float) -> None:
    """The supervisor learns when, and which files to watch; failures count up."""
    machine.host.files.put(STATUS, json.dumps(StatusDocument("configured").to_json()).encode())
    degraded.record_failure(machine.daemon, FileError("a"), next_in)
    (run,) = machine.of(NextRun)
    assert low <= run.seconds <= high
    assert machine.memory.failures == 1
    (paths,) = machine.of(WatchPaths)
    assert machine.host.files.real("/etc/eks-proxy-agent/config.toml") in paths.paths
    status = machine.host.state.status()
    assert status
    assert status.next_pass


def test_a_failure_that_cannot_be_saved_is_retried_too(
    machine: Machine, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schedule is sent before it is saved."""

    def fail(*_: object) -> None:
        raise FileError("disk")

    monkeypatch.setattr(degraded, "save_schedule", fail)
    degraded.record_failure(machine.daemon, FileError("a"))
    assert len(machine.of(NextRun)) == 1
    assert ("status.failed", "error") in events(logs)


# --- outcome


def test_metrics_stay_where_they_are_without_settings(machine: Machine) -> None:
    """Or go where the files of the image say, if there is no usable status.json."""
    machine.node.settings(SETTINGS + '[watch]\nmetrics = "/from/settings"\ninterval = 50\n')
    assert outcome.last_watch(machine.daemon).metrics == "/from/settings"
    machine.host.files.put(STATUS, json.dumps(StatusDocument("degraded").to_json()).encode())
    assert outcome.last_watch(machine.daemon).interval == 50
    path = "/from/status/eks_proxy_agent.prom"
    off = MetricsStatus(reason="watch.metrics is empty")
    copy = "/run/eks-proxy-agent/metrics.prom"
    for metrics, expected in (
        (MetricsStatus((path,), copy=copy), "/from/status"),
        (off, ""),
        (MetricsStatus(copy=copy), None),
        (MetricsStatus((path, "/from/more/eks_proxy_agent.prom"), copy=copy), None),
    ):
        document = StatusDocument("degraded", metrics=metrics)
        machine.host.files.put(STATUS, json.dumps(document.to_json()).encode())
        assert outcome.last_watch(machine.daemon).metrics == expected
    machine.host.files.put(STATUS, b"{")
    assert outcome.last_watch(machine.daemon).metrics == "/from/settings"


def test_watched_paths(machine: Machine) -> None:
    """Settings, files of the node, what the settings name, targets of links; no contested file."""
    bundle = 'ca_bundle = "/etc/ca.pem"\n'
    machine.node.settings(
        SETTINGS.replace("[node]\n", "[node]\n" + bundle).replace(
            "[proxy]\n", '[proxy]\ncredentials_file = "/etc/pass"\n'
        )
    )
    (machine.node.root / "etc/pass").symlink_to("other/pass")
    (machine.node.root / "etc/loop").symlink_to("loop")
    machine.remember(desired={"/etc/environment": "x", "/etc/loop": "x"}, contested={"/etc/dnf/dnf.conf": 1.0})
    daemon = evolve(machine.daemon, sources=SettingsSources(config="relative.toml"))
    paths = outcome.watched_paths(daemon, machine.daemon.usable_settings(), ["/etc/yum.conf", "/etc/new"])
    real = machine.host.files.real
    assert paths[0] == str(Path.cwd() / "relative.toml")
    expected = ["config.toml", "config.d/"]
    assert [real("/etc/eks-proxy-agent/" + name) in paths for name in expected] == [True, True]
    names = [
        "/etc/eks/nodeadm.d/",
        "/etc/environment",
        "/etc/new",
        "/etc/pass",
        "/etc/other/pass",
        "/etc/ca.pem",
        "/etc/loop",
    ]
    assert [name for name in names if real(name) not in paths] == []
    assert real("/etc/yum.conf") not in paths  # a link to the contested file
    assert len(paths) == len(set(paths))


# --- boot


def test_facts_are_stabilized_unless_they_come_from_a_file(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is as the operator wants it; a long request is announced to the supervisor."""
    calls: list[Facts] = []
    monkeypatch.setattr(boot, "stabilize_facts", lambda host, facts: calls.append(facts) or facts)
    static = machine.daemon.static_settings()
    boot.request_facts(machine.daemon, static, Budget(5))
    assert (calls, machine.of(Busy)) == ([], [])
    daemon = evolve(machine.daemon, sources=SettingsSources())
    boot.request_facts(daemon, static, Budget(boot.SILENCE))
    assert len(calls) == 1
    assert machine.of(Busy) == [Busy(boot.SILENCE)]


def test_what_metadata_omits_for_a_moment_stays(machine: Machine, logs: list[Any]) -> None:
    """It is logged once; a corrupt record of the last facts is as good as none."""
    both = machine.facts(vpc_cidrs_v4=["10.42.0.0/16", "10.43.0.0/16"])
    machine.node.write(
        f"var/lib/eks-proxy-agent/instances/{ID}/facts.json",
        json.dumps({**FACTS, "vpc_cidrs_v4": list(both.vpc_cidrs_v4)}).encode(),
    )
    machine.remember(instance=ID)
    for _ in range(2):
        steady = boot.stabilize_facts(machine.host, machine.facts())
        assert set(steady.vpc_cidrs_v4) == set(both.vpc_cidrs_v4)
    assert events(logs) == [("metadata.missing", "warning")]
    assert "10.43.0.0/16" in str(logs[0]["what"])
    assert str(drift.PASSES) in logs[0]["meaning"]
    machine.node.write(f"var/lib/eks-proxy-agent/instances/{ID}/facts.json", b'{"instance_id": 5}')
    assert boot.stabilize_facts(machine.host, machine.facts()) == machine.facts()


@pytest.mark.parametrize(
    ("state", "event"),
    [
        ({"active": "failed"}, "bootstrap.started_again"),
        ({"active": "active"}, ""),
        ({"active": "inactive"}, ""),
        ({"active": "inactive", "started": False}, "bootstrap.unit_started"),
        ({"active": "inactive", "started": False, "queued": True}, ""),
        ({"active": "inactive", "started": False, "enabled": "disabled"}, ""),
        ({"active": "inactive", "started": False, "exists": False}, ""),
        (None, ""),
    ],
)
def test_bootstrap_that_failed_or_was_never_started_is_started(
    machine: Machine, logs: list[Any], state: dict[str, Any] | None, event: str
) -> None:
    """It failed because metadata was missing, or the package is new on a node that runs.

    At boot it is queued, and starts by itself.
    """
    if state:
        machine.units.states[BOOTSTRAP] = UnitState(BOOTSTRAP, **state)
    boot.start_bootstrap(machine.daemon)
    assert machine.units.started == [BOOTSTRAP] * bool(event)
    assert events(logs) == [(event, "info")] * bool(event)


def test_a_systemd_that_does_not_respond_is_logged(machine: Machine, logs: list[Any]) -> None:
    """The node stays configured; held units are tried again."""
    result = machine.reconcile()
    logs.clear()
    machine.units.error = CommandError("timed out")
    boot.start_bootstrap(machine.daemon)
    closed(machine)
    result = evolve(result, plan=evolve(result.plan, changes=(*result.plan.changes, _gate_removed())))
    assert not boot.release_gated_units(machine.daemon, result)
    assert events(logs) == [("units.failed", "error")] * 2


def _gate_removed() -> Change:
    return Change(ClosedGate.path_of(DOCKER), b"x", None)


def test_held_units_are_released_after_a_reconcile(machine: Machine, logs: list[Any]) -> None:
    """And logged, with the phase of the node."""
    result = machine.reconcile()
    machine.units.states[DOCKER] = UnitState(DOCKER, active="inactive", blocked=True)
    result = evolve(result, plan=evolve(result.plan, changes=(_gate_removed(),)))
    logs.clear()
    assert boot.report_and_release_units(machine.daemon, result)
    assert machine.units.started == [DOCKER]
    assert events(logs) == [("node.configured", "info"), ("units.released", "info")]
    assert (logs[0]["instance_id"], logs[0]["proxy"]) == (ID, PROXY)
    assert logs[1]["units"] == (DOCKER,)


def test_units_of_a_node_that_is_not_configured_stay(machine: Machine) -> None:
    """A drop-in could not be written: docker would start without the proxy."""
    result = machine.reconcile()
    broken = evolve(result.plan, problems=(EnvironmentDropin.path_of(DOCKER) + ": wrong",), changes=(_gate_removed(),))
    machine.units.states[DOCKER] = UnitState(DOCKER, active="inactive", blocked=True)
    assert not boot.release_gated_units(machine.daemon, evolve(result, plan=broken))
    assert machine.units.started == []


def test_warnings_and_problems_of_settings_are_logged(machine: Machine, logs: list[Any]) -> None:
    """Before the phase."""
    result = machine.reconcile()
    inputs = evolve(
        result.resolved.inputs,
        layered=evolve(result.resolved.inputs.layered, warnings=("<warning>",)),
    )
    result = evolve(result, resolved=evolve(result.resolved, inputs=inputs))
    logs.clear()
    boot.report_and_release_units(machine.daemon, result)
    assert events(logs)[:2] == [("settings.warning", "warning"), ("node.configured", "info")]


def test_a_reconcile_with_problems_is_not_remembered(machine: Machine) -> None:
    """Neither its units for the next boot, nor a status line that says configured."""
    (machine.node.root / "etc/environment").unlink()
    (machine.node.root / "etc/environment").mkdir()
    result = machine.reconcile()
    assert result.plan.problems
    assert machine.of(Status) == []


def test_at_the_limit_of_threads_nothing_is_remembered_as_unreachable(
    machine: Machine, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next reconcile probes what was not probed."""
    machine.node.settings(SETTINGS.replace("direct = []", 'direct = "auto"'))
    monkeypatch.setattr(inputs, "is_on_instance", lambda host, sources: True)
    with monkeypatch.context() as patch:
        limit_program(patch, 0)
        assert machine.reconcile().problems == ()
    assert ("direct.failed", "warning") in events(logs)
    assert not machine.host.state.cached(ID, "direct")
    monkeypatch.setattr(tcp, "probe", lambda hosts, bound: {host: ProbeResult(False, ("10.0.0.1",)) for host in hosts})
    machine.reconcile()
    assert machine.host.state.cached(ID, "direct")


# --- the drop-ins of the image


def test_prepare_writes_what_needs_no_metadata(machine: Machine, logs: list[Any]) -> None:
    """Only if the files of the image name a proxy."""
    settings = machine.daemon.usable_settings()
    assert preparation.prepare(machine.daemon, settings)
    assert machine.node.read("etc/systemd/system/docker.service.d/zz-eks-proxy.conf")
    preparation.finish_preparation(machine.daemon)
    assert machine.units.reloads == 1
    assert "http_proxy" not in machine.node.read("etc/environment")
    assert machine.of(Status) == [Status("writing drop-ins")]
    assert ("file.created", "info") in events(logs)
    assert preparation.prepare(machine.daemon, settings)
    assert machine.units.reloads == 1


def test_prepare_without_a_proxy_does_nothing(machine: Machine) -> None:
    """User data may name one later."""
    machine.node.settings("")
    assert not preparation.prepare(machine.daemon, machine.daemon.usable_settings())
    assert machine.sent == []
    assert not machine.node.read("etc/systemd/system/docker.service.d/zz-eks-proxy.conf")


def test_a_failed_preparation_is_left_to_the_reconcile(
    machine: Machine, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a warning; problems of single files count as not done."""

    def fail(*_: object) -> object:
        raise FileError("wrong")

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "recall_units", fail)
        assert not preparation.prepare(machine.daemon, machine.daemon.usable_settings())
    assert events(logs) == [("prepare.failed", "warning")]
    (machine.node.root / "etc/systemd/system/docker.service.d").write_bytes(b"")
    assert not preparation.prepare(machine.daemon, machine.daemon.usable_settings())


class Slow:
    """A reload that waits until it may end, and fails as often as it should."""

    def __init__(self, machine: Machine, monkeypatch: pytest.MonkeyPatch, *, failures: int = 0) -> None:
        self.may_end, self.failures, self.machine = threading.Event(), failures, machine
        self.reload = machine.units.reload
        #: Messages READY=1 so far, at each reload.
        self.ready: list[int] = []
        monkeypatch.setattr(machine.units, "reload", self)

    def __call__(self) -> None:
        """Reload."""
        assert self.may_end.wait(60)
        time.sleep(0.1)
        self.ready.append(len(self.machine.of(Ready)))
        self.failures -= 1
        if self.failures >= 0:
            raise CommandError("no bus")
        self.reload()


def in_background(machine: Machine) -> None:
    """Begin what a first boot begins."""
    assert preparation.prepare(machine.daemon, machine.daemon.usable_settings())
    assert machine.units.background is not None
    assert machine.host.state.reload_pending  # a run after a kill reloads


def test_systemd_reloads_beside_the_reconcile(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are written meanwhile; the gates open after the reload, and nothing is pending."""
    slow = Slow(machine, monkeypatch)
    written: list[bool] = []
    real = reconcile.finish_commands

    def finish(plan: Plan, host: Host, state: LockedState) -> Plan:
        written.append(PROXY in machine.node.read("etc/environment") and not host.state.ready and not slow.ready)
        slow.may_end.set()
        return real(plan, host, state)

    monkeypatch.setattr(reconcile, "finish_commands", finish)
    in_background(machine)
    assert machine.reconcile(Trigger.DAEMON_CYCLE).problems == ()
    assert written == [True]
    assert machine.host.state.ready
    assert not machine.host.state.reload_pending
    assert machine.units.reloads == 1


def test_a_failed_reload_keeps_the_gates_closed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reconcile has the problem, and the reload stays pending."""
    Slow(machine, monkeypatch, failures=1).may_end.set()
    in_background(machine)
    assert machine.reconcile(Trigger.DAEMON_CYCLE).problems == ("no bus",)
    assert machine.host.state.reload_pending
    assert not machine.host.state.ready
    assert machine.reconcile().problems == ()
    assert machine.host.state.ready


def test_a_reconcile_with_drop_ins_reloads_after_the_one_in_the_background(machine: Machine) -> None:
    """What failed there is its problem, and stays pending although its own reload succeeds."""

    def fail(names: Sequence[str]) -> None:
        del machine.units.__dict__["enable"]
        raise CommandError("no such unit")

    machine.node.settings(SETTINGS.replace("enable = []", 'enable = ["docker"]'))
    machine.units.states[DOCKER] = UnitState(DOCKER, exists=True, enabled="disabled", active="inactive")
    machine.units.__dict__["enable"] = fail
    in_background(machine)
    machine.node.settings(
        SETTINGS.replace('["docker"]', '["docker", "kubelet"]').replace("enable = []", 'enable = ["docker"]')
    )
    assert machine.reconcile(Trigger.DAEMON_CYCLE).problems == ("no such unit",)
    assert (machine.units.reloads, machine.host.state.reload_pending) == (2, True)
    assert machine.reconcile().problems == ()
    assert (machine.units.reloads, machine.host.state.reload_pending) == (3, False)
    assert machine.units.started == [DOCKER] * 2


def test_drop_ins_of_another_run_stay_pending(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """`apply` of user data may be killed before its reload, while the boot's is under way."""
    slow = Slow(machine, monkeypatch)
    in_background(machine)
    with machine.host.locked() as state:
        state.set_reload_pending(True)
    slow.may_end.set()
    assert machine.reconcile(Trigger.DAEMON_CYCLE).problems == ()
    assert machine.units.reloads == 2
    assert not machine.host.state.reload_pending


@pytest.mark.parametrize(
    ("failures", "policy", "result"),
    [(0, "open", True), (1, "open", True), (1, "closed", True), (9, "open", False), (9, "closed", False)],
)
def test_a_boot_ends_with_systemd_reloaded(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, failures: int, policy: str, *, result: bool
) -> None:
    """Before READY=1.  What fails is tried again at once; after that the gates stay closed."""
    machine.node.settings(SETTINGS + f'[failure]\npolicy = "{policy}"\n')
    slow = Slow(machine, monkeypatch, failures=failures)
    slow.may_end.set()
    assert (boot.boot(machine.daemon) is not None) == result
    assert slow.ready == [0] * (1 if failures == 0 else 2)
    assert machine.host.state.reload_pending is not result
    assert machine.host.state.ready is result
    assert len(machine.of(Ready)) == 1


def test_a_boot_without_metadata_waits_for_the_reload(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Units that start now get their drop-ins; another run with the lock delays nothing."""
    slow = Slow(machine, monkeypatch)

    def request(*_: object) -> Facts:
        slow.may_end.set()
        raise MetadataError("no answer")

    monkeypatch.setattr(boot, "request_facts", request)
    assert boot.boot(machine.daemon) is None
    assert slow.ready == [0]
    assert not machine.host.state.reload_pending


def test_a_degraded_boot_needs_no_lock_to_end(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken for work in the background only, and no error of the lock stops READY=1."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("no locks available")

    machine.node.settings("")
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "finish_commands", lambda *_: pytest.fail("locked"))
        preparation.finish_preparation(machine.daemon)
    machine.node.settings(SETTINGS)
    in_background(machine)
    monkeypatch.setattr(preparation, "finish_commands", fail)
    preparation.finish_preparation(machine.daemon)
    assert machine.host.state.reload_pending


def test_a_boot_whose_second_try_finds_the_lock_taken_releases_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first result does not count: systemd has not reloaded."""
    Slow(machine, monkeypatch, failures=1).may_end.set()
    real, results = boot.reconcile_once, list[ReconcileResult]()

    def once(*arguments: Any) -> ReconcileResult:
        if results:
            raise LockedError("locked by another run")
        results.append(real(*arguments))
        return results[0]

    monkeypatch.setattr(boot, "reconcile_once", once)
    monkeypatch.setattr(boot, "release_gated_units", lambda *_: pytest.fail("released"))
    assert boot.boot(machine.daemon) is None
    assert len(machine.of(Ready)) == 1


def test_the_messages_of_a_cycle_are_sent_together(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its end, however it ends; only what announces a silence is sent before."""
    lines: list[str] = []

    def run(daemon: Daemon, reason: Reason) -> int:
        daemon.send(Status("one"))
        daemon.send(Busy(7.0))
        assert machine.sent == [Busy(7.0)]
        daemon.send(NextRun(3.0))
        assert lines == []
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "_run", run)
    with pytest.raises(KeyboardInterrupt):
        worker._run_quietly(machine.daemon, Reason.TIME, lines.append)
    assert lines == [encode(Status("one")) + "\n" + encode(NextRun(3.0))]


def test_units_of_the_last_boot_are_recalled_for_the_same_image(machine: Machine) -> None:
    """On the same machine; a corrupt record, or that of another one, is ignored."""
    machine.node.write("etc/machine-id", b"a" * 32 + b"\n")
    image = machine.daemon.usable_settings()
    assert preparation.recall_units(machine.host, image) == image
    node = evolve(image.node, units=(DOCKER, "app.service"), enable=("app.service",))
    settings = evolve(image, node=node, failure=evolve(image.failure, policy="closed"))
    preparation.remember_units(machine.host, image, settings)
    recalled = preparation.recall_units(machine.host, image)
    assert (recalled.node, recalled.failure) == (settings.node, settings.failure)
    other = evolve(image, node=evolve(image.node, units=("other.service",)))
    assert preparation.recall_units(machine.host, other) == other
    machine.node.write("etc/machine-id", b"b" * 32)
    assert preparation.recall_units(machine.host, image) == image
    preparation.remember_units(machine.host, image, image)
    assert machine.host.state.prepared() is None


@pytest.mark.parametrize("enable", [None, (), ("app.service",)])
def test_recalled_units_to_enable(machine: Machine, enable: tuple[str, ...] | None) -> None:
    """None is "auto", the default, which differs from an empty list; none of them is corrupt."""
    image = machine.daemon.usable_settings()
    settings = evolve(image, node=evolve(image.node, units=("x.service",), enable=enable))
    preparation.remember_units(machine.host, image, settings)
    assert preparation.recall_units(machine.host, image).node.enable == enable
    assert machine.host.state.losses() == {}


@pytest.mark.parametrize(
    "changes", [{"units": "abc"}, {"enable": "abc"}, {"enable": 5}, {"units": None}, {"units": [1]}]
)
def test_a_corrupt_record_of_units_is_ignored(machine: Machine, changes: dict[str, Any]) -> None:
    """A text is not a list of names."""
    image = machine.daemon.usable_settings()
    settings = evolve(image, node=evolve(image.node, units=("x.service",)))
    preparation.remember_units(machine.host, image, settings)
    path = "var/lib/eks-proxy-agent/prepared.json"
    machine.node.write(path, json.dumps({**json.loads(machine.node.read(path)), **changes}).encode())
    assert preparation.recall_units(machine.host, image) == image
    assert list(machine.host.state.losses()) == ["/" + path]


def test_the_record_of_units_is_written_only_if_it_differs(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise each cycle would take the lock for it."""
    image = machine.daemon.usable_settings()
    settings = evolve(image, node=evolve(image.node, units=("x.service",)))
    preparation.remember_units(machine.host, image, settings)
    monkeypatch.setattr(Host, "locked", lambda self: pytest.fail("locked"))
    preparation.remember_units(machine.host, image, settings)


def test_wrong_settings_of_a_closed_image_hold_docker_back(machine: Machine, logs: list[Any]) -> None:
    """Only the gates are written."""
    machine.node.settings('[failure]\npolicy = "closed"\n[nonsense]\n')
    with pytest.raises(AgentError, match="nonsense"):
        boot._static_settings(machine.daemon)
    assert machine.node.read("etc/systemd/system/docker.service.d/91-eks-proxy-closed.conf")
    assert not machine.node.read("etc/systemd/system/docker.service.d/zz-eks-proxy.conf")
    assert ("file.created", "info") in events(logs)


def test_wrong_settings_of_an_open_image_write_nothing(machine: Machine) -> None:
    """docker starts with the last good values."""
    machine.node.settings("[nonsense]\n")
    with pytest.raises(AgentError, match="nonsense"):
        boot._static_settings(machine.daemon)
    assert not machine.node.read("etc/systemd/system/docker.service.d/91-eks-proxy-closed.conf")


# --- probes after READY=1


def test_endpoints_that_are_direct_now_are_added(
    machine: Machine, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reconcile that follows writes them; without any the result stays."""
    result = machine.reconcile()
    static = machine.daemon.static_settings()
    logs.clear()
    monkeypatch.setattr(boot, "probe_again", lambda state, inputs: {})
    assert boot._reprobe(machine.daemon, static, result) is result
    assert logs == []
    found = {"b.example": ProbeResult(True, ("10.0.0.1",)), "a.example": ProbeResult(True, ("10.0.0.2",))}
    monkeypatch.setattr(boot, "probe_again", lambda state, inputs: found)
    assert boot._reprobe(machine.daemon, static, result) is not result
    assert (logs[0]["event"], logs[0]["hosts"]) == ("direct.found", ["a.example", "b.example"])
    saved = machine.host.state.of_instance(ID, "direct")
    assert saved
    assert set(saved) == set(found)


def test_a_failed_probe_after_ready_is_a_warning(
    machine: Machine, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node is configured already."""
    result = machine.reconcile()
    logs.clear()

    def fail(*_: object) -> object:
        raise FileError("wrong")

    monkeypatch.setattr(boot, "probe_again", fail)
    assert boot._reprobe(machine.daemon, machine.daemon.static_settings(), result) is result
    assert events(logs) == [("direct.failed", "warning")]


# --- a whole boot


def test_a_boot_sends_ready_in_every_case(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configured, degraded, or after a bug; the result is None unless everything is done."""
    monkeypatch.setattr(boot, "start_bootstrap", lambda daemon: None)
    assert boot.boot(machine.daemon)
    assert machine.of(Ready) == [Ready()]
    for error in (FileError("x"), ValueError("bug"), MemoryError()):
        machine.sent.clear()

        def fail(*_: object, _error: Exception = error) -> object:
            raise _error

        monkeypatch.setattr(boot, "reconcile_once", fail)
        assert boot.boot(machine.daemon) is None
        assert machine.of(Ready) == [Ready()]


def test_a_boot_that_cannot_release_units_is_tried_again(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon then retries soon."""
    monkeypatch.setattr(boot, "release_gated_units", lambda daemon, result: False)
    assert boot.boot(machine.daemon) is None


# --- a cycle


def test_cached_facts_count_while_metadata_is_unreachable(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this boot; without any the error is raised."""
    machine.reconcile()

    def fail(*_: object) -> object:
        raise MetadataError("down")

    monkeypatch.setattr(cycle, "request_facts", fail)
    static = machine.daemon.static_settings()
    with pytest.raises(MetadataError):
        cycle._current_or_cached_facts(machine.daemon, static, is_full=False)
    machine.remember(instance=ID)
    facts, error = cycle._current_or_cached_facts(machine.daemon, static, is_full=False)
    assert (facts, str(error)) == (machine.facts(), "down")


def test_status_has_both_problems_of_a_cycle(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without metadata the last facts count; a file that cannot be written does not hide that."""
    machine.reconcile()
    machine.remember(instance=ID)
    drop_in = machine.node.root / "etc/systemd/system/docker.service.d/zz-eks-proxy.conf"
    drop_in.unlink()
    drop_in.mkdir()

    def fail(*_: object) -> object:
        raise MetadataError("metadata service: down", hint="check it")

    monkeypatch.setattr(cycle, "request_facts", fail)
    cycle.run_cycle(machine.daemon, Reason.RELOAD)
    status = machine.host.state.status()
    assert status
    assert status.error
    first, second = status.error.splitlines()
    assert first == "metadata service: down"
    assert "zz-eks-proxy.conf" in second
    assert status.counters
    assert status.counters.failures["metadata"] == sum(status.counters.failures.values()) == 1
    assert status.counters.passes == {"configured": 0, "unconfigured": 0, "degraded": 1}


def test_each_cycle_is_counted_once(machine: Machine) -> None:
    """By the phase it ended in, across workers; a command of the operator is not counted."""
    machine.reconcile(Trigger.COMMAND)
    counts = []
    for text in (SETTINGS, SETTINGS, "", "oops = 1\n", SETTINGS):
        machine.node.settings(text)
        cycle.run_cycle(machine.daemon, Reason.RELOAD)
        status = machine.host.state.status()
        assert status
        assert status.counters
        counts.append((*status.counters.passes.values(), status.counters.failures["settings"]))
    assert counts == [(1, 0, 0, 0), (2, 0, 0, 0), (2, 1, 0, 0), (2, 1, 1, 1), (3, 1, 1, 1)]
    assert 'eks_proxy_agent_passes_total{result="configured"} 3' in machine.node.read(
        "run/eks-proxy-agent/metrics.prom"
    )


@pytest.mark.parametrize(
    ("deadline", "limit"), [(None, retry.METADATA_TIMEOUT), (0.5, 0.5), (60.0, retry.METADATA_TIMEOUT)]
)
def test_a_cycle_does_not_wait_for_metadata(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, deadline: float | None, limit: float
) -> None:
    """Cached facts exist by then."""
    budgets: list[float] = []

    def request(daemon: Daemon, static: Any, budget: Budget) -> Facts:
        budgets.append(budget.seconds)
        return machine.facts()

    monkeypatch.setattr(cycle, "request_facts", request)
    machine.node.settings(SETTINGS + (f"[metadata]\ndeadline = {deadline}\n" if deadline else ""))
    static = machine.daemon.static_settings()
    assert cycle._current_or_cached_facts(machine.daemon, static, is_full=False) == (machine.facts(), None)
    assert budgets == [limit]


def test_stale_units_are_logged_once(machine: Machine, logs: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """And again if others are; by default nothing is restarted."""
    result = machine.reconcile()
    logs.clear()
    stale = [(DOCKER,)]
    monkeypatch.setattr(cycle, "node_outdated", lambda *_: OutdatedUnits(stale[0]))
    monkeypatch.setattr(cycle, "restart_stale", lambda *_: pytest.fail("restarted"))
    for units in ((DOCKER,), (DOCKER,), (DOCKER, "kubelet.service"), (), (DOCKER,)):
        stale[0] = units  # type: ignore[assignment]
        assert cycle._check_units(machine.daemon, result) == OutdatedUnits(units)
    assert [entry["units"] for entry in logs] == [(DOCKER,), (DOCKER, "kubelet.service"), (DOCKER,)]
    assert logs[0]["meaning"].endswith("systemctl restart docker.service")


def test_stale_units_are_restarted_on_request(
    machine: Machine, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What remains stale afterwards is logged."""
    machine.node.settings(SETTINGS + '[watch]\nrestart = "changed"\n')
    result = machine.reconcile()
    logs.clear()
    answers = [OutdatedUnits((DOCKER,)), OutdatedUnits()]
    restarted: list[Any] = []
    monkeypatch.setattr(cycle, "node_outdated", lambda *_: answers.pop(0))
    monkeypatch.setattr(cycle, "restart_stale", lambda *arguments: restarted.append(arguments))
    assert cycle._check_units(machine.daemon, result) == OutdatedUnits()
    ((host, instance_id, intent, _, _, busy),) = restarted
    assert (host, instance_id, intent) == (machine.host, ID, result.intent)
    busy(3.0)
    assert machine.of(Busy) == [Busy(3.0)]
    assert logs == []


def test_units_that_cannot_be_examined_are_unknown(
    machine: Machine, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the cycle before stay in status.json."""
    result = machine.reconcile()
    logs.clear()

    def fail(*_: object) -> object:
        raise CommandError("timed out")

    monkeypatch.setattr(cycle, "node_outdated", fail)
    assert cycle._check_units(machine.daemon, result) is None
    assert events(logs) == [("units.failed", "error")]


def test_a_failed_switch_keeps_the_result(machine: Machine, logs: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The next cycle tries again."""
    result = machine.reconcile()
    assert cycle._switch_proxy(machine.daemon, result)[1] is True

    def fail(*_: object) -> object:
        raise FileError("wrong")

    monkeypatch.setattr(cycle, "reconcile_once", fail)
    assert cycle._switch_proxy(machine.daemon, result) == (result, False)
    assert ("node.degraded", "error") in events(logs)


@pytest.mark.parametrize(
    ("is_settled", "is_boot", "low", "high"),
    [(True, False, 540.0, 660.0), (True, True, 60.0, 60.0), (False, False, 2.0, 4.0), (False, True, 2.0, 4.0)],
)
def test_the_next_cycle(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, is_settled: bool, is_boot: bool, low: float, high: float
) -> None:
    """After the interval, soon after a boot, or as a retry; the supervisor and status.json know."""
    monkeypatch.setattr(cycle, "_check_units", lambda daemon, result: OutdatedUnits((DOCKER,)))
    result = machine.reconcile() if is_settled else None
    if not result:
        machine.host.files.put(STATUS, json.dumps(StatusDocument("degraded").to_json()).encode())
    machine.sent.clear()
    cycle.finish_cycle(machine.daemon, result, is_settled=is_settled, is_boot=is_boot)
    (run,) = machine.of(NextRun)
    assert low <= run.seconds <= high
    assert len(machine.of(WatchPaths)) == 1
    assert machine.memory.failures == (not is_settled)
    status = machine.host.state.status()
    assert status
    assert status.next_pass
    stale = (DOCKER,) if result and not is_boot else () if result else None
    assert (status.stale_units or ()) == (stale or ())
    restart_needed = [message for message in machine.of(Status) if "restart needed" in message.text]
    assert bool(restart_needed) == (is_settled and not is_boot)


def test_units_that_run_at_boot_are_reported_before_the_health_checks(
    machine: Machine, logs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that is started on a running node is late: journal and status say so at once.

    watch.restart counts after the health checks, which may choose another proxy.
    """
    machine.node.settings(SETTINGS + '[watch]\nrestart = "changed"\n')
    result = machine.reconcile()
    logs.clear()
    stale: list[tuple[str, ...]] = [(DOCKER,), (DOCKER,), (), ()]
    monkeypatch.setattr(cycle, "node_outdated", lambda *_: OutdatedUnits(stale.pop(0)))
    restarted: list[object] = []
    monkeypatch.setattr(cycle, "restart_stale", lambda *arguments: restarted.append(arguments))

    def check(host: Host, resolved: object) -> Any:
        status = host.state.status()
        assert status
        assert (status.stale_units, restarted) == ((DOCKER,), [])
        assert [entry["event"] for entry in logs] == ["units.stale"]
        assert "restart needed: docker.service" in machine.of(Status)[-1].text
        return cycle.proxies.ProxyCheck(False, 7.0)

    monkeypatch.setattr(cycle.proxies, "check", check)
    cycle.finish_cycle(machine.daemon, result, is_settled=True, is_boot=True)
    assert len(restarted) == 1
    status = machine.host.state.status()
    assert status
    assert status.stale_units == ()
    monkeypatch.setattr(cycle.proxies, "check", lambda host, resolved: cycle.proxies.ProxyCheck(False, 7.0))
    cycle.finish_cycle(machine.daemon, result, is_settled=True, is_boot=True)
    assert len(restarted) == 1
    assert stale == []


def test_contested_files_are_in_the_status_line(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """And in the journal, once an hour."""
    monkeypatch.setattr(cycle, "_check_units", lambda daemon, result: OutdatedUnits())
    result = machine.reconcile()
    machine.sent.clear()
    cycle.finish_cycle(machine.daemon, result, is_settled=True)
    assert machine.of(Status) == []
    machine.remember(contested={"/etc/environment": -1e6})
    with structlog.testing.capture_logs() as logs:
        cycle.finish_cycle(machine.daemon, result, is_settled=True)
        cycle.finish_cycle(machine.daemon, result, is_settled=True)
    assert [entry["file"] for entry in logs if entry["event"] == "drift.fought"] == ["/etc/environment"]
    assert all("contested, left alone: /etc/environment" in message.text for message in machine.of(Status))
    assert len(machine.of(Status)) == 2


def test_of_several_proxies_the_next_check_may_be_earlier(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Than the next cycle; one proxy that fails is not urgent, since there is no other."""
    monkeypatch.setattr(cycle, "_check_units", lambda daemon, result: OutdatedUnits())
    monkeypatch.setattr(cycle.proxies, "check", lambda host, resolved: cycle.proxies.ProxyCheck(False, 7.0))
    cycle.finish_cycle(machine.daemon, machine.reconcile(), is_settled=True)
    machine.node.settings(SETTINGS.replace(f'"{PROXY}"', f'["{PROXY}", "http://spare:1"]'))
    cycle.finish_cycle(machine.daemon, machine.reconcile(), is_settled=True)
    first, second = machine.of(NextRun)
    assert first.seconds > 500
    assert second.seconds == 7.0


@pytest.mark.parametrize("is_switched", [True, False])
def test_another_proxy_is_a_reconcile(machine: Machine, monkeypatch: pytest.MonkeyPatch, is_switched: bool) -> None:
    """If that fails, the next cycle is a retry."""
    monkeypatch.setattr(cycle, "_check_units", lambda daemon, result: OutdatedUnits())
    monkeypatch.setattr(cycle.proxies, "check", lambda host, resolved: cycle.proxies.ProxyCheck(True, 7.0))
    monkeypatch.setattr(cycle, "_switch_proxy", lambda daemon, result: (result, is_switched))
    cycle.finish_cycle(machine.daemon, machine.reconcile(), is_settled=True)
    assert machine.memory.failures == (not is_switched)


# --- status.json


def test_a_corrupt_status_is_replaced(machine: Machine) -> None:
    """By a reconcile, by an error, and by the schedule after these."""
    for write in ("reconcile", "degraded"):
        machine.node.write("run/eks-proxy-agent/status.json", b"{")
        if write == "reconcile":
            machine.reconcile()
        else:
            degraded.report_degraded(machine.daemon, FileError("x"))
        status = machine.host.state.status()
        assert status
        assert status.phase == ("configured" if write == "reconcile" else "degraded")
        assert (status.version, bool(status.updated), bool(status.since)) == (status_file.__version__, True, True)


def test_a_reconcile_replaces_all_of_its_fields(machine: Machine) -> None:
    """Those of another instance, as an image carries them."""
    machine.reconcile()
    before = machine.host.state.status()
    assert before
    fields = ("instance_id", "region", "digest", "proxy", "no_proxy", "files", "warnings")
    other = {"instance_id": "i-1", "region": "us-east-1", "warnings": ("old",), "files": ("/old",)}
    others = evolve(before, **other, digest="old", proxy=None, no_proxy=())
    with machine.host.locked() as state:
        state.save_status(others)
    machine.reconcile()
    after = machine.host.state.status()
    assert after
    assert [getattr(after, name) for name in fields] == [getattr(before, name) for name in fields]
    assert after.region == FACTS["region"]
    assert after.files
    machine.node.settings("")
    machine.reconcile()
    after = machine.host.state.status()
    assert after
    assert (after.phase, after.digest, after.proxy, after.no_proxy, after.preflight) == (
        "unconfigured",
        None,
        None,
        (),
        None,
    )


def test_since_changes_with_the_phase_only(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last success stays while the node is degraded."""
    now = [1000.0]
    monkeypatch.setattr(status_file.time, "time", lambda: now[0])
    moments = []
    for error in ("", "", "x", "y", ""):
        if error:
            degraded.report_degraded(machine.daemon, FileError(error))
        else:
            machine.reconcile()
        status = machine.host.state.status()
        assert status
        moments.append((status.phase, status.since, status.updated, status.last_success, status.error))
        now[0] += 10
    assert moments == [
        ("configured", 1000, 1000, 1000, None),
        ("configured", 1000, 1010, 1010, None),
        ("degraded", 1020, 1020, 1010, "x"),
        ("degraded", 1020, 1030, 1010, "y"),
        ("configured", 1040, 1040, 1040, None),
    ]


def test_the_written_list_is_that_of_this_instance(machine: Machine) -> None:
    """An image carries the status of another one."""
    assert status_file.written_list(machine.host.state, ID) == ""
    result = machine.reconcile()
    assert result.intent
    assert status_file.written_list(machine.host.state, ID) == dict(result.intent.variables(secret=False))["no_proxy"]
    assert status_file.covered_units(machine.host.state, ID) == {DOCKER}
    assert status_file.written_list(machine.host.state, "i-1") == ""
    assert status_file.covered_units(machine.host.state, "i-1") == frozenset()


def test_the_schedule_keeps_units_that_were_not_examined(machine: Machine) -> None:
    """Without status.json there is nothing to add to."""
    with machine.host.locked() as state:
        assert status_file.save_schedule(state, Memory(), None, 5.0) is None
    machine.reconcile()
    with machine.host.locked() as state:
        first = status_file.save_schedule(
            state, Memory(total=3, contested={"/b": 1.0, "/a": 1.0}), OutdatedUnits(("a",), ("b",)), 5.9
        )
        second = status_file.save_schedule(state, Memory(), None, 6.0)
    assert first
    assert second
    assert (first.stale_units, first.deferred_units, first.next_pass) == (("a",), ("b",), 5)
    assert first.repairs
    assert (first.repairs.total, first.repairs.fought) == (3, ("/a", "/b"))
    assert (second.stale_units, second.deferred_units, second.next_pass) == (("a",), ("b",), 6)
    assert machine.host.state.status() == second


@pytest.mark.parametrize(("is_running", "expected"), [(True, [retry.AFTER_READY]), (False, [])])
def test_the_runtimes_start_before_the_rest_of_a_boot(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, is_running: bool, expected: list[float]
) -> None:
    """The work after READY=1 leaves the cores to them; without systemd nothing starts."""
    pauses: list[float] = []
    monkeypatch.setattr(worker, "boot", lambda daemon: daemon.send(Ready()))
    monkeypatch.setattr(cycle, "finish_cycle", lambda *_, **__: machine.sent.append("finished"))
    monkeypatch.setattr(machine.daemon.signals, "sleep", lambda seconds, *_: pauses.append(seconds))
    machine.units.running = is_running
    worker._run_once(machine.daemon, Reason.BOOT)
    assert pauses == expected
    assert machine.sent[1:] == ["finished"]
