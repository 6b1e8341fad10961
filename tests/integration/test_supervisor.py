"""The supervisor of the daemon: whatever becomes of a worker, units start and the daemon stays."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Callable

import pytest

from agent import journal
from agent.daemon import retry
from agent.daemon.protocol import Busy, NextRun, Ready, ReadyWithin, Status, encode
from agent.daemon.supervisor import Idle, Reason, Supervisor
from agent.edges.child import SILENCE, ForkError, HandleLine, HungError
from agent.edges.inotify import FileWatcher
from agent.edges.signals import Signals, watched
from agent.errors import LockedError, UsageError

#: One worker of a test: it gets the channels of the real ones, and returns an exit code.
Step = Callable[[HandleLine, Idle], int]


class FastSignals(Signals):
    """Signals of this process; a wait without one takes no time but that of the bench."""

    def __init__(self, signals: Signals, bench: Bench) -> None:
        self._signals, self._bench = signals, bench

    def wait(self, seconds: float | None, *descriptors: int, only_new: bool = False) -> int | None:
        number = self._signals.wait(0, only_new=only_new)
        if number is None:
            self._bench.now += seconds or 0.0
        return number

    def requeue(self, number: int) -> None:
        self._signals.requeue(number)


class Bench:
    """A supervisor with workers of a test, and what it sends to systemd.

    `steps` are the workers, in order; after the last one SIGTERM arrives.  `refused` notifications
    are not received by systemd, so many times.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.steps: list[Step] = []
        self.reasons: list[Reason] = []
        self.crashes: list[tuple[str, float]] = []
        self.notifications: list[str] = []
        self.refused: dict[str, int] = {}
        self.record_code = 0
        self.record_error: Exception | None = None
        self.signals = FastSignals

    def run(self, *steps: Step) -> int:
        """Run the supervisor with these workers, and return its exit code."""
        self.steps = list(steps)
        with watched() as signals, contextlib.closing(FileWatcher()) as watcher:
            fast = self.signals(signals, self)
            return Supervisor(self._run_worker, self._record, self._notify, fast, watcher, lambda: self.now).run()

    def _run_worker(self, reason: Reason, handle_line: HandleLine, idle: Idle) -> int:
        self.reasons.append(reason)
        step = self.steps.pop(0)
        if not self.steps:
            os.kill(os.getpid(), signal.SIGTERM)
        elif step is not terminated:
            handle_line(encode(NextRun(0)))
        return step(handle_line, idle)

    def _record(self, problem: str, next_in: float, handle_line: HandleLine, idle: Idle) -> int:
        self.crashes.append((problem, next_in))
        if self.record_error:
            raise self.record_error
        return self.record_code

    def _notify(self, text: str) -> bool:
        if self.refused.get(text, 0) > 0:
            self.refused[text] -= 1
            return False
        self.notifications.append(text)
        return True


@pytest.fixture
def bench() -> Bench:
    """A supervisor with workers of the test."""
    return Bench()


def ends(code: int) -> Step:
    """Return a worker that ends with this exit code, and sends nothing."""
    return lambda handle_line, idle: code


def boots(handle_line: HandleLine, idle: Idle) -> int:
    """A worker whose boot succeeds."""
    handle_line(encode(Ready()))
    return 0


def waits(handle_line: HandleLine, idle: Idle) -> int:
    """A worker after which nothing is due for ten minutes."""
    handle_line(encode(NextRun(600)))
    return 0


def terminated(handle_line: HandleLine, idle: Idle) -> int:
    """End by SIGTERM: the exit code is 0, and nothing says when the next worker is due."""
    return 0


def cannot_fork(handle_line: HandleLine, idle: Idle) -> int:
    """No worker, because the node is at its limit of processes."""
    raise ForkError("cannot fork a worker process: Resource temporarily unavailable")


def survives(handle_line: HandleLine, idle: Idle) -> int:
    """Wait for a disk, uninterruptibly."""
    raise HungError("worker process 7: still running 10 s after SIGKILL")


