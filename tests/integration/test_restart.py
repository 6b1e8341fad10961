"""Restarts of stale units, starts of held ones, and what keeps the daemon from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.core.noproxy.entries import Entry
from agent.core.plan.drift import Memory
from agent.core.plan.files.systemd_dropin import ClosedGate
from agent.core.plan.plan import Change, Plan
from agent.core.settings.schema import Failure, Settings
from agent.core.status.document import StatusDocument
from agent.core.systemd import UnitState
from agent.daemon.journal_events import log_restart
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.errors import CommandError, LockedError
from agent.node import units
from agent.node.host import Host
from agent.node.units import Outcome

ID = "i-0123456789abcdef0"
PROXY = ProxyUrl("http", "proxy.corp", 3128)
INTENT = Intent(PROXY, PROXY, (Entry("a.corp", "owner"),))
DOCKER, KUBELET, CONTAINERD, APP = "docker.service", "kubelet.service", "containerd.service", "app.service"


class Fake(Systemd):
    """A systemd that restarts units at once; `failing` ones do not come up again."""

    def __init__(self) -> None:
        super().__init__(running=False)
        self.stale = [KUBELET, APP, CONTAINERD, DOCKER]
        self.failing: dict[str, str] = {}
        self.also: dict[str, list[str]] = {}
        self.restarted: list[str] = []
        self.started: list[str] = []
        self.busy: list[float] = []
        self.records: list[Any] = []
        self.host: Host | None = None
        self.states: dict[str, UnitState] = {}

    def try_restart(self, name: str, *, timeout: float) -> None:
        """Restart a unit, which is then no longer stale, and those that go with it."""
        assert timeout == units.BOUND
        assert self.host
        self.records.append(self.host.state.of_instance(ID, "restarts"))
        self.restarted.append(name)
        if self.failing.get(name) == "error":
            raise CommandError("timed out")
        self.stale = [other for other in self.stale if other not in (name, *self.also.get(name, []))]

    def show(self, names: Sequence[str], *, timeout: float = 30.0) -> dict[str, UnitState]:
        """Return the states."""
        return {
            name: self.states.get(name, UnitState(name, active=self.failing.get(name, "active"), main_pid=1))
            for name in names
        }

    def start(self, names: Sequence[str]) -> None:
        """Record it."""
        self.started += names


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with four stale units."""
    files = FileSystem(str(tmp_path))
    host = Host(files, State(files), Fake())
    assert isinstance(host.units, Fake)
    host.units.host = host
    return host


