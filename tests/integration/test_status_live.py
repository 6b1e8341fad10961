"""`status` of a machine: its units, its daemon, held units, and files that changed since."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.commands.status import inspect_node
from agent.core.plan.files.systemd_dropin import ClosedGate
from agent.core.status.node_view import DaemonStatus
from agent.core.systemd import UnitState
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.errors import CommandError
from agent.node.host import Host
from tests.integration.command_line import FACTS, PROXY, Node

AGENT, DOCKER, KUBELET = "eks-proxy-agent.service", "docker.service", "kubelet.service"
RECORD = f"var/lib/eks-proxy-agent/instances/{FACTS['instance_id']}/bootstrap.json"


class Live(FileSystem):
    """A tree that passes for that of the running machine."""

    live = True  # type: ignore[assignment]


class Units(Systemd):
    """Units in given states, or a systemd that does not respond."""

    def __init__(self) -> None:
        super().__init__(running=False)
        self.states: dict[str, UnitState] = {}
        self.is_silent = False

    def show(self, names: Sequence[str], *, timeout: float = 30.0) -> dict[str, UnitState]:
        """Return the states of these units."""
        if self.is_silent:
            raise CommandError("timed out")
        return {name: self.states.get(name, UnitState(name, exists=False, active="inactive")) for name in names}


class Machine:
    """A configured machine."""

    def __init__(self, directory: Path) -> None:
        self.node = Node(directory)
        self.node.settings(
            f'[proxy]\nurl = "{PROXY}"\n[node]\nunits = ["docker", "kubelet"]\nenable = []\n[aws]\ndirect = []\n'
        )
        assert self.node.main("apply").code == 0
        files = Live(str(self.node.root))
        self.units = Units()
        self.host = Host(files, State(files), self.units)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A configured machine."""
    return Machine(tmp_path)


def test_units_and_the_daemon(machine: Machine) -> None:
    """Those of the drop-ins; a unit that is not installed is absent."""
    machine.units.states = {
        DOCKER: UnitState(DOCKER, active="failed"),
        AGENT: UnitState(AGENT, active="active", enabled="enabled", main_pid=7),
    }
    view = inspect_node(machine.host)
    assert view.units == {DOCKER: "failed", KUBELET: "absent"}
    assert view.daemon == DaemonStatus("active", "enabled", 7)
    assert view.document.phase == "configured"
    machine.units.states[AGENT] = UnitState(AGENT, active="inactive", enabled="disabled", main_pid=0)
    assert inspect_node(machine.host).daemon == DaemonStatus("inactive", "disabled", None)


@pytest.mark.parametrize(
    "state", [None, UnitState(AGENT, active=""), UnitState(AGENT, exists=False, active="inactive")]
)
def test_without_its_unit_the_daemon_is_unknown(machine: Machine, state: UnitState | None) -> None:
    """In a tree, or if the package is not installed."""
    machine.units.states = {AGENT: state} if state else {}
    assert inspect_node(machine.host).daemon is None


def test_a_systemd_that_does_not_respond_leaves_the_rest(machine: Machine) -> None:
    """Files and phase are known without it."""
    machine.units.is_silent = True
    view = inspect_node(machine.host)
    assert (view.units, view.daemon) == ({}, None)
    assert set(view.files.values()) == {"ok"}


def test_held_units(machine: Machine) -> None:
    """Until the node is configured since power-on; a tree holds none."""
    ready = machine.node.root / "run/eks-proxy-agent/ready"
    for unit in (DOCKER, KUBELET):
        machine.host.files.put(ClosedGate.path_of(unit), b"x")
    assert inspect_node(machine.host).held_units == ()
    ready.unlink()
    assert set(inspect_node(machine.host).held_units) == {DOCKER, KUBELET}
    machine.host.files.remove(ClosedGate.path_of(DOCKER))
    assert inspect_node(machine.host).held_units == (KUBELET,)
    files = FileSystem(str(machine.node.root))
    assert inspect_node(Host(files, State(files), machine.units)).held_units == ()


@pytest.mark.parametrize(
    ("uid", "broken", "state"),
    [
        (0, "edited", "changed since"),
        (0, "missing", "missing"),
        (0, "directory", "is a directory"),
        (1000, "directory", "unknown (root can tell)"),
        (0, "loop", "unreadable"),
        (1000, "loop", "unknown (root can tell)"),
    ],
)
def test_states_of_a_file(machine: Machine, monkeypatch: pytest.MonkeyPatch, uid: int, broken: str, state: str) -> None:
    """Compared with what the agent wrote last; another user may not know."""
    path = machine.node.root / "etc/environment"
    path.unlink()
    if broken == "edited":
        path.write_text("A=1\n")
    elif broken == "directory":
        path.mkdir()
    elif broken == "loop":
        path.symlink_to("environment")
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    files = inspect_node(machine.host).files
    assert files.pop("/etc/environment") == state
    assert set(files.values()) == {"ok"}


@pytest.mark.parametrize(("uid", "state"), [(0, "unreadable"), (1000, "unknown (root can tell)")])
def test_a_file_that_the_baseline_does_not_have_is_ok(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, uid: int, state: str
) -> None:
    """It has the desired content already; with a corrupt baseline the state of no file is known."""
    baseline = machine.node.root / "var/lib/eks-proxy-agent/baseline.json"
    document = json.loads(baseline.read_text())
    del document["files"]["/etc/environment"]
    baseline.write_text(json.dumps(document))
    assert inspect_node(machine.host).files["/etc/environment"] == "ok"
    baseline.write_text("{")
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert set(inspect_node(machine.host).files.values()) == {state}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"exit_code": 3, "signalled": True, "time": "2026-01-01T00:00:00Z"}, (3, True)),
        ({"exit_code": None, "signalled": False, "time": "2026-01-01T00:00:00Z"}, (None, False)),
        (None, None),
        ("corrupt", None),
    ],
)
def test_the_bootstrap_of_this_instance(machine: Machine, record: object, expected: object) -> None:
    """Of no other one; a corrupt record is reported elsewhere."""
    if record:
        machine.node.write(RECORD, b"{" if record == "corrupt" else json.dumps(record).encode())
    shown = inspect_node(machine.host).bootstrap
    assert (shown and (shown.exit_code, shown.signalled)) == expected
