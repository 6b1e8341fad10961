"""Which systemd a host has, who may change it, and what its lock reports."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
from pathlib import Path

import pytest
import structlog

from agent.core.status.document import StatusDocument
from agent.edges.files import FileSystem
from agent.edges.state import LockedState, State
from agent.edges.systemd import OfflineSystemd, Systemd
from agent.errors import AgentError, FileError, LockedError, NoRoomError, UsageError
from agent.node import host as host_module
from agent.node.budget import Budget
from agent.node.host import Host, files_of, host_of, need_root
from tests.integration.programs import Programs


class Live(FileSystem):
    """A tree that passes for that of the running machine."""

    live = True  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("is_live", "has_systemctl", "is_booted", "kind", "is_running"),
    [
        (True, True, True, Systemd, True),
        (True, True, False, Systemd, False),
        (True, False, True, Systemd, True),
        (False, True, True, OfflineSystemd, False),
        (False, False, True, Systemd, False),
    ],
)
def test_systemd_of_a_host(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_live: bool,
    has_systemctl: bool,
    is_booted: bool,
    kind: type,
    is_running: bool,
) -> None:
    """That of the machine if it was booted with systemd; for a tree only its files."""
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/systemctl" if has_systemctl else None)
    booted = tmp_path / "run/systemd/system"
    monkeypatch.setattr(host_module, "_BOOTED", str(booted))
    if is_booted:
        booted.mkdir(parents=True)
    files = (Live if is_live else FileSystem)(str(tmp_path))
    units = host_module._units(files)
    assert (type(units), units.running) == (kind, is_running)


def test_a_root_that_is_not_a_directory_is_wrong_usage(tmp_path: Path) -> None:
    """The message has the flag."""
    for path in (tmp_path / "none", tmp_path / "file"):
        (tmp_path / "file").touch()
        for read in (host_of, files_of):
            with pytest.raises(UsageError, match=f"^--root {path}: not a directory$"):
                read(argparse.Namespace(root=str(path)))
    assert files_of(argparse.Namespace(root=str(tmp_path))).root == str(tmp_path)


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES])
def test_a_root_that_cannot_be_examined_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Nor is a machine whose /run cannot be examined taken for one without systemd."""

    def fail(path: str) -> object:
        raise OSError(code, os.strerror(code), path)

    monkeypatch.setattr(host_module.os, "stat", fail)  # type: ignore[attr-defined]
    with pytest.raises(FileError, match=f"^--root {tmp_path}: {os.strerror(code)}$"):
        files_of(argparse.Namespace(root=str(tmp_path)))
    with pytest.raises(FileError, match=f"^/run/systemd/system: {os.strerror(code)}$"):
        host_module._units(Live(str(tmp_path)))


@pytest.mark.parametrize(("uid", "is_live", "is_refused"), [(0, True, False), (1000, True, True), (1000, False, False)])
@pytest.mark.parametrize(
    ("other_tree", "hint"),
    [(True, "run it with sudo, or use --root DIR for another tree"), (False, "run it with sudo")],
)
def test_who_may_change_a_host(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uid: int,
    is_live: bool,
    is_refused: bool,
    other_tree: bool,
    hint: str,
) -> None:
    """The machine only root; a tree takes only permission to write there."""
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    files = FileSystem("/" if is_live else str(tmp_path))
    host = Host(files, State(files), Systemd(running=False))
    if not is_refused:
        need_root(host, "apply", other_tree=other_tree)
        return
    with pytest.raises(AgentError, match=r"^apply: requires root$") as error:
        need_root(host, "apply", other_tree=other_tree)
    assert error.value.hint == hint


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A host on a tree."""
    files = FileSystem(str(tmp_path))
    return Host(files, State(files), Systemd(running=False))


def test_what_run_has_no_room_for_is_logged_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each file, also from a copy of the host with another budget."""

    def refuse(self: FileSystem, path: str, content: bytes, mode: int = 0o644) -> None:
        raise NoRoomError(f"{path}: {os.strerror(errno.ENOSPC)}")

    with host.locked():
        pass
    monkeypatch.setattr(FileSystem, "put", refuse)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            with host.locked() as state:
                state.save_status(StatusDocument("configured"))
                state.set_ready()
    assert [(entry["event"], entry["log_level"], entry["file"]) for entry in logs] == [
        ("state.not_saved", "error", "/run/eks-proxy-agent/status.json"),
        ("state.not_saved", "error", "/run/eks-proxy-agent/ready"),
    ]
    assert logs[0]["error"] == f"/run/eks-proxy-agent/status.json: {os.strerror(errno.ENOSPC)}"
    with pytest.raises(NoRoomError), host.locked() as state:
        state.set_trust_pending(True)  # not in /run: it must not be lost


def test_the_wait_for_the_lock_is_that_of_the_budget(host: Host) -> None:
    """Its sleep and its report are used, and a wait of the caller precedes it."""
    slept: list[float] = []
    shown: list[str] = []
    clock = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    budget = Budget(1.0, started=0.0, show=shown.append, sleep=sleep, clock=lambda: clock[0])
    waiting = Host(host.files, host.state, host.units, budget)
    with host.locked():
        with pytest.raises(LockedError), waiting.locked():
            pass
        assert len(slept) == 20
        assert shown[0].startswith("waiting, 1 s left: /run/eks-proxy-agent/lock: locked by another run")
        slept.clear()
        with pytest.raises(LockedError), waiting.locked(wait=0.1):
            pass
        assert len(slept) == 2


def test_the_state_is_that_of_the_lock(host: Host) -> None:
    """Only a locked one can be saved."""
    with host.locked() as state:
        assert isinstance(state, LockedState)
        state.save_status(StatusDocument("configured"))
    status = host.state.status()
    assert status
    assert status.phase == "configured"


def test_programs_of_the_machine_are_not_run_for_a_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree without systemctl on the build host has no units at all."""
    programs = Programs(tmp_path / "bin", monkeypatch)
    monkeypatch.setenv("PATH", "/nonexistent")
    (tmp_path / "root").mkdir()
    host = host_of(argparse.Namespace(root=str(tmp_path / "root")))
    host.units.enable(["a.service"])
    assert (host.units.show(["a.service"]), programs.calls) == ({}, [])
