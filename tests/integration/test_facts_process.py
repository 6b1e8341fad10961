"""The process that requests the facts of a boot, beside the worker."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.record import evolve
from agent.daemon.facts_process import FactsProcess, ProcessEndedError
from agent.demo.metadata_service import Instance, MetadataService
from agent.edges import child
from agent.edges.imds import fetch_facts
from agent.edges.signals import Signals, Stop, watched
from agent.errors import MetadataError
from agent.node.budget import Budget


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Signals of this process, collected."""
    with watched() as signals:
        yield signals


def descriptors() -> list[str]:
    """Return the open descriptors of this process."""
    return sorted(os.listdir("/proc/self/fd"))


def test_facts_are_those_of_a_request_in_the_worker(signals: Signals) -> None:
    """User data of any bytes and warnings included; no process or descriptor remains."""
    before = descriptors()
    instance = evolve(Instance(), user_data=bytes(range(256)) * 60)
    with MetadataService(instance) as service:
        with FactsProcess() as process:
            facts = process.fetch(service.endpoint, Budget(10), signals)
        expected = fetch_facts(service.endpoint, 10)
    assert facts == expected
    assert facts.warnings == expected.warnings
    assert descriptors() == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_error_has_its_hint(signals: Signals) -> None:
    """It is that of a request in the worker, and each wait is reported before."""
    shown: list[str] = []
    with FactsProcess() as process, pytest.raises(MetadataError, match="did not answer: connection refused") as error:
        process.fetch("http://127.0.0.1:9", Budget(2, show=shown.append), signals)
    assert "--facts FILE" in error.value.hint
    assert shown[0].startswith("waiting, ")
    assert "instance metadata service at http://127.0.0.1:9 did not answer" in shown[0]


def test_killed_process_is_reported(signals: Signals) -> None:
    """The worker can request the facts itself then."""
    with FactsProcess() as process:
        os.kill(process._pid, signal.SIGKILL)
        with pytest.raises(ProcessEndedError):
            process.fetch("http://127.0.0.1:9", Budget(10), signals)


def test_failed_fork_is_reported(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a node at its limit of processes."""

    def fork() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", fork)
    with FactsProcess() as process, pytest.raises(ProcessEndedError):
        process.fetch("http://127.0.0.1:9", Budget(10), signals)


def test_sigterm_ends_the_wait_and_the_process(signals: Signals) -> None:
    """The wait for a service that never responds ends at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        with FactsProcess() as process, pytest.raises(Stop):
            process.fetch(address, Budget(60), signals)
        timer.join()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_process_that_does_not_end_is_collected_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGKILL has no effect during an uninterruptible read; the daemon goes on."""
    process = FactsProcess()
    with process:
        pid, kill = process._pid, os.kill
        kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(os, "kill", lambda pid, number: None)
        monkeypatch.setattr(child, "COLLECT_TIMEOUT", 0.01)
        process.close()
    assert child._hung == {pid}
    kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    child._collect_hung()
    assert child._hung == set()


def test_a_launcher_that_ignores_sigchld_changes_nothing() -> None:
    """The kernel collects the process then."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with FactsProcess():
            pass
    finally:
        signal.signal(signal.SIGCHLD, before)


def wait_until_ended(pid: int) -> None:
    """Wait for the end of a process that is not a child of this one."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 30)[0]
    finally:
        os.close(descriptor)


def test_process_ends_without_its_worker(tmp_path: Path) -> None:
    """It holds no descriptor of a worker that was killed, and ends when it would report a wait.

    It prints no traceback then.
    """
    errors = os.open(tmp_path / "errors", os.O_WRONLY | os.O_CREAT)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(errors, 2)
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 -- until the process ends
        with watched() as signals, FactsProcess() as process:
            (tmp_path / "pid").write_text(str(process._pid))
            process.fetch("http://127.0.0.1:9", Budget(60, show=lambda text: os.kill(os.getpid(), 9)), signals)
    os.close(write_end)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert os.read(read_end, 1) == b""  # the end of the last process that had it
    os.close(read_end)
    wait_until_ended(int((tmp_path / "pid").read_text()))
    os.close(errors)
    assert (tmp_path / "errors").read_text() == ""
