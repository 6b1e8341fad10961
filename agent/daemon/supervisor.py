"""Supervisor of the daemon: a light process that forks a worker for the boot and for each cycle.

It imports only what it needs to wait (a test checks that): the 25 MB of a cycle are in use for half
a second in ten minutes. A worker sends messages of protocol.py; only the supervisor talks to
systemd.  Whatever becomes of a worker, READY=1 is sent, and the daemon stays.
"""

from __future__ import annotations

import os
import signal
import time
from enum import Enum
from functools import partial
from typing import Callable

from agent import journal
from agent.daemon import retry
from agent.daemon.protocol import Busy, NextRun, Ready, ReadyWithin, Status, WatchPaths, decode
from agent.edges.child import SILENCE, ForkError, HandleLine, HungError
from agent.edges.inotify import FileWatcher
from agent.edges.notify import Notify
from agent.edges.signals import STOPS, Signals
from agent.errors import LockedError, UsageError


class Reason(Enum):
    """Reason why a cycle is due; the value goes to the journal.

    RETRY: after a crash, or after a boot, reload or retry that found the lock taken.
    """

    BOOT = "boot"
    RELOAD = "reload"
    FILES = "files"
    TIME = "time"
    RETRY = "retry"


Idle = Callable[[], float]
#: Runs a worker for one boot or cycle, passes on each line that it writes, and returns its exit
#: code.  That of LockedError means that it found the lock taken, that of UsageError at boot that
#: the daemon cannot run, and any other but 0 is a crash.  `Idle` and ForkError as in edges.child.
RunWorker = Callable[[Reason, HandleLine, Idle], int]
#: Runs a worker that only records a crash: its problem, and the seconds until the next cycle.
RecordCrash = Callable[[str, float, HandleLine, Idle], int]