@pytest.fixture
def systemd(host: Host, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Its units; nothing is refused."""
    monkeypatch.setattr(units, "_runtime_refusal", lambda host, name: "")
    assert isinstance(host.units, Fake)
    return host.units


def restart(host: Host, intent: Intent = INTENT) -> tuple[str, ...]:
    """Restart what is stale, as the daemon does; return the restarted units."""
    systemd = host.units
    assert isinstance(systemd, Fake)
    results = units.restart_stale(host, ID, intent, lambda: list(systemd.stale), log_restart, systemd.busy.append)
    return tuple(result.unit for result in results if result.outcome is Outcome.RESTARTED)


def test_runtimes_come_first_and_kubelet_last(host: Host, systemd: Fake) -> None:
    """Each is recorded before it is restarted, and the supervisor knows how long it may take."""
    done = restart(host)
    assert done == tuple(systemd.restarted)
    assert set(done[:2]) == {DOCKER, CONTAINERD}
    assert done[2:] == (APP, KUBELET)
    assert [list(record) for record in systemd.records] == [sorted(done[: number + 1]) for number in range(4)]
    assert systemd.busy == [units.BOUND] * 4


def test_a_unit_is_restarted_once_for_a_change(host: Host, systemd: Fake) -> None:
    """Even if it stays stale; another environment, other credentials or another CA are a change."""
    systemd.try_restart = lambda name, timeout: systemd.restarted.append(name)  # type: ignore[method-assign, assignment]
    systemd.stale = [APP]
    assert restart(host) == (APP,)
    assert restart(host) == ()
    assert restart(host, Intent(PROXY, PROXY, INTENT.no_proxy, Credentials("u", "p"))) == (APP,)
    assert restart(host, Intent(PROXY, PROXY, ())) == (APP,)
    with host.locked() as state:
        state.save_memory(Memory(ca_changed_at=5.0))
    assert restart(host, Intent(PROXY, PROXY, ())) == (APP,)
    assert restart(host, Intent(PROXY, PROXY, ())) == ()
    assert systemd.restarted == [APP] * 4


def test_restarts_are_counted(host: Host, systemd: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """By outcome, a refusal that is repeated only once; a corrupt status.json holds up nothing."""
    systemd.try_restart = lambda name, timeout: systemd.restarted.append(name)  # type: ignore[method-assign, assignment]
    systemd.stale = [APP, CONTAINERD]
    assert restart(host)  # before the first reconcile nothing is counted
    with host.locked() as state:
        state.save_status(StatusDocument("configured"))
    systemd.failing = {APP: "failed"}
    restart(host, Intent(PROXY, PROXY, ()))
    monkeypatch.setattr(units, "_runtime_refusal", lambda host, name: "live-restore is off")
    for _ in range(2):
        restart(host, Intent(PROXY, PROXY, INTENT.no_proxy, Credentials("u", "p")))
    status = host.state.status()
    assert status
    assert status.counters
    assert status.counters.restarts == {"restarted": 1, "refused": 1, "failed": 2}
    host.files.put("/run/eks-proxy-agent/status.json", b"{")
    systemd.failing = {}
    assert APP in restart(host, Intent(PROXY, PROXY, (), Credentials("u", "p")))


def test_a_restart_that_cannot_be_counted_stops_no_other(
    host: Host, systemd: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`apply` may hold the lock then; kubelet still follows containerd."""

    def count(state: object, result: str) -> None:
        raise LockedError("another run holds the lock")

    monkeypatch.setattr(units.status_file, "count_restart", count)
    systemd.stale = [APP, CONTAINERD]
    assert sorted(restart(host)) == sorted([APP, CONTAINERD])


def test_a_corrupt_record_is_as_good_as_none(host: Host, systemd: Fake) -> None:
    """One redundant restart at most."""
    host.files.put(f"/var/lib/eks-proxy-agent/instances/{ID}/restarts.json", b"{")
    systemd.stale = [APP]
    assert restart(host) == (APP,)


@pytest.mark.parametrize("failure", ["error", "failed", "activating"])
def test_kubelet_stays_after_a_runtime_that_failed(host: Host, systemd: Fake, failure: str) -> None:
    """Its pods would not start; the other units are restarted."""
    systemd.failing = {DOCKER: failure}
    assert set(restart(host)) == {CONTAINERD, APP}
    assert KUBELET not in systemd.restarted
    assert KUBELET not in (host.state.of_instance(ID, "restarts") or {})


def test_kubelet_stays_whatever_fails_after_the_runtime(host: Host, systemd: Fake) -> None:
    """Another failure does not make up for it."""
    systemd.failing = {DOCKER: "failed", APP: "failed"}
    assert restart(host) == (CONTAINERD,)


def test_kubelet_is_restarted_after_another_unit_that_failed(host: Host, systemd: Fake) -> None:
    """Only the runtimes matter to it."""
    systemd.failing = {APP: "failed"}
    assert restart(host)[-1] == KUBELET
    assert APP in systemd.restarted


def test_a_unit_that_systemd_restarted_with_another_one_is_left(host: Host, systemd: Fake) -> None:
    """As it does with a kubelet that requires docker."""
    systemd.also = {DOCKER: [KUBELET, APP]}
    assert set(restart(host)) == {DOCKER, CONTAINERD}


def test_a_refused_restart_is_logged_once_and_tried_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator may switch live-restore on; kubelet does not wait for that."""
    refused = ["live-restore is off"]
    monkeypatch.setattr(units, "_runtime_refusal", lambda host, name: refused[0] if name == DOCKER else "")
    systemd = host.units
    assert isinstance(systemd, Fake)
    systemd.stale = [DOCKER, KUBELET]
    with structlog.testing.capture_logs() as logs:
        assert restart(host) == (KUBELET,)
        assert restart(host) == ()
    messages = [entry for entry in logs if entry["event"] == "unit.not_restarted"]
    assert [(entry["unit"], entry["reason"], entry["log_level"]) for entry in messages] == [
        (DOCKER, "live-restore is off", "warning")
    ]
    refused[0] = ""
    assert restart(host) == (DOCKER,)
    assert restart(host) == ()


@pytest.mark.parametrize("name", [APP, KUBELET])
def test_only_a_runtime_may_be_refused(host: Host, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Others do not stop containers."""
    monkeypatch.setattr(units, "_runtime_refusal", lambda host, name: "no")
    assert isinstance(host.units, Fake)
    host.units.stale = [name]
    assert restart(host) == (name,)


def test_the_unit_of_this_process_is_not_restarted(host: Host, systemd: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that SSM runs would end with the agent of SSM, before the other restarts."""
    monkeypatch.setattr(units, "own_unit", lambda: APP)
    systemd.stale = [APP, KUBELET]
    with structlog.testing.capture_logs() as logs:
        assert restart(host) == (KUBELET,)
    reasons = {entry["unit"]: entry["reason"] for entry in logs}
    assert reasons[APP] == "this command runs in it, and would end with it"


def test_another_run_may_restart_a_unit_meanwhile(host: Host, systemd: Fake) -> None:
    """The daemon and `apply --restart` at the same moment restart it once."""
    reports: list[units.Restart] = []

    def list_stale() -> list[str]:
        restart(host)  # the other run, after this one has read the records
        return [APP, KUBELET]

    assert units.restart_stale(host, ID, INTENT, list_stale, reports.append) == ()
    assert reports == []
    assert sorted(systemd.restarted) == sorted([APP, KUBELET, CONTAINERD, DOCKER])


def test_events_of_restarts(host: Host, systemd: Fake) -> None:
    """Success is information, a failure is an error with its reason."""
    systemd.failing = {DOCKER: "error"}
    with structlog.testing.capture_logs() as logs:
        restart(host)
    events = [(entry["event"], entry["log_level"], entry["unit"], entry["reason"]) for entry in logs]
    stale = "it ran with an old environment"
    assert sorted(events) == sorted(
        [
            ("unit.restarted", "info", CONTAINERD, stale),
            ("unit.not_restarted", "error", DOCKER, "timed out"),
            ("unit.restarted", "info", APP, stale),
            ("unit.not_restarted", "error", KUBELET, "its runtime could not be restarted"),
        ]
    )


# --- gates


def gate(host: Host, unit: str) -> str:
    """Write the gate of a unit; return its path."""
    path = ClosedGate.path_of(unit)
    host.files.put(path, b"x")
    return path


def test_gates_are_closed_while_a_drop_in_exists(host: Host) -> None:
    """Whatever the settings say."""
    assert not units.gates_closed(host)
    path = gate(host, DOCKER)
    assert units.gates_closed(host)
    host.files.remove(path)
    assert not units.gates_closed(host)


HELD = UnitState(DOCKER, active="inactive", blocked=True)
CLOSED, OPEN = Settings(failure=Failure(policy="closed")), Settings()


@pytest.mark.parametrize(
    ("settings", "paths", "expected"),
    [
        (CLOSED, [], [DOCKER]),
        (OPEN, [ClosedGate.path_of(DOCKER)], [DOCKER]),
        (OPEN, ["/etc/environment"], []),
        (OPEN, [], []),
    ],
)
def test_held_units_are_started_when_their_gate_opens(
    host: Host, settings: Settings, paths: list[str], expected: list[str]
) -> None:
    """With policy "closed", or when a gate was removed; nothing else would start them."""
    assert isinstance(host.units, Fake)
    host.units.states = {DOCKER: HELD}
    plan = Plan(changes=tuple(Change(path, b"x", None) for path in paths))
    assert list(units.release_units(host, settings, plan)) == host.units.started == expected


def test_without_a_held_unit_nothing_is_started(host: Host) -> None:
    """systemctl start without a unit would be an error."""
    assert isinstance(host.units, Fake)
    host.units.start = lambda names: pytest.fail("started")  # type: ignore[method-assign]
    assert units.release_units(host, CLOSED, Plan()) == ()


def test_the_record_is_private_json(host: Host, systemd: Fake) -> None:
    """It has a digest, and not the environment: that may hold a password."""
    systemd.stale = [APP]
    restart(host, Intent(PROXY, PROXY, (), Credentials("u", "s3cret")))
    path = Path(host.files.real(f"/var/lib/eks-proxy-agent/instances/{ID}/restarts.json"))
    assert list(json.loads(path.read_text())) == [APP]
    assert "s3cret" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
