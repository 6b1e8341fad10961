"""A worker as a child of the daemon: its lines arrive, and the daemon survives any end of it."""

from __future__ import annotations

import errno
import faulthandler
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Callable

import pytest

from agent.edges import child
from agent.edges.signals import Signals, watched

FOREVER = 600.0


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Signals of this process, collected."""
    with watched() as signals:
        yield signals


def run(work: child.Work, signals: Signals, lines: list[str]) -> int:
    """Run `work` as a child, with nothing else to do meanwhile."""
    return child.run(work, signals, lines.append, lambda: FOREVER)


def test_lines_of_the_child_arrive_in_order(signals: Signals) -> None:
    """Lines longer than a pipe's buffer arrive too, and the exit code is returned."""

    def work(write_line: child.WriteLine) -> int:
        write_line("first\nsecond")
        write_line("x" * 200000)
        write_line("last")
        return 3

    lines: list[str] = []
    assert run(work, signals, lines) == 3
    assert lines == ["first", "second", "x" * 200000, "last"]


def test_child_leaves_no_descriptor_and_no_zombie(signals: Signals) -> None:
    """After many children this process has the same descriptors as before."""
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(20):
        assert run(lambda write_line: 0, signals, []) == 0
    assert sorted(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGUSR1])
def test_child_that_survives_sigkill_is_left_and_collected_later(
    signals: Signals, monkeypatch: pytest.MonkeyPatch, ending: signal.Signals
) -> None:
    """A child in an uninterruptible read is an error; once it has ended it is not a zombie."""
    monkeypatch.setattr(child, "SILENCE", 0.1)
    monkeypatch.setattr(child, "KILL_TIMEOUT", 0.1)
    lines: list[str] = []

    def work(write_line: child.WriteLine) -> int:
        signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))
        write_line(str(os.getpid()))
        time.sleep(FOREVER)
        return 0

    with monkeypatch.context() as patched:
        patched.setattr(os, "kill", lambda pid, number: None)
        with pytest.raises(child.HungError, match="still running"):
            child.run(work, signals, lines.append, lambda: FOREVER)
    (pid,) = map(int, lines)
    os.kill(pid, ending)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    for _ in range(2):
        assert run(lambda write_line: 0, signals, []) == 0
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_crash_is_an_exit_code(signals: Signals, number: int) -> None:
    """The signal ends the child, not the daemon."""

    def crash(write_line: Callable[[str], None]) -> int:
        faulthandler.disable()  # pytest's would print a traceback
        os.kill(os.getpid(), number)
        return 0

    assert run(crash, signals, []) == -number


