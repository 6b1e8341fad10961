"""Calls of systemctl, docker and the tools of the trust store; programs of the test take them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.commands import node as node_commands
from agent.core.plan.baseline import Baseline
from agent.core.plan.plan import Change, Plan
from agent.core.systemd import UnitState
from agent.edges import command, threads
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import OfflineSystemd, Systemd, environ, own_unit
from agent.edges.trust_store import update
from agent.errors import CommandError
from agent.node import units
from agent.node.apply import apply
from agent.node.host import Host
from tests.integration.command_line import PROXY, Node
from tests.integration.programs import Programs

DOCKER = "Id=docker.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\nMainPID=1"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Programs that the agent starts."""
    return Programs(tmp_path / "bin", monkeypatch)


class Live(FileSystem):
    """A tree that passes for that of the running machine."""

    live = True  # type: ignore[assignment]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A tree that passes for the running machine, with the real calls of systemctl."""
    (tmp_path / "live").mkdir()
    files = Live(str(tmp_path / "live"))
    return Host(files, State(files), Systemd())


# --- systemctl ---


def test_command_lines_of_systemctl(programs: Programs) -> None:
    """Names of units come after `--`; enable and disable do not reload by themselves."""
    programs.add("systemctl")
    systemd = Systemd()
    systemd.reload()
    systemd.enable(["a.service", "b.service"])
    systemd.disable(["a.service"])
    systemd.disable_now(["a.service"])
    systemd.stop(["a.service"])
    systemd.start(["a.service"])
    systemd.try_restart("a.service", timeout=5)
    assert programs.calls == [
        "systemctl daemon-reload",
        "systemctl --no-reload enable -- a.service b.service",
        "systemctl --no-reload disable -- a.service",
        "systemctl disable --now -- a.service",
        "systemctl stop -- a.service",
        "systemctl start --no-block -- a.service",
        "systemctl try-restart -- a.service",
    ]


