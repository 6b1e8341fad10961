"""Units whose process has not the desired environment: stale, or deferred after an upgrade."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

import pytest

from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import ProxyUrl
from agent.core.noproxy.entries import Entry, render
from agent.core.plan.accepted import Accepted
from agent.core.plan.drift import Memory
from agent.core.record import evolve
from agent.core.settings.schema import Node, Settings
from agent.core.systemd import OutdatedUnits, UnitState
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.node.host import Host
from agent.node.units import node_outdated
from tests.integration.command_line import PROXY as PROXY_URL
from tests.integration.command_line import Node as NodeTree

UNIT = "docker.service"
SETTINGS = Settings(node=Node(units=(UNIT,)))
PROXY = ProxyUrl("http", "proxy.corp", 3128)
INTENT = Intent(PROXY, PROXY, (Entry("a.corp", "owner"), Entry("b.corp", "owner")))
OLDER = evolve(INTENT, no_proxy=INTENT.no_proxy[:1])
ACCEPTED = Accepted({"settings": "1"}, tuple(render(intent.no_proxy) for intent in (OLDER, INTENT)))


class OneUnit(Systemd):
    """systemd with one active unit, whose main process is `pid`."""

    def __init__(self, pid: int, active: str = "active") -> None:
        super().__init__(running=False)
        self.pid, self.active = pid, active

    def show(self, names: Sequence[str], *, timeout: float = 30.0) -> dict[str, UnitState]:
        """Return the unit, started ten seconds after power-on."""
        return {UNIT: UnitState(UNIT, main_pid=self.pid, since=10.0, active=self.active)}


Process = Callable[[Mapping[str, str]], int]


@pytest.fixture
def process() -> Iterator[Process]:
    """A function that starts a process with an environment; it is killed after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(environment: Mapping[str, str]) -> int:
        child = subprocess.Popen(["/bin/sleep", "60"], env=dict(environment))
        started.append(child)
        while not Path(f"/proc/{child.pid}/environ").read_bytes():  # empty during execve(2)
            time.sleep(0.01)
        return child.pid

    yield start
    for child in started:
        child.kill()
        child.wait()


@pytest.mark.parametrize(
    ("intent", "memory", "expected"),
    [
        (INTENT, Memory(), OutdatedUnits()),
        (OLDER, Memory(), OutdatedUnits(stale=(UNIT,))),
        (OLDER, Memory(accepted=ACCEPTED), OutdatedUnits(deferred=(UNIT,))),
        (OLDER, Memory(accepted=ACCEPTED, ca_changed_at=20.0), OutdatedUnits(stale=(UNIT,))),
        (INTENT, Memory(ca_changed_at=10.1), OutdatedUnits(stale=(UNIT,))),
        (INTENT, Memory(ca_changed_at=10.0), OutdatedUnits()),
        (
            evolve(OLDER, https_proxy=ProxyUrl("http", "old", 1)),
            Memory(accepted=ACCEPTED),
            OutdatedUnits((UNIT,)),
        ),
        (evolve(OLDER, no_proxy=()), Memory(accepted=ACCEPTED), OutdatedUnits((UNIT,))),
    ],
)
def test_environment_of_a_process(
    intent: Intent, memory: Memory, expected: OutdatedUnits, tmp_path: Path, process: Process
) -> None:
    """A list that was right for the same inputs needs no restart; all else does."""
    files = FileSystem(str(tmp_path))
    host = Host(files, State(files), OneUnit(process(dict(intent.variables(secret=True)))))
    with host.locked() as state:
        state.save_memory(memory)
    assert node_outdated(host, SETTINGS, INTENT) == expected


@pytest.mark.parametrize("active", ["activating", "deactivating", "failed"])
def test_a_unit_that_is_not_active_is_not_stale(active: str, tmp_path: Path, process: Process) -> None:
    """Its process is about to end, or to be another one."""
    files = FileSystem(str(tmp_path))
    host = Host(files, State(files), OneUnit(process(dict(OLDER.variables(secret=True))), active))
    assert node_outdated(host, SETTINGS, INTENT) == OutdatedUnits()


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("/usr/bin/dockerd", OutdatedUnits(stale=(UNIT,))),
        ("/usr/lib/systemd/systemd", OutdatedUnits()),
        ("/usr/lib/systemd/systemd-executor", OutdatedUnits()),
        (None, OutdatedUnits(stale=(UNIT,))),
    ],
)
def test_process_before_its_program_is_executed_is_not_stale(
    program: str | None, expected: OutdatedUnits, tmp_path: Path, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment a new process is a copy of systemd, with the environment of systemd."""
    original = os.readlink

    def readlink(path: str, **options: Any) -> str:
        if not path.startswith("/proc/"):
            return original(path, **options)
        if program is None:
            raise PermissionError
        return "/usr/lib/systemd/systemd" if path == "/proc/1/exe" else program

    files = FileSystem(str(tmp_path))
    host = Host(files, State(files), OneUnit(process({"PATH": "/bin"})))
    monkeypatch.setattr(os, "readlink", readlink)
    assert node_outdated(host, SETTINGS, INTENT) == expected


@pytest.mark.parametrize(
    ("settings", "new"), [("", ["cfn-hup.service"]), ('[node]\nunits = ["docker", "cfn-hup"]\n', [])]
)
def test_units_that_an_upgrade_covers_are_recorded(tmp_path: Path, settings: str, new: list[str]) -> None:
    """status.json of the version before lacks a default unit; a unit of the settings is stale."""
    node = NodeTree(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY_URL}"\n[aws]\ndirect = []\n{settings}')
    status, memory = (node.root / f"run/eks-proxy-agent/{name}.json" for name in ("status", "watch"))
    assert node.main("apply").code == 0
    assert json.loads(memory.read_text())["accepted"]["units"] == []
    document = json.loads(status.read_text())
    document["files"] = [path for path in document["files"] if "cfn-hup" not in path]
    status.write_text(json.dumps(document))
    assert node.main("apply").code == 0
    assert json.loads(memory.read_text())["accepted"]["units"] == new
    assert node.main("apply", "--set", 'proxy.no_proxy=["a.corp"]').code == 0
    assert json.loads(memory.read_text())["accepted"]["units"] == []