UNFINISHED = "with exit code 0 before the end of its cycle"
CRASHES: list[tuple[Step, str, str]] = [
    (ends(-signal.SIGKILL), "by signal 9", "worker process killed by signal 9"),
    (ends(1), "with exit code 1", "worker process ended with exit code 1"),
    (ends(78), "with exit code 78", "worker process ended with exit code 78"),
    (survives, *["worker process 7: still running 10 s after SIGKILL"] * 2),
    (terminated, UNFINISHED, "worker process ended " + UNFINISHED),
    (cannot_fork, *["cannot fork a worker process: Resource temporarily unavailable"] * 2),
]
each_crash = pytest.mark.parametrize(("crash", "ended", "problem"), CRASHES, ids=[ended for _, ended, _ in CRASHES])


@each_crash
def test_crash_at_boot_is_degraded_and_the_boot_is_tried_again(
    bench: Bench, capfd: pytest.CaptureFixture[str], crash: Step, ended: str, problem: str
) -> None:
    """Units start, status.json gets the error, and the next worker does all that a boot does."""
    assert bench.run(crash, ends(0)) == 0
    assert bench.reasons == [Reason.BOOT, Reason.RETRY]
    assert bench.notifications == ["STATUS=degraded: " + problem, "READY=1", "STOPPING=1"]
    assert bench.crashes == [(problem, retry.CRASH_FIRST)]
    assert f'pass.crashed reason=boot ended="{ended}"' in capfd.readouterr().err


@each_crash
def test_crash_of_a_cycle_is_degraded(
    bench: Bench, capfd: pytest.CaptureFixture[str], crash: Step, ended: str, problem: str
) -> None:
    """READY=1 is not sent again; delays grow until a worker ends as it should."""
    assert bench.run(boots, crash, crash, ends(0), crash, ends(0)) == 0
    assert bench.reasons == [Reason.BOOT, Reason.TIME, Reason.RETRY, Reason.RETRY, Reason.TIME, Reason.RETRY]
    assert bench.crashes == [(problem, delay) for delay in (5.0, 10.0, 5.0)]
    assert bench.notifications.count("READY=1") == 1
    assert capfd.readouterr().err.count("pass.crashed") == 3


@pytest.mark.parametrize("is_boot", [True, False])
@pytest.mark.parametrize("error", [None, ForkError("cannot fork a worker process")])
def test_crash_that_cannot_be_recorded_is_in_the_journal(
    bench: Bench, capfd: pytest.CaptureFixture[str], is_boot: bool, error: Exception | None
) -> None:
    """If the second worker fails too, journal and STATUS= have the crash; the daemon goes on."""
    bench.record_code, bench.record_error = -signal.SIGKILL, error
    assert bench.run(*[boots][is_boot:], ends(-signal.SIGKILL), ends(0)) == 0
    assert "READY=1" in bench.notifications
    assert "STATUS=degraded: worker process killed by signal 9" in bench.notifications
    log = capfd.readouterr().err
    assert "pass.crashed" in log
    second = str(error) if error else "worker process killed by signal 9"
    assert f'error: status.failed error="{second}"' in log


def test_boot_without_ready_lets_the_units_start(bench: Bench) -> None:
    """READY=1 is sent at the latest when the worker of the boot ends."""
    bench.run(ends(0), ends(0))
    assert bench.notifications == ["READY=1", "STOPPING=1"]