def test_time_limits_of_systemctl(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine takes long for a reload; a query must not hold up a boot for as long."""
    limits: dict[str, float] = {}

    def run(argv: list[str], *, timeout: float) -> command.Result:
        limits[next(word for word in argv[1:] if word[:2] != "--")] = timeout
        return command.Result(0, "", "")

    monkeypatch.setattr(command, "run", run)
    systemd = Systemd()
    systemd.reload()
    systemd.enable(["a.service"])
    systemd.disable(["a.service"])
    systemd.stop(["a.service"])
    systemd.start(["a.service"])
    systemd.try_restart("a.service", timeout=240)
    assert limits.pop("start") == 30
    assert limits == {"daemon-reload": 120, "enable": 120, "disable": 120, "stop": 120, "try-restart": 240}
    systemd.show(["a.service"], timeout=4)
    systemd.disable_now(["a.service"])
    systemd.enable_now("a.service", timeout=7)
    systemd.start_and_wait("a.service", timeout=8)
    assert (limits["show"], limits["disable"], limits["enable"], limits["start"]) == (4, 120, 7, 8)


def test_without_systemd_no_program_starts(programs: Programs) -> None:
    """Queries return nothing, and changes do nothing."""
    programs.add("systemctl")
    systemd = Systemd(running=False)
    systemd.reload()
    systemd.enable(["a.service"])
    systemd.disable_now(["a.service"])
    assert (systemd.show(["a.service"]), systemd.dependants("a.service")) == ({}, ())
    assert programs.calls == []


def test_one_systemctl_shows_all_units(programs: Programs) -> None:
    """Each unit gets its own block; no unit needs no program."""
    programs.add("systemctl", f"printf '%s\\n\\n%s\\n' '{DOCKER}' 'Id=b.service\nLoadState=not-found'")
    systemd = Systemd()
    assert systemd.show([]) == {}
    shown = systemd.show(["docker.service", "b.service"])
    assert [(unit.name, unit.exists, unit.enabled) for unit in shown.values()] == [
        ("docker.service", True, "enabled"),
        ("b.service", False, ""),
    ]
    (call,) = programs.calls
    assert call.startswith("systemctl show --property=")
    assert call.endswith(" -- docker.service b.service")


@pytest.mark.parametrize(
    ("script", "problem"), [(None, "No such file or directory"), ("echo no bus >&2; exit 3", "exit code 3: no bus")]
)
def test_a_systemctl_that_fails_is_an_error_with_a_hint(programs: Programs, script: str | None, problem: str) -> None:
    """The error has the output of systemctl, and says how to see if systemd responds."""
    if script is not None:
        programs.add("systemctl", script)
    with pytest.raises(CommandError, match=problem) as error:
        Systemd().show(["a.service"])
    assert error.value.hint == "check that systemd responds: systemctl is-system-running"


def test_a_systemctl_that_hangs_is_an_error(programs: Programs) -> None:
    """The caller's limit applies."""
    programs.add("systemctl", "exec sleep 600")
    with pytest.raises(CommandError, match=r"try-restart -- a\.service: timed out after 0\.2 s"):
        Systemd().try_restart("a.service", timeout=0.2)


def test_calls_wait_for_the_work_in_the_background(programs: Programs, tmp_path: Path) -> None:
    """What a query returns is the state after the reload; the errors are returned once."""
    programs.add("systemctl", f"[ $1 = show ] || sleep 0.3; echo $1 >> {tmp_path}/ended; exit $#")
    systemd = Systemd()

    def work() -> list[str]:
        try:
            systemd.reload()
        except CommandError as error:
            return [str(error)]
        return []

    systemd.begin(work, "mark")
    with pytest.raises(CommandError):
        systemd.show(["a.service"])
    assert (tmp_path / "ended").read_text().split() == ["daemon-reload", "show"]
    assert systemd.background == "mark"
    assert systemd.finish() == ["systemctl daemon-reload: exit code 1: "]
    assert systemd.background is None
    assert systemd.finish() is None


@pytest.mark.parametrize("is_refused", [False, True])
def test_work_in_the_background_that_raises_has_an_error(monkeypatch: pytest.MonkeyPatch, *, is_refused: bool) -> None:
    """On a machine at its limit of threads it runs at once."""
    if is_refused:
        monkeypatch.setattr(threads, "start", lambda started: [])
    systemd = Systemd(running=False)

    def work() -> list[str]:
        systemd.reload()
        raise ValueError("wrong")

    systemd.begin(work, "mark")
    assert systemd.finish() == ["ValueError: wrong"]


def test_units_that_depend_on_another_one(programs: Programs) -> None:
    """Every property counts; systemd stops these units together with it."""
    programs.add("systemctl", "echo a.service b.service; echo; echo c.service; echo")
    assert Systemd().dependants("docker.service") == ("a.service", "b.service", "c.service")
    assert programs.calls == [
        "systemctl show --value --property=RequiredBy,RequisiteOf,BoundBy,ConsistsOf -- docker.service"
    ]


def test_units_of_a_tree(programs: Programs, tmp_path: Path) -> None:
    """systemctl works on the tree; what a unit needs is read from its file and its drop-ins."""
    programs.add(
        "systemctl", 'case "$*" in *absent*) echo not-found; exit 4 ;; *is-enabled*) echo disabled; exit 1 ;; esac'
    )
    unit = tmp_path / "usr/lib/systemd/system/a.service"
    drop_in = tmp_path / "etc/systemd/system/a.service.d/x.conf"
    for path, text in ((unit, "[Unit]\nRequires=b.service\n"), (drop_in, "[Unit]\nAfter=c.service\n")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    systemd = OfflineSystemd(str(tmp_path))
    shown = systemd.show(["a.service", "absent.service"])
    a, absent = shown["a.service"], shown["absent.service"]
    assert (a.exists, a.enabled, a.active, a.needs, a.after) == (True, "disabled", "", ("b.service",), ("c.service",))
    assert (absent.exists, absent.needs) == (False, ())
    systemd.enable(["a.service"])
    systemd.disable_now(["a.service"])
    assert programs.calls[-2:] == [
        f"systemctl --root={tmp_path} enable -- a.service",
        f"systemctl --root={tmp_path} disable -- a.service",
    ]


def test_a_unit_file_of_etc_replaces_that_of_the_package(programs: Programs, tmp_path: Path) -> None:
    """One file counts, by the order of systemd.unit(5); an unreadable one counts as empty."""
    programs.add("systemctl", "echo enabled")
    for directory, text in (
        ("etc/systemd/system", "After=etc.service"),
        ("usr/lib/systemd/system", "After=usr.service"),
    ):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "a.service").write_text(f"[Unit]\n{text}\n")
    systemd = OfflineSystemd(str(tmp_path))
    assert systemd.show(["a.service"])["a.service"].after == ("etc.service",)
    (tmp_path / "etc/systemd/system/a.service").unlink()
    (tmp_path / "etc/systemd/system/a.service").mkdir()
    assert systemd.show(["a.service"])["a.service"].after == ("usr.service",)
    (tmp_path / "etc/systemd/system/a.service.d/unreadable.conf").mkdir(parents=True)
    (tmp_path / "etc/systemd/system/a.service.d/z.conf").write_text("[Unit]\nAfter=z.service\n")
    assert systemd.show(["a.service"])["a.service"].after == ("usr.service", "z.service")


def test_the_environment_of_an_ended_process_is_empty(tmp_path: Path) -> None:
    """It may end between systemctl and the read; an error is another thing."""
    assert environ(2**22 + 1) == b""
    assert environ(os.getpid())


def test_the_environment_of_a_copy_of_systemd_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is systemd's own until the program of the unit is executed."""
    monkeypatch.setattr(os, "readlink", lambda path: "/usr/lib/systemd/systemd-executor")
    assert environ(os.getpid()) == b""


def test_the_own_unit_is_unknown_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container /proc may be hidden."""

    def fail(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("builtins.open", fail)
    assert own_unit() == ""


# --- docker ---


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo true", True),
        ("echo false", False),
        ("echo true; exit 1", False),
        ("echo", False),
        ("exec sleep 600", False),
        (None, False),
    ],
)
def test_live_restore_is_off_without_an_answer(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, script: str | None, expected: bool
) -> None:
    """`docker info` that is absent, hangs or fails means that a restart would stop containers."""
    if script is not None:
        programs.add("docker", script)
    run = command.run
    monkeypatch.setattr(units.command, "run", lambda argv, **options: run(argv, **{**options, "timeout": 1.0}))
    assert units.live_restore() is expected
    assert programs.calls == ([] if script is None else ["docker info --format {{.LiveRestoreEnabled}}"])


class Docker(Systemd):
    """A systemd with docker, and a kubelet that requires it."""

    def __init__(self, main_pid: int) -> None:
        super().__init__(running=False)
        self.main_pid = main_pid

    def show(self, names: object, *, timeout: float = 30.0) -> dict[str, UnitState]:
        """Return docker."""
        return {"docker.service": UnitState("docker.service", main_pid=self.main_pid)}

    def dependants(self, name: str) -> tuple[str, ...]:
        """Return docker for containerd."""
        return ("docker.service",) if name == "containerd.service" else ()


@pytest.mark.parametrize(
    ("name", "main_pid", "live_restore", "is_refused"),
    [
        ("docker.service", 1, False, True),
        ("docker.service", 1, True, False),
        ("docker.service", 0, False, False),
        ("containerd.service", 1, False, True),
        ("containerd.service", 1, True, False),
        ("kubelet.service", 1, False, False),
    ],
)
def test_a_restart_that_would_stop_containers_is_refused(
    host: Host, monkeypatch: pytest.MonkeyPatch, name: str, main_pid: int, live_restore: bool, is_refused: bool
) -> None:
    """Of docker without live-restore, and of what stops docker with it; not of a stopped docker."""
    monkeypatch.setattr(units, "live_restore", lambda: live_restore)
    there = Host(host.files, host.state, Docker(main_pid))
    assert units._refusal(there, name).startswith("live-restore is off") == is_refused


# --- the trust store ---


@pytest.mark.parametrize(
    ("directory", "tool"),
    [
        ("etc/pki/ca-trust/source/anchors", "update-ca-trust"),
        ("usr/local/share/ca-certificates", "update-ca-certificates"),
    ],
)
def test_a_failed_rebuild_of_the_trust_store_stays_pending(
    host: Host, programs: Programs, directory: str, tool: str
) -> None:
    """The next apply runs the tool again, although no file changes."""
    (Path(host.files.root) / directory).mkdir(parents=True)
    programs.add("update-ca-trust", "exit 1")
    programs.add("update-ca-certificates", "exit 1")
    plan = Plan(changes=(Change("/etc/ca.pem", None, b"new"),), baseline=Baseline(), trust=True)
    with host.locked() as state:
        (problem,) = apply(plan, host, state).problems
    assert problem.startswith(f"{tool}: exit code 1")
    assert host.state.trust_pending
    programs.add(tool)
    with host.locked() as state:
        assert apply(Plan(trust=True), host, state).problems == ()
    assert not host.state.trust_pending
    assert programs.calls == [tool, tool]


def test_without_a_trust_store_no_tool_runs(host: Host, programs: Programs) -> None:
    """There is nothing to rebuild."""
    programs.add("update-ca-trust")
    programs.add("update-ca-certificates")
    update(host.files)
    assert programs.calls == []


# --- revert ---


@pytest.mark.parametrize(
    ("state", "is_stopped"),
    [
        ("UnitFileState=enabled\nActiveState=active", True),
        ("UnitFileState=enabled\nActiveState=inactive", True),
        ("UnitFileState=disabled\nActiveState=activating", True),
        ("UnitFileState=disabled\nActiveState=failed", False),
        ("UnitFileState=disabled\nActiveState=inactive", False),
        (None, False),
    ],
)
def test_revert_stops_the_daemon_before_the_first_file(
    tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch, state: str | None, is_stopped: bool
) -> None:
    """Otherwise the daemon would write the files again."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[node]\nunits = ["docker"]\nenable = []\n[aws]\ndirect = []\n')
    before = node.tree("var/lib/eks-proxy-agent")
    assert node.main("apply").code == 0
    shown = f"LoadState=loaded\n{state}" if state else "LoadState=not-found\nActiveState=inactive"
    environment = node.root / "etc/environment"
    programs.add("systemctl", f"grep -c PROXY {environment} >>{tmp_path}/found\n[ $1 != show ] || echo '{shown}'")
    files = Live(str(node.root))
    live = Host(files, State(files), Systemd())
    monkeypatch.setattr(node_commands, "host_of", lambda arguments: live)
    monkeypatch.setattr(node_commands, "need_root", lambda *_: None)
    done = node.main("revert")
    assert done.code == 0, done.both
    assert ("stopped and disabled eks-proxy-agent.service" in done.out) == is_stopped
    disable = "systemctl disable --now -- eks-proxy-agent.service"
    assert programs.calls[1:2] == ([disable] if is_stopped else ["systemctl daemon-reload"])
    assert programs.calls.count(disable) == is_stopped
    if is_stopped:
        assert (tmp_path / "found").read_text().splitlines()[:2] == ["3", "3"]
    assert node.tree("var/lib/eks-proxy-agent") == before