def test_failed_fork_leaves_nothing_behind(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the kernel refuses at its limit, no descriptor stays open, and signals still arrive."""

    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fork", refuse)
        with pytest.raises(child.ForkError, match="Resource temporarily unavailable"):
            run(lambda write_line: 0, signals, [])
    assert len(os.listdir("/proc/self/fd")) == before
    os.kill(os.getpid(), signal.SIGHUP)
    assert signals.wait(FOREVER) == signal.SIGHUP


def test_exception_does_not_leave_the_child(signals: Signals, capfd: pytest.CaptureFixture[str]) -> None:
    """Any exception ends the child with its traceback; it does not go on as a second daemon."""

    def work(write_line: child.WriteLine) -> int:
        raise SystemExit("not through the stack of the parent")

    pid = os.getpid()
    assert run(work, signals, []) == 1
    assert os.getpid() == pid
    assert "not through the stack of the parent" in capfd.readouterr().err


def test_sigterm_ends_the_child_and_stays_queued(signals: Signals) -> None:
    """SIGTERM is passed on to the child and stays queued, like a SIGHUP before it."""
    timer = threading.Timer(0.2, lambda: [os.kill(os.getpid(), number) for number in (signal.SIGHUP, signal.SIGTERM)])
    timer.start()
    assert run(lambda write_line: time.sleep(FOREVER) or 0, signals, []) == -signal.SIGTERM
    timer.join()
    assert {signals.wait(0), signals.wait(0)} == {signal.SIGHUP, signal.SIGTERM}
    assert signals.wait(0) is None


def test_child_has_its_own_signals(signals: Signals) -> None:
    """A signal to the child does not reach the loop of the parent."""

    def work(write_line: child.WriteLine) -> int:
        with watched() as child_signals:
            os.kill(os.getpid(), signal.SIGHUP)
            return 7 if child_signals.wait(FOREVER) == signal.SIGHUP else 1

    assert run(work, signals, []) == 7
    assert signals.wait(0) is None


def test_silent_child_is_killed(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that is stopped or hangs is killed after SILENCE seconds."""
    monkeypatch.setattr(child, "SILENCE", 0.2)
    assert run(lambda write_line: os.kill(os.getpid(), signal.SIGSTOP) or 0, signals, []) == -signal.SIGKILL


def test_handler_may_allow_a_longer_silence(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that is known to take long gets more time, until the next line."""
    monkeypatch.setattr(child, "SILENCE", 0.2)

    def work(write_line: child.WriteLine) -> int:
        write_line("60")
        time.sleep(0.5)
        write_line("")
        os.kill(os.getpid(), signal.SIGSTOP)
        return 5

    handle_line: child.HandleLine = lambda line: float(line) if line else None  # noqa: E731
    assert child.run(work, signals, handle_line, lambda: FOREVER) == -signal.SIGKILL


def test_child_that_ignores_sigterm_is_killed(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets STOP_TIMEOUT seconds, and lines that it writes meanwhile do not extend them."""
    monkeypatch.setattr(child, "STOP_TIMEOUT", 0.3)

    def work(write_line: child.WriteLine) -> int:
        signal.signal(signal.SIGTERM, lambda *_: None)
        os.kill(os.getppid(), signal.SIGTERM)
        while True:
            write_line("busy")
            time.sleep(0.02)

    assert child.run(work, signals, lambda line: FOREVER, lambda: FOREVER) == -signal.SIGKILL
    assert signals.wait(0) == signal.SIGTERM


def test_second_sigterm_does_not_restart_the_time(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it sent to the child again; both stay queued."""
    monkeypatch.setattr(child, "STOP_TIMEOUT", 0.5)
    received: list[str] = []

    def work(write_line: child.WriteLine) -> int:
        signal.signal(signal.SIGTERM, lambda *_: write_line("signal"))
        while True:
            os.kill(os.getppid(), signal.SIGTERM)
            time.sleep(0.02)

    assert child.run(work, signals, received.append, lambda: FOREVER) == -signal.SIGKILL  # type: ignore[func-returns-value]
    assert received == ["signal"]


def test_watchdog_is_pinged_while_a_child_works(signals: Signals) -> None:
    """The loop goes on while a child works."""
    pings: list[float] = []

    def idle() -> float:
        pings.append(time.monotonic())
        return 0.02

    child.run(lambda write_line: time.sleep(0.3) or 0, signals, lambda line: None, idle)
    assert len(pings) >= 5


@pytest.mark.parametrize("module", ["agent.commands.run"])
def test_supervisor_imports_only_light_modules(module: str) -> None:
    """It loads nothing that only a cycle needs: no libraries but that of systemd, no subprocess."""
    code = f"import agent.cli, {module}, sys; agent.cli.parser().parse_args(['run']); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    ours = {name for name in done.stdout.split() if name.startswith("agent")}
    heavy = "requests urllib3 structlog tenacity attr attrs yaml subprocess dataclasses inspect random socket email http tempfile logging shutil lzma"
    assert set(heavy.split()) & set(done.stdout.split()) == set()
    assert ours <= {
        "agent", "agent.cli", "agent.cluster", "agent.cluster.flags", "agent.commands", "agent.commands.run", "agent.edges",
        "agent.edges.child", "agent.edges.inotify", "agent.journal", "agent.edges.notify", "agent.edges.signals",
        "agent.errors", "agent.exits", "agent.commands.arguments", "agent.daemon", "agent.daemon.supervisor",
        "agent.daemon.protocol", "agent.daemon.retry", "agent.usage", "agent.core", "agent.core.redact",
    }  # fmt: skip


def test_waiting_uses_the_monotonic_clock() -> None:
    """Modules that wait do not read the time of day."""
    import agent.daemon.supervisor
    import agent.edges.child
    import agent.edges.signals

    for module in (agent.daemon.supervisor, agent.edges.child, agent.edges.signals):
        assert module.__file__ is not None
        with open(module.__file__, encoding="utf-8") as file:
            text = file.read()
        assert "time.time" not in text
        assert "datetime" not in text
