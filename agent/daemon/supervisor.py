"""Supervisor of the daemon: a light process that forks a worker for the boot and for each cycle.

It imports only what it needs to wait (a test checks that): the 25 MB of a cycle are in use for half
a second in ten minutes. A worker sends messages of protocol.py; only the supervisor talks to
systemd.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from enum import Enum
from functools import partial
from typing import Callable

from agent import journal
from agent.daemon import retry
from agent.daemon.protocol import Busy, NextRun, Ready, Status, WatchPaths, decode
from agent.edges.child import SILENCE, ForkError, HandleLine
from agent.edges.inotify import FileWatcher
from agent.edges.notify import Notify
from agent.edges.signals import STOPS, Signals


class Reason(Enum):
    """Reason why a cycle is due; the value goes to the journal."""

    BOOT = "boot"
    RELOAD = "reload"
    FILES = "files"
    TIME = "time"


#: Runs a worker for one boot or cycle, passes on each line that it writes, and returns its exit
#: code. `idle` and ForkError as in edges.child.
RunWorker = Callable[[Reason, HandleLine, Callable[[], float]], int]


class Supervisor:
    """State and loop of the waiting process; `clock` returns seconds that never jump."""

    def __init__(
        self,
        run_worker: RunWorker,
        notify: Notify,
        signals: Signals,
        watcher: FileWatcher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run_worker = run_worker
        self._notify = notify
        self._signals = signals
        self._watcher = watcher
        self._clock = clock
        self._ping_interval = watchdog_interval()
        self._last_ping = clock()
        self._is_ready = False
        #: When the last cycle ended, when the next is due, and when one is due because files
        #: changed.
        self._last_end = clock()
        self._next_run: float | None = None
        self._files_run: float | None = None
        self._paths: list[str] = []
        self._gap, self._crash_delay = retry.GAP_FIRST, retry.CRASH_FIRST

    def run(self) -> int:
        """Boot, then run cycles until SIGTERM; return the exit code."""
        code = self._cycle(Reason.BOOT)
        if code and not self._is_ready and not self._is_stop_pending():
            # Before READY=1 systemd handles a failure (Restart=), and wrong settings end the
            # daemon.
            return code if code > 0 else 1
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
            is_reload = False
            while number == signal.SIGHUP:  # several are one reload, and a stop behind them is not missed
                is_reload, number = True, self._signals.wait(0)
            if number in STOPS:
                return None
            self.idle()
            now = self._clock()
            if self._watcher.changed() and self._files_run is None:
                self._files_run = max(now + retry.SETTLE, self._last_end + self._gap)
            if is_reload:
                return Reason.RELOAD
            if self._files_run is not None and now >= self._files_run:
                return Reason.FILES
            if self._next_run is not None and now >= self._next_run:
                return Reason.TIME

    def _remaining(self) -> float:
        """Return the seconds until the next cycle or ping is due."""
        now = self._clock()
        runs = [max(0.0, due - now) for due in (self._next_run, self._files_run) if due is not None]
        return min([*runs, self.idle()])

    def _is_stop_pending(self) -> bool:
        numbers = list(iter(partial(self._signals.wait, 0), None))
        for number in numbers:
            self._signals.requeue(number)
        return any(number in STOPS for number in numbers)

    def idle(self) -> float:
        """Ping the watchdog if it is time; return the seconds until the next ping.

        Only a loop that is not stuck calls this.
        """
        if self._ping_interval is None:
            return retry.ORDINARY
        now = self._clock()
        if now - self._last_ping >= self._ping_interval:
            self._notify("WATCHDOG=1")
            self._last_ping = now
        return max(0.0, self._last_ping + self._ping_interval - now)

    def _cycle(self, reason: Reason) -> int:
        """Run one worker, act on its messages, and return its exit code."""
        if reason is Reason.FILES:
            self._gap = retry.next_gap(self._gap, self._clock() - self._last_end)
        self._next_run, self._files_run, self._paths = None, None, []
        if reason is Reason.RELOAD:
            self._notify(f"RELOADING=1\nMONOTONIC_USEC={int(time.monotonic() * 1e6)}")
        try:
            code = self._run_worker(reason, self._handle_line, self.idle)
            ending = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        except ForkError as error:
            if not self._is_ready:
                raise  # like any boot that fails
            code, ending = 1, str(error)
        if code and (self._is_ready or code < 0) and not self._is_stop_pending():
            _report_crash(reason, ending, stays=self._is_ready)
        if reason is Reason.RELOAD:
            self._notify("READY=1")
        self._last_end = self._clock()
        if self._paths:
            self._watcher.watch(self._paths)
        if code:
            self._next_run = self._last_end + self._crash_delay
            self._crash_delay = retry.next_crash_delay(self._crash_delay)
        else:
            self._crash_delay = retry.CRASH_FIRST
            self._next_run = self._last_end + retry.ORDINARY if self._next_run is None else self._next_run
        return code

    def _handle_line(self, line: str) -> float | None:
        """Act on a line of a worker; return the seconds of silence that it announces, else None."""
        try:
            message = decode(line)
        except ValueError as error:
            level = "<4>" if journal.is_stderr_connected() else "warning: "
            print(f'{level}message.ignored error="{error}"', file=sys.stderr, flush=True)
            return None
        if isinstance(message, Status):
            self._notify("STATUS=" + message.text.partition("\n")[0])  # a second line would be another assignment
        elif isinstance(message, Ready):
            self._is_ready = True
            self._notify("READY=1")
        elif isinstance(message, NextRun):
            self._next_run = self._clock() + message.seconds
        elif isinstance(message, WatchPaths):
            self._paths = list(message.paths)
        elif isinstance(message, Busy):
            return message.seconds + SILENCE
        return None


def _report_crash(reason: Reason, ending: str, *, stays: bool) -> None:
    """Log a crash without the logger, which this process does not import.

    With journal fields, unless this process ends with the crash (`stays` is False, see
    `journal.send`).
    """
    text = f'pass.crashed reason={reason.value} ended="{ending}"'
    head = ("MESSAGE=" + text, "PRIORITY=3", "SYSLOG_IDENTIFIER=eks-proxy-agent")
    fields = ("EKS_PROXY_EVENT=pass.crashed", "REASON=" + reason.value, "EKS_PROXY_ENDED=" + ending)
    is_journal = journal.is_stderr_connected()
    if not (stays and is_journal and journal.send(*head, *fields)):
        print(("<3>" if is_journal else "error: ") + text, file=sys.stderr, flush=True)


def watchdog_interval() -> float | None:
    """Return the seconds between pings, or None without a watchdog.

    Half of what systemd allows (sd_watchdog_enabled(3)).
    """
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2e6 if microseconds.isdigit() and int(microseconds) else None
