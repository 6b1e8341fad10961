"""What `check` concludes from how systemd has wired a unit and from the drop-ins on the disk."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from agent.checks import processes, units
from agent.checks.finding import FAIL, SKIP
from agent.checks.runner import GROUPS, examine
from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import parse_proxy_url
from agent.core.noproxy.entries import Entry
from agent.core.plan.files.environment import ENVIRONMENT, NODE_ENV
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.settings.schema import Settings
from agent.core.systemd import UnitState
from agent.edges import command
from agent.edges.files import FileSystem
from agent.edges.systemd import Systemd
from tests.integration.command_line import PROXY

OURS = EnvironmentDropin.path_of("docker.service")
FILES = (ENVIRONMENT, NODE_ENV)
#: Drop-ins as they are found on nodes: nodeadm's, one of the owner's, one for all services.
INNOCENT = {
    "/etc/systemd/system/docker.service.d/environment.conf": "[Service]\nEnvironment=A=1\n",
    "/etc/systemd/system/docker.service.d/95-note.conf": "# EnvironmentFile= of /etc/docker.env is elsewhere\n",
    "/usr/lib/systemd/system/service.d/99-all.conf": "[Service]\nEnvironmentFile=-/etc/docker.env.d/all\n",
}


@attrs.frozen
class Unit:
    """A docker.service whose drop-ins lie in a tree."""

    root: Path

    def add(self, path: str, text: str) -> str:
        """Put a drop-in on the disk."""
        real = Path(str(self.root) + path)
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text)
        return path

    def node(self) -> Any:
        """As much of a node as the checks of units look at."""
        url = parse_proxy_url(PROXY)
        intent = Intent(url, url, (Entry("localhost", "loopback"),))
        return SimpleNamespace(
            host=SimpleNamespace(files=FileSystem(str(self.root)), units=Systemd()),
            intent=intent,
            partial=False,
            settings=Settings(),
        )

    def state(self, *drop_ins: str, **changes: Any) -> UnitState:
        """What systemd says of it, with these drop-ins besides ours, in the order in which it reads
        them.
        """
        paths = sorted([OURS, *drop_ins], key=lambda path: path.rpartition("/")[2])
        return attrs.evolve(
            UnitState("docker.service", drop_ins=tuple(paths), environment_files=FILES),
            **changes,
        )

    def problem(self, state: UnitState) -> Any:
        """What is wrong with it."""
        return units.problem(self.node(), state)


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    """One with drop-ins that do no harm, and ours."""
    made = Unit(tmp_path)
    made.add(OURS, EnvironmentDropin.text)
    for path, text in INNOCENT.items():
        made.add(path, text)
    return made


DIRECTORIES = [
    "/etc/systemd/system/docker.service.d",
    "/run/systemd/system/docker.service.d",
    "/usr/lib/systemd/system/service.d",
]


def test_drop_ins_of_others_do_no_harm(unit: Unit) -> None:
    """As long as ours is loaded and nothing that is read later sets one of the variables."""
    assert unit.problem(unit.state(*INNOCENT)) is None


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_the_drop_in_that_takes_ours_back_is_named_alone(unit: Unit, directory: str) -> None:
    """Of all that are read after ours, wherever they lie, it is the one with the empty
    EnvironmentFile=.
    """
    path = unit.add(
        directory + "/92-other.conf", "[Service]\nEnvironmentFile =\nEnvironmentFile=-/etc/docker.env.d/all\n"
    )
    found = unit.problem(unit.state(path, *INNOCENT, environment_files=("/etc/docker.env.d/all",)))
    assert (found.state, found.text) == (FAIL, f"{OURS} is loaded, but {path} takes its EnvironmentFile= back")
    assert f"out of {path}, then" in found.hint


@pytest.mark.parametrize("directory", DIRECTORIES)
@pytest.mark.parametrize("unset", ["no_proxy HTTPS_PROXY", "A HTTPS_PROXY=" + PROXY])
def test_what_unsets_a_variable_is_named_wherever_it_stands(unit: Unit, directory: str, unset: str) -> None:
    """UnsetEnvironment= comes last of all (systemd.exec(5)), so a drop-in that is read before ours
    has it too.
    """
    path = unit.add(directory + "/10-other.conf", f"[Service]\nUnsetEnvironment={unset}\n")
    found = unit.problem(unit.state(path, *INNOCENT, unset=tuple(unset.split())))
    assert found.state == FAIL
    assert "HTTPS_PROXY" in found.text
    assert f"out of {path}, then" in found.hint


def test_only_the_value_that_is_named_is_unset(unit: Unit) -> None:
    """NAME=VALUE takes away a variable with that very value."""
    assert unit.problem(unit.state(*INNOCENT, unset=("HTTPS_PROXY=http://old:1",))) is None


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_the_drop_in_whose_file_wins_is_named(unit: Unit, directory: str) -> None:
    """And not another one in which the path is mentioned, or is the beginning of another."""
    unit.add("/etc/docker.env", "NO_PROXY=localhost\nHTTP_PROXY=http://other:1\n")
    path = unit.add(directory + "/91-other.conf", "[Service]\nEnvironmentFile=-/etc/docker.env\n")
    found = unit.problem(unit.state(path, *INNOCENT, environment_files=(*FILES, "/etc/docker.env")))
    assert found.state == FAIL
    assert f"EnvironmentFile=/etc/docker.env of {path} is read after ours and sets HTTP_PROXY otherwise" in found.text


def test_another_text_of_our_drop_in_is_loaded(unit: Unit) -> None:
    """Nobody takes ours back: systemd read the file when something else stood there."""
    found = unit.problem(unit.state(*INNOCENT, environment_files=(), needs_reload=True))
    assert (found.state, found.hint[:23]) == (FAIL, units.RELOAD)
    assert "another text of " + OURS in found.text


def test_our_drop_in_was_edited(unit: Unit) -> None:
    """And loaded so: the file that differs is told once, with the files."""
    unit.add(OURS, "[Service]\nEnvironmentFile=-/etc/environment\n")
    found = unit.problem(unit.state(*INNOCENT, environment_files=(ENVIRONMENT,)))
    assert (found.state, found.text) == (SKIP, "our drop-in is not as planned (see files)")


def broken(unit: Unit) -> list[UnitState]:
    """Ways in which what starts now does not get our environment."""
    taken_back = unit.add(DIRECTORIES[0] + "/99-other.conf", "[Service]\nEnvironmentFile=\n")
    return [
        unit.state(taken_back, environment_files=()),
        unit.state(unset=("no_proxy",)),
        attrs.evolve(unit.state(), drop_ins=()),
    ]


def test_a_process_is_not_to_be_restarted_when_that_would_mend_nothing(unit: Unit) -> None:
    """It has no proxy because its unit gives it none: that is one fault, told of the unit, and a
    restart no way out.
    """
    process = subprocess.Popen(["/bin/sleep", "60"], env={"HOME": "/"})
    try:
        environ = Path(f"/proc/{process.pid}/environ")
        while not environ.read_bytes():  # Popen returns in the middle of execve(2): for a moment there is none
            time.sleep(0.01)
        healthy, *ill = [attrs.evolve(state, main_pid=process.pid) for state in (unit.state(*INNOCENT), *broken(unit))]
        found = [processes._process(unit.node(), state) for state in ill]
        assert [(one.state, one.hint) for one in found] == [(SKIP, "")] * 3
        assert all("see units" in one.text for one in found)
        stale = processes._process(unit.node(), healthy)
        assert (stale.state, stale.hint) == (FAIL, "systemctl restart docker.service")
    finally:
        process.kill()
        process.wait()


def test_a_systemd_that_does_not_answer_is_one_fault(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told of the units, with a way out, and not of the processes once more."""
    monkeypatch.setattr(command, "BASE_ENVIRONMENT", {"PATH": str(unit.root)})  # there is no systemctl
    node = unit.node()
    groups = [group for group in GROUPS if group.name in (units.GROUP, processes.GROUP)]
    found = examine(node, [attrs.evolve(group, live=False, intent=False, systemd=False) for group in groups])
    assert [(one.group, one.state, bool(one.hint)) for one in found] == [
        (units.GROUP, FAIL, True),
        (processes.GROUP, SKIP, False),
    ]


@pytest.mark.parametrize(
    ("changes", "says", "way_out"),
    [
        ({"exists": False, "enabled": "masked"}, "is masked: ", "systemctl unmask "),
        ({"exists": False, "enabled": "enabled"}, "cannot be loaded by systemd: ", "systemctl status "),
        ({"exists": False, "enabled": ""}, "is not installed: ", "install the package "),
        ({"enabled": "disabled"}, "is disabled: ", "systemctl enable "),
        ({"enabled": ""}, "is not enabled: ", "systemctl enable "),
    ],
)
def test_why_the_agent_will_not_run_at_the_next_boot(changes: Any, says: str, way_out: str) -> None:
    """Each reason has its own way out."""
    found = units._agent(attrs.evolve(UnitState(units.AGENT), **changes), {})
    assert found.state == FAIL
    assert found.text.startswith(says)
    assert found.hint.startswith(way_out)
