"""`apply` on a node that runs: its daemon is started, and units without the proxy are restarted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from agent.commands import node as node_commands
from agent.commands.late_start import daemon_problem
from agent.commands.status import inspect_node
from agent.core.systemd import AGENT, UnitState
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.errors import CommandError
from agent.node import units
from agent.node.host import Host
from tests.integration.command_line import PROXY, Node, Outcome

DOCKER, KUBELET = "docker.service", "kubelet.service"
RUNS = UnitState(AGENT, enabled="enabled", active="active", main_pid=0)
STOPPED = UnitState(AGENT, enabled="disabled", active="inactive")


class Live(FileSystem):
    """A tree that passes for that of the running machine."""

    live = True  # type: ignore[assignment]


class Running(Systemd):
    """A systemd with these units; docker and kubelet have processes without a proxy."""

    def __init__(self) -> None:
        super().__init__(running=True)
        self.states: dict[str, UnitState] = {}
        self.calls: list[tuple[str, ...]] = []
        self.error: CommandError | None = None
        self.processes: list[subprocess.Popen[bytes]] = []

    def start_process(self, name: str, environment: dict[str, str]) -> None:
        """Let a unit run with an environment."""
        process = subprocess.Popen(["/bin/sleep", "60"], env=environment)
        self.processes.append(process)
        while not Path(f"/proc/{process.pid}/environ").read_bytes():  # empty during execve(2)
            pass
        self.states[name] = UnitState(name, main_pid=process.pid, since=1.0)

    def show(self, names: Sequence[str], *, timeout: float = 30.0) -> dict[str, UnitState]:
        """Return the states; other units do not exist."""
        return {name: self.states.get(name, UnitState(name, exists=False, active="inactive")) for name in names}

    def reload(self) -> None:
        """Do nothing."""

    def enable_now(self, name: str, *, timeout: float) -> None:
        """Record it."""
        self._call("enable --now", name, f"{timeout:g}")

    def start_and_wait(self, name: str, *, timeout: float) -> None:
        """Record it."""
        self._call("start", name, f"{timeout:g}")

    def try_restart(self, name: str, *, timeout: float) -> None:
        """Start the process again with the proxy."""
        self._call("try-restart", name)
        self.start_process(name, self.environment)

    def dependants(self, name: str) -> tuple[str, ...]:
        """No unit depends on another."""
        return ()

    def _call(self, *words: str) -> None:
        self.calls.append(words)
        if self.error:
            raise self.error

    environment: dict[str, str]


class Machine:
    """A node on which docker and kubelet ran before the agent was installed."""

    def __init__(self, directory: Path) -> None:
        self.node = Node(directory)
        self.settings(DOCKER, KUBELET)
        self.units = Running()
        files = Live(str(self.node.root))
        self.host = Host(files, State(files), self.units)

    def settings(self, *names: str, proxy: str = PROXY) -> None:
        """Write settings with these units."""
        url = f'[proxy]\nurl = "{proxy}"\n' if proxy else ""
        names_of = ", ".join(f'"{name}"' for name in names)
        self.node.settings(f"{url}[node]\nunits = [{names_of}]\nenable = []\n[aws]\ndirect = []\n")

    def apply(self, *flags: str) -> Outcome:
        """Run `apply` on it; units that are restarted have the proxy."""
        outcome = self.node.main("apply", *flags)
        self.units.environment = self.node.variables("etc/eks-proxy-agent/node.env")
        return outcome


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Such a machine, as `apply` sees it."""
    machine = Machine(tmp_path)
    monkeypatch.setattr(node_commands, "host_of", lambda arguments: machine.host)
    monkeypatch.setattr(node_commands, "need_root", lambda *_: None)
    monkeypatch.setattr(units, "live_restore", lambda: True)
    yield machine
    for process in machine.units.processes:
        process.kill()
        process.wait()


# --- the daemon


