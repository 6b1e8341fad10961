"""Findings of `check` from the state of a unit in systemd and from the drop-ins on the disk."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.checks import processes, runner, units
from agent.checks.finding import FAIL, OK, SKIP, Finding
from agent.checks.runner import GROUPS, Group, examine
from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import parse_proxy_url
from agent.core.noproxy.entries import Entry
from agent.core.plan.files.environment import ENVIRONMENT, NODE_ENV
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.record import evolve, record
from agent.core.settings.schema import Settings
from agent.core.systemd import UnitState
from agent.edges import command
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from tests.integration.command_line import PROXY
from tests.integration.thread_limit import limit_threads

OURS = EnvironmentDropin.path_of("docker.service")
FILES = (ENVIRONMENT, NODE_ENV)
#: Other drop-ins, as on real nodes: one of nodeadm, one of the operator, one for all services.
HARMLESS = {
    "/etc/systemd/system/docker.service.d/environment.conf": "[Service]\nEnvironment=A=1\n",
    "/etc/systemd/system/docker.service.d/95-note.conf": "# EnvironmentFile= of /etc/docker.env is elsewhere\n",
    "/usr/lib/systemd/system/service.d/99-all.conf": "[Service]\nEnvironmentFile=-/etc/docker.env.d/all\n",
}


@record
class Unit:
    """A docker.service whose drop-ins are in a directory tree."""

    root: Path

    def add(self, path: str, text: str) -> str:
        """Write a drop-in and return its path."""
        real = Path(str(self.root) + path)
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text)
        return path

    def node(self) -> Any:
        """Return as much of a node as the checks of units read."""
        url = parse_proxy_url(PROXY)
        intent = Intent(url, url, (Entry("localhost", "loopback"),))
        return SimpleNamespace(
            host=SimpleNamespace(
                files=FileSystem(str(self.root)), units=Systemd(), state=State(FileSystem(str(self.root)))
            ),
            intent=intent,
            is_from_status=False,
            settings=Settings(),
        )

    def state(self, *drop_ins: str, **changes: Any) -> UnitState:
        """Return its state in systemd: with ours and these drop-ins, in the order of reading."""
        paths = sorted([OURS, *drop_ins], key=lambda path: path.rpartition("/")[2])
        return evolve(
            UnitState("docker.service", drop_ins=tuple(paths), environment_files=FILES),
            **changes,
        )

    def problem(self, state: UnitState) -> Any:
        """Return the problem of the unit in this state, or None."""
        return units.problem(self.node(), state)


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    """Make a unit with harmless drop-ins and ours."""
    docker = Unit(tmp_path)
    docker.add(OURS, EnvironmentDropin("docker.service").merge(None).decode())
    for path, text in HARMLESS.items():
        docker.add(path, text)
    return docker


DIRECTORIES = [
    "/etc/systemd/system/docker.service.d",
    "/run/systemd/system/docker.service.d",
    "/usr/lib/systemd/system/service.d",
]


def test_other_drop_ins_are_ok(unit: Unit) -> None:
    """Ours is loaded, and none that is read later sets one of its variables."""
    assert unit.problem(unit.state(*HARMLESS)) is None


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_the_drop_in_that_resets_ours_is_named(unit: Unit, directory: str) -> None:
    """Of the drop-ins that are read after ours, it is the one with an empty EnvironmentFile=."""
    path = unit.add(
        directory + "/zzz-other.conf", "[Service]\nEnvironmentFile =\nEnvironmentFile=-/etc/docker.env.d/all\n"
    )
    finding = unit.problem(unit.state(path, *HARMLESS, environment_files=("/etc/docker.env.d/all",)))
    assert (finding.state, finding.text) == (FAIL, f"{OURS} is loaded, but {path} resets EnvironmentFile=")
    assert f"from {path}, then" in finding.hint


@pytest.mark.parametrize("directory", DIRECTORIES)
@pytest.mark.parametrize("unset", ["no_proxy HTTPS_PROXY", "A HTTPS_PROXY=" + PROXY])
def test_the_drop_in_that_unsets_a_variable_is_named(unit: Unit, directory: str, unset: str) -> None:
    """UnsetEnvironment= applies last (systemd.exec(5)), even from a drop-in read before ours."""
    path = unit.add(directory + "/10-other.conf", f"[Service]\nUnsetEnvironment={unset}\n")
    finding = unit.problem(unit.state(path, *HARMLESS, unset=tuple(unset.split())))
    assert finding.state == FAIL
    assert f"UnsetEnvironment= of {path} removes " in finding.text
    assert "HTTPS_PROXY" in finding.text
    assert f"from {path}, then" in finding.hint


def test_unset_with_another_value_is_ok(unit: Unit) -> None:
    """UnsetEnvironment=NAME=VALUE removes a variable only if it has that value."""
    assert unit.problem(unit.state(*HARMLESS, unset=("HTTPS_PROXY=http://old:1",))) is None


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_the_drop_in_whose_file_overrides_ours_is_named(unit: Unit, directory: str) -> None:
    """A drop-in that has the path in a comment, or as the prefix of another path, is not."""
    unit.add("/etc/docker.env", "NO_PROXY=localhost\nHTTP_PROXY=http://other:1\n")
    path = unit.add(directory + "/zzz-other.conf", "[Service]\nEnvironmentFile=-/etc/docker.env\n")
    finding = unit.problem(unit.state(path, *HARMLESS, environment_files=(*FILES, "/etc/docker.env")))
    assert finding.state == FAIL
    assert f"EnvironmentFile=/etc/docker.env of {path} overrides HTTP_PROXY" in finding.text


def test_our_drop_in_changed_since_systemd_loaded_it(unit: Unit) -> None:
    """No drop-in resets ours, but systemd loaded it when it had another content."""
    finding = unit.problem(unit.state(*HARMLESS, environment_files=(), needs_reload=True))
    assert (finding.state, finding.hint[:23]) == (FAIL, units.RELOAD)
    assert f"{OURS} changed since systemd loaded it" in finding.text


def test_our_drop_in_was_edited_and_loaded(unit: Unit) -> None:
    """The file that differs is a finding of the files, so the unit is skipped."""
    unit.add(OURS, "[Service]\nEnvironmentFile=-/etc/environment\n")
    finding = unit.problem(unit.state(*HARMLESS, environment_files=(ENVIRONMENT,)))
    assert (finding.state, finding.text) == (SKIP, "the agent's drop-in is not as planned (see files)")


def broken_states(unit: Unit) -> list[UnitState]:
    """Return states in which the unit's next start does not get our environment."""
    resetting = unit.add(DIRECTORIES[0] + "/zzz-other.conf", "[Service]\nEnvironmentFile=\n")
    return [
        unit.state(resetting, environment_files=()),
        unit.state(unset=("no_proxy",)),
        evolve(unit.state(), drop_ins=()),
    ]


