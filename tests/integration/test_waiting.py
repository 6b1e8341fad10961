"""Units that an operator added: which of them wait for the agent, and who says if one does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.core.plan.baseline import FileState
from agent.core.plan.desired import static_files
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.record import evolve
from agent.core.settings.schema import Node as NodeSettings
from agent.core.settings.schema import Settings
from agent.core.systemd import UnitState
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.errors import CommandError
from agent.node.host import Host
from agent.node.planning import plan_node
from agent.node.waiting import order_warnings, with_order
from tests.integration.command_line import PROXY, Node

SETTINGS = Settings(node=NodeSettings(units=("docker.service", "app.service", "early.service", "absent.service")))
STATES = (
    UnitState("app.service", before=("multi-user.target",)),
    UnitState("early.service", before=("network-pre.target",)),
    UnitState("docker.service", default_dependencies=False),
)
WARNING = (
    "node.units: early.service does not wait for the agent at boot, because it starts before network-pre.target; "
    "if it needs the proxy, restart it after boot"
)


class Units(Systemd):
    """A running systemd with these units; all others do not exist."""

    def __init__(self, *states: UnitState) -> None:
        super().__init__(running=True)
        self.states = {state.name: state for state in states}
        self.fails = False

    def show(self, names: Sequence[str], *, timeout: float = 30.0) -> dict[str, UnitState]:
        """Return their states."""
        if self.fails:
            raise CommandError("systemctl: timed out")
        return {name: self.states.get(name, UnitState(name, exists=False)) for name in names}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host with these units and no files."""
    files = FileSystem(str(tmp_path))
    return Host(files, State(files), Units(*STATES))


def waiting(host: Host) -> set[str]:
    """Return the units whose drop-in makes them wait."""
    files = with_order(host, static_files(SETTINGS))
    return {file.unit for file in files if isinstance(file, EnvironmentDropin) and file.waits}


def test_only_a_unit_for_which_it_is_safe_waits(host: Host) -> None:
    """Default units are ordered by the agent's unit, whatever systemd says of them."""
    assert waiting(host) == {"app.service"}
    assert order_warnings(host, static_files(SETTINGS)) == (WARNING,)
    plan = plan_node(host, with_order(host, static_files(SETTINGS)))
    assert "app.service waits for the agent from the next boot on" in plan.notes
    assert [note for note in plan.notes if "early" in note or "docker" in note] == []


def test_without_an_answer_the_drop_ins_stay_as_they_are(host: Host, tmp_path: Path) -> None:
    """A systemd that hangs, or a directory tree, does not change the order of a boot."""
    for change in plan_node(host, with_order(host, static_files(SETTINGS))).changes:
        path = tmp_path / change.path[1:]
        path.parent.mkdir(parents=True)
        path.write_bytes(change.after or b"")
    offline = evolve(host, units=Systemd(running=False))
    assert isinstance(host.units, Units)
    host.units.fails = True
    for silent in (host, offline):
        assert waiting(silent) == {"app.service"}
        assert order_warnings(silent, static_files(SETTINGS)) == ()
        assert plan_node(silent, with_order(silent, static_files(SETTINGS))).changes == ()


def test_drop_in_that_cannot_be_read_keeps_its_order(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """An I/O error is not "does not wait": a moment later the After= would be taken away."""
    monkeypatch.setattr(FileSystem, "state", lambda *_: FileState(problem="cannot be read: Input/output error"))
    assert waiting(evolve(host, units=Systemd(running=False))) == {
        "app.service",
        "early.service",
        "absent.service",
    }


def test_default_units_cost_no_call(host: Host) -> None:
    """systemctl is called only for units that the operator added."""
    assert isinstance(host.units, Units)
    host.units.fails = True
    assert waiting(evolve(host)) == set()
    assert with_order(host, static_files(Settings())) == static_files(Settings())


def test_commands_name_a_unit_that_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """plan, apply and `config check` say it; so does status."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[node]\nunits = ["docker", "early"]\n[aws]\ndirect = []\n')
    monkeypatch.setattr("agent.node.host._units", lambda files: Units(*STATES), raising=True)
    for command in ("plan", "config check"):
        assert f"warning: {WARNING}\n" in node.main(command).err, command