@pytest.mark.parametrize(
    ("enabled", "active", "text"),
    [
        ("enabled", "active", ""),
        ("enabled", "activating", ""),
        ("enabled", "reloading", ""),
        ("disabled", "inactive", "neither enabled nor running, so"),
        ("disabled", "failed", "neither enabled nor running, so"),
        ("masked", "inactive", "is masked, so it does not run. Unmask it: systemctl unmask eks-proxy-agent"),
        ("enabled", "inactive", "is not running, so nothing repairs these files before the next boot. Start it: systemctl"),
        ("disabled", "active", "is not enabled, so the next boot does not start it. Enable it: systemctl enable"),
    ],
)  # fmt: skip
def test_a_daemon_that_does_not_run_is_named_with_the_command(enabled: str, active: str, text: str) -> None:
    """A daemon that is about to run is as good as one that runs."""
    problem = daemon_problem(UnitState(AGENT, enabled=enabled, active=active))
    assert text in problem
    assert bool(text) == bool(problem)
    if active in ("inactive", "failed") and enabled != "masked":
        assert problem.endswith(", or: eks-proxy-agent apply --start")


def test_apply_says_that_the_daemon_does_not_run(machine: Machine) -> None:
    """It is a warning, and the files are written."""
    machine.units.states[AGENT] = STOPPED
    done = machine.apply()
    assert done.code == 0
    assert f"warning: {AGENT} is neither enabled nor running" in done.err
    assert "systemctl enable --now eks-proxy-agent" in done.err
    machine.units.states[AGENT] = RUNS
    assert "running" not in machine.apply().err


def test_without_the_package_or_a_proxy_nothing_is_said(machine: Machine) -> None:
    """`make install` has no unit, and a node without a proxy needs no daemon."""
    assert "daemon" not in machine.apply().err
    machine.settings(DOCKER, proxy="")
    machine.units.states[AGENT] = STOPPED
    assert AGENT not in machine.apply().err


@pytest.mark.parametrize(
    ("state", "calls", "out"),
    [
        (STOPPED, [("enable --now", AGENT, "100")], f"enabled {AGENT} and started it\n"),
        (UnitState(AGENT, enabled="disabled"), [("enable --now", AGENT, "100")], f"enabled {AGENT} and started it\n"),
        (UnitState(AGENT, active="failed"), [("start", AGENT, "100")], f"started {AGENT}\n"),
        (RUNS, [], ""),
        (UnitState(AGENT, active="activating"), [], ""),
    ],
)
def test_start_starts_the_daemon(machine: Machine, state: UnitState, calls: list[tuple[str, ...]], out: str) -> None:
    """And enables it; one that runs already is left alone."""
    machine.units.states[AGENT] = state
    done = machine.apply("--start")
    assert (done.code, machine.units.calls) == (0, calls)
    assert out in done.out
    assert ("started" in done.out) == bool(out)
    assert "not running" not in done.err


def test_start_waits_as_long_as_the_boot_may(machine: Machine) -> None:
    """That is metadata.deadline, if it is set."""
    machine.units.states[AGENT] = STOPPED
    machine.apply("--start", "--set", "metadata.deadline=300")
    assert machine.units.calls == [("enable --now", AGENT, "340")]


def test_a_node_without_a_proxy_gets_its_daemon_too(machine: Machine) -> None:
    """Its settings may come later."""
    machine.settings(proxy="")
    machine.units.states[AGENT] = STOPPED
    assert machine.apply("--start").code == 0
    assert machine.units.calls


def test_a_daemon_that_does_not_start_is_an_error(machine: Machine) -> None:
    """systemctl says why, for example that the unit is masked; the files are written."""
    machine.units.states[AGENT] = STOPPED
    machine.units.error = CommandError("systemctl enable --now: exit code 1: Unit is masked")
    done = machine.apply("--start")
    assert done.code == 1
    assert "exit code 1: Unit is masked\nhint: read its log: journalctl --unit eks-proxy-agent" in done.err
    assert machine.node.variables()["http_proxy"] == PROXY


# --- stale units


def test_restart_restarts_stale_units_once(machine: Machine) -> None:
    """The runtime first, kubelet last; a second run restarts nothing."""
    for name in (KUBELET, DOCKER):
        machine.units.start_process(name, {"PATH": "/bin"})
    done = machine.apply()
    assert (done.code, machine.units.calls) == (0, [])
    assert f"{DOCKER} runs with an old environment. Restart it at a convenient time" in done.err
    done = machine.apply("--restart")
    assert done.out.splitlines()[-2:] == [f"restarted {DOCKER}", f"restarted {KUBELET}"]
    assert (done.code, "old environment" in done.err) == (0, False)
    machine.units.calls.clear()
    assert machine.apply("--restart").code == 0
    assert machine.units.calls == []