def test_a_restart_is_no_hint_if_it_would_not_fix_the_process(unit: Unit) -> None:
    """A process without a proxy is skipped if its unit does not give it one: that is one fault."""
    process = subprocess.Popen(["/bin/sleep", "60"], env={"HOME": "/"})
    try:
        environ = Path(f"/proc/{process.pid}/environ")
        while not environ.read_bytes():  # Popen returns during execve(2), when it is still empty
            time.sleep(0.01)
        states = (unit.state(*HARMLESS), *broken_states(unit))
        healthy, *broken = [evolve(state, main_pid=process.pid) for state in states]
        findings = [processes._process(unit.node(), state) for state in broken]
        assert [(finding.state, finding.hint) for finding in findings] == [(SKIP, "")] * 3
        assert all("see units" in finding.text for finding in findings)
        stale = processes._process(unit.node(), healthy)
        assert (stale.state, stale.hint) == (FAIL, "systemctl restart docker.service")
    finally:
        process.kill()
        process.wait()


def test_a_systemd_that_does_not_respond_is_one_failure(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The units fail with a hint; the processes are skipped."""
    monkeypatch.setattr(command, "BASE_ENVIRONMENT", {"PATH": str(unit.root)})  # there is no systemctl
    node = unit.node()
    groups = [group for group in GROUPS if group.name in (units.GROUP, processes.GROUP)]
    groups = [evolve(group, needs_machine=False, needs_intent=False, needs_systemd=False) for group in groups]
    findings = examine(node, groups)
    assert [(finding.group, finding.state, bool(finding.hint)) for finding in findings] == [
        (units.GROUP, FAIL, True),
        (processes.GROUP, SKIP, False),
    ]


@pytest.mark.parametrize("limit", [0, 1])
def test_a_limit_of_threads_leaves_out_no_group(unit: Unit, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Groups without a thread run one after the other, until the time is over."""
    node = unit.node()
    groups = [Group(name, lambda node: [Finding("g", "n", OK, "")], False, False) for name in ("a", "b", "c")]
    limit_threads(monkeypatch, limit)
    assert [finding.state for finding in examine(node, groups)] == [OK] * 3
    limit_threads(monkeypatch, 0)
    monkeypatch.setattr(runner, "BOUND", 0)
    assert [finding.text for finding in examine(node, groups)] == ["timed out after 0 s"] * 3


@pytest.mark.parametrize(
    ("changes", "text", "hint"),
    [
        ({"exists": False, "enabled": "masked"}, "masked; ", "systemctl unmask "),
        ({"exists": False, "enabled": "enabled"}, "systemd cannot load it; ", "systemctl status "),
        ({"exists": False, "enabled": ""}, "not installed; ", "reinstall the package "),
        ({"enabled": "disabled"}, "disabled; ", "systemctl enable "),
        ({"enabled": ""}, "not enabled; ", "systemctl enable "),
    ],
)
def test_an_agent_that_does_not_start_at_boot_fails(changes: Any, text: str, hint: str) -> None:
    """Each reason has its own hint."""
    finding = units._agent(evolve(UnitState(units.AGENT), **changes), None)
    assert finding.state == FAIL
    assert finding.text.startswith(text)
    assert finding.hint.startswith(hint)


@pytest.mark.parametrize(("is_root", "problem"), [(False, PermissionError), (True, None)])
def test_a_file_that_only_root_can_read_is_no_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: type[Exception] | None, *, is_root: bool
) -> None:
    """For root another problem of the file is one that systemd has too: it sets nothing."""
    monkeypatch.setattr(units, "is_root", lambda: is_root)
    (tmp_path / "a.env").write_text("no_proxy=a\n")
    (tmp_path / "b.env").mkdir()
    files = FileSystem(str(tmp_path))
    assert units._assignments(files, "/a.env") == {"no_proxy": "a"}
    if problem:
        with pytest.raises(problem):
            units._assignments(files, "/b.env")
    else:
        assert units._assignments(files, "/b.env") == {}