def test_boot_that_takes_too_long_lets_the_units_start(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """READY=1 is sent when the budget is spent, and the boot goes on; READY=1 is not repeated."""
    sent: list[list[str]] = []

    def works(handle_line: HandleLine, idle: Idle) -> int:
        handle_line(encode(ReadyWithin(20)))
        bench.now += idle()
        sent.append(list(bench.notifications))
        handle_line(encode(Status("configured")))
        handle_line(encode(Ready()))
        return 0

    start = bench.now
    bench.run(works, ends(0))
    assert sent == [[]], "not before the budget is spent"
    assert bench.now - start == 20 + retry.READY_GRACE
    assert bench.notifications == ["STATUS=configured", "READY=1", "STOPPING=1"]
    bench.notifications.clear()

    def is_late(handle_line: HandleLine, idle: Idle) -> int:
        bench.now += idle()
        idle()
        sent.append(list(bench.notifications))
        return boots(handle_line, idle)

    bench.run(is_late, ends(0))
    assert [text.partition(":")[0] for text in sent[1]] == ["STATUS=degraded", "READY=1"]
    assert bench.notifications[2:] == ["STOPPING=1"]
    assert "error: boot.late" in capfd.readouterr().err


def test_ready_that_systemd_did_not_receive_is_sent_again(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """A failed sd_notify does not end the daemon; units would otherwise wait for ever."""
    bench.refused = {"READY=1": 2}
    seen: list[int] = []

    def waits(handle_line: HandleLine, idle: Idle) -> int:
        for _ in range(3):
            bench.now += idle()
            seen.append(bench.notifications.count("READY=1"))
        return 0

    bench.run(boots, waits)
    assert seen == [0, 0, 1]
    assert capfd.readouterr().err.count('error: notify.failed error="systemd did not receive READY=1"') == 2


def test_lost_notifications_do_not_end_the_daemon(bench: Bench) -> None:
    """STATUS= and STOPPING=1 may get lost."""
    bench.refused = {"STATUS=configured": 1, "STOPPING=1": 1}

    def works(handle_line: HandleLine, idle: Idle) -> int:
        handle_line(encode(Status("configured")))
        return boots(handle_line, idle)

    assert bench.run(works, ends(0)) == 0
    assert bench.notifications == ["READY=1"]


@pytest.mark.parametrize(
    ("before", "after"),
    [(Reason.BOOT, Reason.RETRY), (Reason.TIME, Reason.TIME), (Reason.RETRY, Reason.RETRY)],
)
def test_worker_that_found_the_lock_taken_runs_again(
    bench: Bench, capfd: pytest.CaptureFixture[str], before: Reason, after: Reason
) -> None:
    """It has not crashed; a boot, reload or retry is repeated in full."""
    locked = ends(LockedError.exit_code)
    steps = {
        Reason.BOOT: [locked, ends(0)],
        Reason.TIME: [boots, locked, ends(0)],
        Reason.RETRY: [locked, locked, ends(0)],
    }
    bench.run(*steps[before])
    assert bench.reasons[-2:] == [before, after]
    assert bench.crashes == []
    assert "READY=1" in bench.notifications
    assert capfd.readouterr().err == ""


def test_wrong_usage_ends_the_daemon(bench: Bench) -> None:
    """With a wrong command line there is nothing to wait for."""
    assert bench.run(ends(UsageError.exit_code), ends(0)) == UsageError.exit_code
    assert bench.notifications == []


def test_stop_at_boot_is_neither_a_crash_nor_ready(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """SIGTERM during the boot ends its worker; no unit may start because of that."""
    assert bench.run(ends(-signal.SIGTERM)) == 0
    assert bench.notifications == ["STOPPING=1"]
    assert (bench.crashes, capfd.readouterr().err) == ([], "")


def test_many_reloads_are_one_cycle_and_a_stop_is_not_missed(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """Reloads during a cycle lead to one more cycle; a cycle that SIGTERM ends has not crashed."""

    def reloaded(code: int) -> Step:
        def work(handle_line: HandleLine, idle: Idle) -> int:
            for _ in range(5):
                os.kill(os.getpid(), signal.SIGHUP)
            return code

        return work

    assert bench.run(reloaded(0), reloaded(-signal.SIGTERM)) == 0
    assert bench.reasons == [Reason.BOOT, Reason.RELOAD]
    assert "crashed" not in capfd.readouterr().err


def test_storm_of_reloads_starts_cycles_at_growing_intervals(bench: Bench) -> None:
    """A script that sends SIGHUP in a loop must not keep a core busy; a pause ends the storm."""
    starts: list[float] = []

    def reloaded(handle_line: HandleLine, idle: Idle) -> int:
        starts.append(bench.now)
        os.kill(os.getpid(), signal.SIGHUP)
        handle_line(encode(NextRun(600)))
        return 0

    assert bench.run(*[reloaded] * 8, waits, reloaded, ends(0)) == 0
    assert bench.reasons == [Reason.BOOT, *[Reason.RELOAD] * 8, Reason.TIME, Reason.RELOAD]
    assert [later - sooner for sooner, later in zip(starts, starts[1:8])] == [1, 2, 4, 8, 10, 10, 10]


def test_reload_after_a_pause_is_immediate(bench: Bench) -> None:
    """`systemctl reload` takes effect at once, unless a cycle has just ended."""
    starts: list[float] = []

    class Later(FastSignals):
        def wait(self, seconds: float | None, *descriptors: int, only_new: bool = False) -> int | None:
            if bench.now == 1000.0 and seconds:
                os.kill(os.getpid(), signal.SIGHUP)
                bench.now += 30
            return super().wait(seconds, *descriptors, only_new=only_new)

    def reloads(handle_line: HandleLine, idle: Idle) -> int:
        starts.append(bench.now)
        return 0

    bench.signals = Later
    assert bench.run(waits, reloads) == 0
    assert (bench.reasons, starts) == ([Reason.BOOT, Reason.RELOAD], [1030.0])


def test_a_line_that_is_not_a_message_is_ignored(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """The daemon goes on and logs a warning without the line.

    A status is one line for systemd.
    """

    def works(handle_line: HandleLine, idle: Idle) -> int:
        assert [handle_line(line) for line in ("", "READY=1", '{"type": "NextRun", "seconds": "secret"}')] == [None] * 3
        handle_line(encode(Status("all is well\nREADY=1")))
        assert handle_line(encode(Busy(5))) == 5 + SILENCE
        return boots(handle_line, idle)

    assert bench.run(works) == 0
    assert bench.notifications == ["STATUS=all is well", "READY=1", "STOPPING=1"]
    assert capfd.readouterr().err == 'warning: message.ignored error="not a message"\n' * 3


@pytest.mark.parametrize("is_accepted", [True, False])
@pytest.mark.parametrize("is_boot", [True, False])
def test_crash_is_logged_with_journal_fields(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    is_boot: bool,
    is_accepted: bool,
) -> None:
    """`journalctl EKS_PROXY_EVENT=pass.crashed` finds it.

    If journald refuses, it is a line on stderr.
    """
    sent: list[str] = []
    monkeypatch.setattr(journal, "is_stderr_connected", lambda: True)
    monkeypatch.setattr(journal, "send", lambda *fields: sent.extend(fields) or is_accepted)
    bench.run(*[boots][is_boot:], ends(-signal.SIGSEGV), ends(0))
    reason = "boot" if is_boot else "time"
    text = f'pass.crashed reason={reason} ended="by signal 11"'
    assert ("<3>" + text in capfd.readouterr().err) is not is_accepted
    fields = {"MESSAGE=" + text, "PRIORITY=3", "EKS_PROXY_EVENT=pass.crashed", "REASON=" + reason}
    assert fields | {"EKS_PROXY_ENDED=by signal 11"} <= set(sent)


@pytest.mark.parametrize("stream", ["full", "closed", "none"])
def test_log_that_cannot_be_written_does_not_end_the_daemon(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    """Full, closed or absent stderr: units start, and the daemon goes on."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open("/dev/full", "w"))
        stack.callback(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno()) if not file.closed else 0)
        if stream == "closed":
            file.close()
        monkeypatch.setattr("sys.stderr", None if stream == "none" else file)
        assert bench.run(ends(-signal.SIGKILL), ends(0)) == 0
        monkeypatch.undo()
    assert "READY=1" in bench.notifications