class Supervisor:
    """State and loop of the waiting process; `clock` returns seconds that never jump."""

    def __init__(
        self,
        run_worker: RunWorker,
        record_crash: RecordCrash,
        notify: Notify,
        signals: Signals,
        watcher: FileWatcher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_worker = run_worker
        self._record_crash = record_crash
        self._notify = notify
        self._signals = signals
        self._watcher = watcher
        self._clock = clock
        self._ping_interval = watchdog_interval()
        self._last_ping = clock()
        #: When units start even if the boot has not ended, None after it; and when READY=1 is sent
        #: again, None if systemd received it.
        self._boot_due: float | None = clock() + retry.READY_AT_LATEST
        self._ready_due: float | None = None
        #: When the last cycle ended, when the next is due, and when one is due because of SIGHUP or
        #: because files changed.
        self._last_end = clock()
        self._next_run: float | None = None
        self._reload_run: float | None = None
        self._files_run: float | None = None
        self._next_reason = Reason.TIME
        self._paths: list[str] = []
        self._gap, self._reload_gap, self._crash_delay = retry.GAP_FIRST, retry.RELOAD_GAP_FIRST, retry.CRASH_FIRST

    def run(self) -> int:
        """Boot, then run cycles until SIGTERM; return the exit code."""
        code = self._cycle(Reason.BOOT)
        if code == UsageError.exit_code:
            return code
        while True:
            reason = self._wait()
            if reason is None:
                self._notify("STOPPING=1")
                return 0
            self._cycle(reason)

    def _wait(self) -> Reason | None:
        """Sleep until a cycle is due, and return why; None if the daemon has to stop."""
        while True:
            number = self._signals.wait(self._remaining(), *self._watcher.descriptors)
            while number == signal.SIGHUP:  # several are one reload, and a stop behind them is not missed
                if self._reload_run is None:
                    self._reload_run = self._last_end + self._reload_gap
                number = self._signals.wait(0)
            if number in STOPS:
                return None
            self.idle()
            now = self._clock()
            if self._watcher.changed() and self._files_run is None:
                self._files_run = max(now + retry.SETTLE, self._last_end + self._gap)
            if self._reload_run is not None and now >= self._reload_run:
                return Reason.RELOAD
            if self._files_run is not None and now >= self._files_run:
                return Reason.FILES
            if self._next_run is not None and now >= self._next_run:
                return self._next_reason if self._reload_run is None else Reason.RELOAD

    def _remaining(self) -> float:
        """Return the seconds until the next cycle or the next call of `idle` is due."""
        now = self._clock()
        dues = (self._next_run, self._reload_run, self._files_run)
        runs = [max(0.0, due - now) for due in dues if due is not None]
        return min([*runs, self.idle()])

    def _is_stop_pending(self) -> bool:
        numbers = list(iter(partial(self._signals.wait, 0), None))
        for number in numbers:
            self._signals.requeue(number)
        return any(number in STOPS for number in numbers)

    def idle(self) -> float:
        """Send what is due to systemd; return the seconds until the next call.

        Only a loop that is not stuck calls this, so it pings the watchdog.
        """
        now = self._clock()
        if self._boot_due is not None and now >= self._boot_due:
            meaning = "the boot takes longer than its budget, and goes on; units start meanwhile"
            report("error", "boot.late", meaning=meaning)
            self._notify("STATUS=degraded: " + meaning)
            self._end_boot()
        if self._ready_due is not None and now >= self._ready_due:
            self._send_ready()
        if self._ping_interval is not None and now - self._last_ping >= self._ping_interval:
            self._notify("WATCHDOG=1")
            self._last_ping = now
        ping_due = self._last_ping + self._ping_interval if self._ping_interval is not None else None
        due = [moment - now for moment in (self._boot_due, self._ready_due, ping_due) if moment is not None]
        return max(0.0, min([*due, retry.ORDINARY]))

    def _end_boot(self) -> None:
        """Let the units start that wait for the agent, unless they may already."""
        if self._boot_due is not None:
            self._boot_due = None
            self._send_ready()

    def _send_ready(self) -> None:
        """Send READY=1; `idle` sends it again if systemd did not receive it."""
        self._ready_due = None
        if not self._notify("READY=1"):
            self._ready_due = self._clock() + retry.NOTIFY_AGAIN
            report("error", "notify.failed", error="systemd did not receive READY=1")

    def _cycle(self, reason: Reason) -> int:
        """Run one worker, act on its messages, and return its exit code."""
        quiet = self._clock() - self._last_end
        if reason is Reason.FILES:
            self._gap = retry.next_gap(self._gap, quiet)
        self._next_run, self._files_run, self._paths = None, None, []
        if reason is Reason.RELOAD:
            self._reload_run, self._reload_gap = None, retry.next_reload_gap(self._reload_gap, quiet)
            self._notify(f"RELOADING=1\nMONOTONIC_USEC={int(time.monotonic() * 1e6)}")
        code, ending = self._run(partial(self._run_worker, reason))
        if reason is Reason.BOOT and code == UsageError.exit_code:
            return code
        if code == 0 and self._next_run is None:  # SIGTERM to the worker alone
            ending = "with exit code 0 before the end of its cycle"
        is_stopping = self._is_stop_pending()
        is_crash = bool(ending) and not is_stopping
        if is_crash:
            report("error", "pass.crashed", reason=reason.value, ended=ending)
            self._notify("STATUS=degraded: " + _problem(code, ending))
        if reason is Reason.BOOT and not is_stopping:
            self._end_boot()
        if reason is Reason.RELOAD:
            self._send_ready()
        if is_crash:
            self._record(_problem(code, ending))
        self._schedule(reason, code, is_crash=is_crash)
        return code

    def _run(self, run_worker: Callable[[HandleLine, Idle], int]) -> tuple[int, str]:
        """Run a worker; return its exit code, and how it ended if it crashed."""
        try:
            code = run_worker(self._handle_line, self.idle)
        except (ForkError, HungError) as error:
            return 1, str(error)
        if code in (0, LockedError.exit_code):
            return code, ""
        return code, f"by signal {-code}" if code < 0 else f"with exit code {code}"

    def _record(self, problem: str) -> None:
        """Let a second worker write a crash to status.json and the metrics."""
        code, ending = self._run(lambda *channels: self._record_crash(problem, self._crash_delay, *channels))
        if ending:
            meaning = "status and metrics still show the cycle before"
            report("error", "status.failed", error=_problem(code, ending), meaning=meaning)

    def _schedule(self, reason: Reason, code: int, *, is_crash: bool) -> None:
        self._last_end = self._clock()
        if self._paths:
            self._watcher.watch(self._paths)
        is_full = reason in (Reason.BOOT, Reason.RELOAD, Reason.RETRY)
        is_retry = is_crash or (is_full and code == LockedError.exit_code)
        self._next_reason = Reason.RETRY if is_retry else Reason.TIME
        if is_crash:
            self._next_run = self._last_end + self._crash_delay
            self._crash_delay = retry.next_crash_delay(self._crash_delay)
        else:
            self._crash_delay = retry.CRASH_FIRST
            self._next_run = self._last_end + retry.ORDINARY if self._next_run is None else self._next_run

    def _handle_line(self, line: str) -> float | None:
        """Act on a line of a worker; return the seconds of silence that it announces, else None."""
        try:
            message = decode(line)
        except ValueError as error:
            report("warning", "message.ignored", error=str(error))
            return None
        if isinstance(message, Status):
            self._notify("STATUS=" + message.text.partition("\n")[0])  # a second line would be another assignment
        elif isinstance(message, Ready):
            self._end_boot()
        elif isinstance(message, ReadyWithin) and self._boot_due is not None:
            self._boot_due = self._clock() + message.seconds + retry.READY_GRACE
        elif isinstance(message, NextRun):
            self._next_run = self._clock() + message.seconds
        elif isinstance(message, WatchPaths):
            self._paths = list(message.paths)
        elif isinstance(message, Busy):
            return message.seconds + SILENCE
        return None


def _problem(code: int, ending: str) -> str:
    """Return the error of a crash, for status.json."""
    if ending.startswith(("by ", "with ")):
        return f"worker process {'killed' if code < 0 else 'ended'} {ending}"
    return ending


def report(level: str, event: str, **fields: str) -> None:
    """Log an event as agent/log.py does, without that module, which loads more."""
    words = [event, *(f'{key}="{value}"' if " " in value else f"{key}={value}" for key, value in fields.items())]
    text, priority = " ".join(words), {"error": "3", "warning": "4"}[level]
    entry = ["MESSAGE=" + text, "PRIORITY=" + priority, "SYSLOG_IDENTIFIER=eks-proxy-agent", "EKS_PROXY_EVENT=" + event]
    entry += [f"{'' if key == 'reason' else 'EKS_PROXY_'}{key.upper()}={value}" for key, value in fields.items()]
    is_journal = journal.is_stderr_connected()
    if not (is_journal and journal.send(*entry)):
        journal.print_line((f"<{priority}>" if is_journal else level + ": ") + text)


def watchdog_interval() -> float | None:
    """Return the seconds between pings, or None without a watchdog.

    Half of what systemd allows (sd_watchdog_enabled(3)).
    """
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2e6 if microseconds.isdigit() and int(microseconds) else None
