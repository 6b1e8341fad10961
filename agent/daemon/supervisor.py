"""The daemon's life: a light process that waits, and for the boot and for each pass a child that ends when it is done.

It imports nothing that it does not need to wait (a test looks): the 25 MB of a pass live for half a
second in ten minutes. What a child says is a message of protocol.py; nobody but the supervisor
speaks to systemd.
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
from agent.edges.child import SILENCE, Hear, NoChild
from agent.edges.inotify import Files
from agent.edges.notify import Notify
from agent.edges.signals import STOPS, Signals


class Reason(Enum):
    """Why a pass is due; the value is what the journal says."""

    BOOT = "boot"
    RELOAD = "reload"
    FILES = "files"
    TIME = "time"


#: Does one pass, hands on each line that it says, and returns its exit code.  `idle` and NoChild as
#: in edges.child.
Perform = Callable[[Reason, Hear, Callable[[], float]], int]


class Supervisor:
    """One daemon.  `perform` does a pass; `clock` gives seconds that never jump."""

    def __init__(
        self,
        perform: Perform,
        notify: Notify,
        signals: Signals,
        files: Files,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._perform = perform
        self._notify = notify
        self._signals = signals
        self._files = files
        self._clock = clock
        self._ping = watchdog_interval()
        self._pinged = clock()
        self._ready = False
        #: When the last pass ended, when the next is due, and when one for the sake of files is.
        self._ended = clock()
        self._next_run: float | None = None
        self._files_run: float | None = None
        self._paths: list[str] = []
        self._gap, self._crash_delay = retry.GAP_FIRST, retry.CRASH_FIRST

    def stay(self) -> int:
        """Boot, then stay until SIGTERM; return the exit code."""
        code = self._pass(Reason.BOOT)
        if code and not self._ready and not self._asked_to_end():
            return code if code > 0 else 1  # before READY=1 a failure is systemd's affair, as are wrong settings
        while True:
            reason = self._wait()
            if reason is None:
                self._notify("STOPPING=1")
                return 0
            self._pass(reason)

    def _wait(self) -> Reason | None:
        """Sleep until a pass is due, and return why; None when it is time to end."""
        while True:
            number = self._signals.wait(self._remaining(), *self._files.descriptors)
            reload = False
            while number == signal.SIGHUP:  # many of them are one reload, and a stop behind them is heard
                reload, number = True, self._signals.wait(0)
            if number in STOPS:
                return None
            self.idle()
            now = self._clock()
            if self._files.changed() and self._files_run is None:
                self._files_run = max(now + retry.SETTLE, self._ended + self._gap)
            if reload:
                return Reason.RELOAD
            if self._files_run is not None and now >= self._files_run:
                return Reason.FILES
            if self._next_run is not None and now >= self._next_run:
                return Reason.TIME

    def _remaining(self) -> float:
        """Return the seconds until the next pass or ping is due."""
        now = self._clock()
        passes = [max(0.0, moment - now) for moment in (self._next_run, self._files_run) if moment is not None]
        return min([*passes, self.idle()])

    def _asked_to_end(self) -> bool:
        numbers = list(iter(partial(self._signals.wait, 0), None))
        for number in numbers:
            self._signals.put_back(number)
        return any(number in STOPS for number in numbers)

    def idle(self) -> float:
        """Ping the watchdog if it is time; return the seconds until the next ping.  Only a loop that works gets here."""
        if self._ping is None:
            return retry.ORDINARY
        now = self._clock()
        if now - self._pinged >= self._ping:
            self._notify("WATCHDOG=1")
            self._pinged = now
        return max(0.0, self._pinged + self._ping - now)

    def _pass(self, reason: Reason) -> int:
        """Do one pass, take in what it says, and return its exit code."""
        if reason is Reason.FILES:
            self._gap = retry.gap_after(self._gap, self._clock() - self._ended)
        self._next_run, self._files_run, self._paths = None, None, []
        if reason is Reason.RELOAD:
            self._notify(f"RELOADING=1\nMONOTONIC_USEC={int(time.monotonic() * 1e6)}")
        try:
            code = self._perform(reason, self._hear, self.idle)
            ended = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        except NoChild as error:
            if not self._ready:
                raise  # as a boot that fails
            code, ended = 1, str(error)
        if code and (self._ready or code < 0) and not self._asked_to_end():
            _report_crash(reason, ended, stays=self._ready)
        if reason is Reason.RELOAD:
            self._notify("READY=1")
        self._ended = self._clock()
        if self._paths:
            self._files.watch(self._paths)
        if code:
            self._next_run = self._ended + self._crash_delay
            self._crash_delay = retry.crash_after(self._crash_delay)
        else:
            self._crash_delay = retry.CRASH_FIRST
            self._next_run = self._ended + retry.ORDINARY if self._next_run is None else self._next_run
        return code

    def _hear(self, line: str) -> float | None:
        """Do what a line of a pass asks for; return the seconds that the pass may be silent, if it named some."""
        try:
            message = decode(line)
        except ValueError as error:
            head = "<4>" if journal.reached() else "warning: "
            print(f'{head}message.ignored error="{error}"', file=sys.stderr, flush=True)
            return None
        if isinstance(message, Status):
            self._notify("STATUS=" + message.text.partition("\n")[0])  # the next line would be another word to systemd
        elif isinstance(message, Ready):
            self._ready = True
            self._notify("READY=1")
        elif isinstance(message, NextRun):
            self._next_run = self._clock() + message.seconds
        elif isinstance(message, WatchPaths):
            self._paths = list(message.paths)
        elif isinstance(message, Busy):
            return message.seconds + SILENCE
        return None


def _report_crash(reason: Reason, ended: str, *, stays: bool) -> None:
    """Log by hand: the logger is one of the things that this process does without.

    With fields unless the crash is the end of this process too (`journal.send`).
    """
    text = f'pass.crashed reason={reason.value} ended="{ended}"'
    head = ("MESSAGE=" + text, "PRIORITY=3", "SYSLOG_IDENTIFIER=eks-proxy-agent")
    fields = ("EKS_PROXY_EVENT=pass.crashed", "REASON=" + reason.value, "EKS_PROXY_ENDED=" + ended)
    journaled = journal.reached()
    if not (stays and journaled and journal.send(*head, *fields)):
        print(("<3>" if journaled else "error: ") + text, file=sys.stderr, flush=True)


def watchdog_interval() -> float | None:
    """Return the seconds between pings: half of what systemd allows (sd_watchdog_enabled(3)), or None without a watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2e6 if microseconds.isdigit() and int(microseconds) else None
