"""A pass as a child of the daemon: what it says is heard, and however it ends, the daemon goes
on.
"""

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


def run(work: child.Work, signals: Signals, heard: list[str]) -> int:
    """Run `work` as a child, nothing else to do meanwhile."""
    return child.run(work, signals, heard.append, lambda: FOREVER)


def test_what_it_says_is_heard_line_by_line(signals: Signals) -> None:
    """In its order, also what is longer than a pipe, and the exit code is its answer."""

    def work(write_line: child.WriteLine) -> int:
        write_line("first\nsecond")
        write_line("x" * 200000)
        write_line("last")
        return 3

    heard: list[str] = []
    assert run(work, signals, heard) == 3
    assert heard == ["first", "second", "x" * 200000, "last"]


def test_it_leaves_no_descriptor_and_no_zombie(signals: Signals) -> None:
    """After many of them this process has what it had."""
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(20):
        assert run(lambda write_line: 0, signals, []) == 0
    assert sorted(os.listdir("/proc/self/fd")) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_is_an_exit_code(signals: Signals, number: int) -> None:
    """A signal ends it, not us."""

    def crash(write_line: Callable[[str], None]) -> int:
        faulthandler.disable()  # pytest's would tell of it
        os.kill(os.getpid(), number)
        return 0

    assert run(crash, signals, []) == -number


def test_without_a_process_to_give_nothing_is_left_behind(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel at its limit refuses: no descriptor stays open, and signals are heard as before."""

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


def test_a_bug_in_it_does_not_go_on_as_a_second_daemon(signals: Signals, capfd: pytest.CaptureFixture[str]) -> None:
    """An exception ends the child with its traceback, whatever it was."""

    def work(write_line: child.WriteLine) -> int:
        raise SystemExit("not through our stack")

    pid = os.getpid()
    assert run(work, signals, []) == 1
    assert os.getpid() == pid
    assert "not through our stack" in capfd.readouterr().err


def test_sigterm_ends_it_and_is_not_lost(signals: Signals) -> None:
    """The child is told to end, and who waits next hears of it too; a reload that came before as
    well.
    """
    timer = threading.Timer(0.2, lambda: [os.kill(os.getpid(), one) for one in (signal.SIGHUP, signal.SIGTERM)])
    timer.start()
    assert run(lambda write_line: time.sleep(FOREVER) or 0, signals, []) == -signal.SIGTERM
    timer.join()
    assert {signals.wait(0), signals.wait(0)} == {signal.SIGHUP, signal.SIGTERM}
    assert signals.wait(0) is None


def test_the_child_has_signals_of_its_own(signals: Signals) -> None:
    """What is sent to it does not reach the parent's loop."""

    def work(write_line: child.WriteLine) -> int:
        with watched() as own:
            os.kill(os.getpid(), signal.SIGHUP)
            return 7 if own.wait(FOREVER) == signal.SIGHUP else 1

    assert run(work, signals, []) == 7
    assert signals.wait(0) is None


def test_a_child_that_is_silent_for_too_long_is_killed(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped, deaf or hanging: the bound ends it."""
    monkeypatch.setattr(child, "SILENCE", 0.2)
    assert run(lambda write_line: os.kill(os.getpid(), signal.SIGSTOP) or 0, signals, []) == -signal.SIGKILL


def test_a_child_may_be_silent_as_long_as_the_hearer_allows(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known to take long gets more time, until the next line."""
    monkeypatch.setattr(child, "SILENCE", 0.2)

    def work(write_line: child.WriteLine) -> int:
        write_line("60")
        time.sleep(0.5)
        write_line("")
        os.kill(os.getpid(), signal.SIGSTOP)
        return 5

    handle_line: child.HandleLine = lambda line: float(line) if line else None  # noqa: E731
    assert child.run(work, signals, handle_line, lambda: FOREVER) == -signal.SIGKILL


def test_the_watchdog_is_pinged_while_it_works(signals: Signals) -> None:
    """The loop goes on while a child is busy."""
    pings: list[float] = []

    def idle() -> float:
        pings.append(time.monotonic())
        return 0.02

    child.run(lambda write_line: time.sleep(0.3) or 0, signals, lambda line: None, idle)
    assert len(pings) >= 5


@pytest.mark.parametrize("module", ["agent.commands.run"])
def test_the_waiting_process_is_light(module: str) -> None:
    """It loads none of what a pass needs: no libraries but systemd's, no subprocess."""
    code = f"import agent.cli, {module}, sys; agent.cli.parser().parse_args(['run']); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    ours = {name for name in done.stdout.split() if name.startswith("agent")}
    heavy = "requests urllib3 structlog tenacity attr attrs yaml subprocess dataclasses inspect random socket email http tempfile logging shutil lzma"
    assert set(heavy.split()) & set(done.stdout.split()) == set()
    assert ours <= {
        "agent", "agent.cli", "agent.cluster", "agent.cluster.flags", "agent.commands", "agent.commands.run", "agent.edges",
        "agent.edges.child", "agent.edges.inotify", "agent.journal", "agent.edges.notify", "agent.edges.signals",
        "agent.errors", "agent.exits", "agent.commands.arguments", "agent.daemon", "agent.daemon.supervisor",
        "agent.daemon.protocol", "agent.daemon.retry", "agent.usage",
    }  # fmt: skip


def test_the_clocks_of_waiting_never_jump() -> None:
    """Nothing that waits asks for the time of day."""
    import agent.daemon.supervisor
    import agent.edges.child
    import agent.edges.signals

    for module in (agent.daemon.supervisor, agent.edges.child, agent.edges.signals):
        assert module.__file__ is not None
        with open(module.__file__, encoding="utf-8") as file:
            text = file.read()
        assert "time.time" not in text
        assert "datetime" not in text