def test_a_unit_that_a_rule_protects_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker without live-restore keeps its containers, and the exit code says that it is stale.

    The reason is printed each time, although the daemon logs it only once.
    """
    monkeypatch.setattr(units, "live_restore", lambda: False)
    machine.units.start_process(DOCKER, {"PATH": "/bin"})
    for _ in range(2):
        done = machine.apply("--restart")
        assert (done.code, machine.units.calls) == (3, [])
        assert f"warning: {DOCKER} was not restarted: live-restore is off" in done.err
        assert f"{DOCKER} runs with an old environment" in done.err


def test_a_failed_restart_is_an_error(machine: Machine) -> None:
    """kubelet is not restarted after it, and that is said too."""
    machine.apply()
    for name in (KUBELET, DOCKER):
        machine.units.start_process(name, {"PATH": "/bin"})
    machine.units.error = CommandError("systemctl try-restart -- docker.service: exit code 1: broken")
    done = machine.apply("--restart")
    assert done.code == 1
    assert f"error: {DOCKER} was not restarted: systemctl try-restart" in done.err
    assert f"error: {KUBELET} was not restarted: its runtime could not be restarted" in done.err


def test_a_job_of_the_boot_is_never_restarted(machine: Machine) -> None:
    """cloud-init may be running the user data that runs this command."""
    name = "cloud-init-main.service"
    machine.settings(name)
    machine.units.start_process(name, {"PATH": "/bin"})
    done = machine.apply("--restart")
    assert (done.code, machine.units.calls) == (0, [])
    assert name not in done.err


def test_a_file_that_no_unit_needs_does_not_hold_up_restarts(machine: Machine) -> None:
    """The units have the proxy; the exit code is that of the file."""
    machine.node.write("etc/environment", b"A='1\n")
    machine.units.start_process(DOCKER, {"PATH": "/bin"})
    machine.units.environment = {"PATH": "/bin"}
    done = machine.apply("--restart")
    assert done.code == 1
    assert "/etc/environment" in done.err
    assert machine.units.calls == [("try-restart", DOCKER)]


# --- status


def test_status_examines_the_units_when_it_is_asked(machine: Machine) -> None:
    """Whatever the daemon saw last; `apply` saves what it found, for readers without root."""
    machine.units.start_process(DOCKER, {"PATH": "/bin"})
    machine.apply()
    status = machine.host.state.status()
    assert status
    assert status.stale_units == (DOCKER,)
    assert inspect_node(machine.host).document.stale_units == (DOCKER,)
    machine.units.start_process(DOCKER, machine.units.environment)
    assert inspect_node(machine.host).document.stale_units == ()
    (machine.node.root / "etc/eks-proxy-agent/node.env").chmod(0)
    machine.units.states[DOCKER] = UnitState(DOCKER, main_pid=1 << 30)  # it has ended
    assert inspect_node(machine.host).document.stale_units in ((), (DOCKER,))


# --- flags


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--start", "--once"), "--start: the daemon would not know --once and undo it; leave out one of them"),
        (("--start", "--config", "x.toml"), "--start: the daemon would not know --config and undo it"),
    ],
)
def test_start_with_settings_that_the_daemon_does_not_have(machine: Machine, flags: tuple[str, ...], text: str) -> None:
    """Nothing is written."""
    before = machine.node.tree()
    done = machine.apply(*flags)
    assert done.code == 2
    assert text in done.err
    assert machine.node.tree() == before


@pytest.mark.parametrize("flag", ["--start", "--restart"])
def test_only_a_node_that_runs_can_start_anything(tmp_path: Path, machine: Machine, flag: str) -> None:
    """Not the tree of an image, and not a container without systemd."""
    machine.units.running = False
    done = machine.apply(flag)
    assert done.code == 2
    assert f"{flag}: systemd does not run here; run it on the node" in done.err
    (tmp_path / "image").mkdir()
    done = Node(tmp_path / "image").run("apply", flag)
    assert done.code == 2
    assert f"{flag}: nothing runs in --root" in done.err
