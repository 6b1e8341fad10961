"""The daemon's life: a light process that waits, and for the boot and for each pass a child that ends when it is done.

It imports nothing that it does not need to wait (a test looks): the 25 MB of a pass live for half a second in ten minutes.
What a child says is a line: what begins with STATUS= or READY= is for systemd, NEXT= is when to look again, WATCH= a file.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from typing import Callable

from agent import journal
from agent.edges.child import NoChild
from agent.edges.inotify import Files
from agent.edges.notify import Notify
from agent.edges.signals import STOPS, Signals

#: Why a pass is due.
BOOT, RELOAD, FILES, TIME = "boot", "reload", "files", "time"
#: Seconds from a file's change to the pass: who changes several files is done by then.
SETTLE = 0.5
#: Seconds between passes for the sake of files, the shortest and the longest: somebody may write them all the time.
GAP_FIRST, GAP_LONGEST = 1.0, 60.0
#: Seconds until a pass is tried again that crashed, the first time and at the longest; and without another word.
RETRY_FIRST, RETRY_LONGEST, ORDINARY = 5.0, 300.0, 600.0

Hear = Callable[[str], None]
#: Does one pass for a reason, tells about it line by line, and answers an exit code.  `idle` and NoChild as in edges.child.
Perform = Callable[[str, Hear, Callable[[], float]], int]


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
        self._due: float | None = None
        self._touched: float | None = None
        self._gap, self._crash = GAP_FIRST, RETRY_FIRST
        self._ended = clock()
        self._paths: list[str] = []
        self._ready = False

    def stay(self) -> int:
        """Boot, then stay until SIGTERM; answers the exit code."""
        code = self._pass(BOOT)
        if code and not self._ready and not self._asked_to_end():
            return code if code > 0 else 1  # before READY=1 a failure is systemd's affair, as are wrong settings
        while True:
            reason = self._wait()
            if reason is None:
                self._notify("STOPPING=1")
                return 0
            self._pass(reason)

    def _wait(self) -> str | None:
        """Sleep until a pass is due, and say why; None when it is time to end."""
        while True:
            now = self._clock()
            moments = [at for at in (self._due, self._touched) if at is not None]
            left = max(0.0, min(moments) - now) if moments else self.idle()
            number = self._signals.wait(min(left, self.idle()), *self._files.descriptors)
            reload = False
            while number == signal.SIGHUP:  # many of them are one reload, and a stop behind them is heard
                reload, number = True, self._signals.wait(0)
            if number in STOPS:
                return None
            self.idle()
            now = self._clock()
            if self._files.changed() and self._touched is None:
                self._touched = max(now + SETTLE, self._ended + self._gap)
            if reload:
                return RELOAD
            if self._touched is not None and now >= self._touched:
                return FILES
            if self._due is not None and now >= self._due:
                return TIME

    def _asked_to_end(self) -> bool:
        numbers = list(iter(partial(self._signals.wait, 0), None))
        for number in numbers:
            self._signals.put_back(number)
        return any(number in STOPS for number in numbers)

    def idle(self) -> float:
        """Ping the watchdog if it is time; answers the seconds until the next ping.  Only a loop that works gets here."""
        if self._ping is None:
            return ORDINARY
        now = self._clock()
        if now - self._pinged >= self._ping:
            self._notify("WATCHDOG=1")
            self._pinged = now
        return max(0.0, self._pinged + self._ping - now)

    def _pass(self, reason: str) -> int:
        """Do one pass and take in what it says."""
        if reason == FILES:
            quiet = self._clock() - self._ended > 2 * self._gap + SETTLE
            self._gap = GAP_FIRST if quiet else min(2 * self._gap, GAP_LONGEST)
        self._due, self._touched, self._paths = None, None, []
        if reason == RELOAD:
            self._notify(f"RELOADING=1\nMONOTONIC_USEC={int(time.monotonic() * 1e6)}")
        try:
            code = self._perform(reason, self._hear, self.idle)
            ended = "by signal %s" % -code if code < 0 else f"with exit code {code}"
        except NoChild as error:
            if not self._ready:
                raise  # as a boot that fails
            code, ended = 1, str(error)
        if code and (self._ready or code < 0) and not self._asked_to_end():
            _report_crash(reason, ended, stays=self._ready)
        if reason == RELOAD:
            self._notify("READY=1")
        self._ended = self._clock()
        if self._paths:
            self._files.watch(self._paths)
        if code:
            self._due = self._ended + self._crash
            self._crash = min(2 * self._crash, RETRY_LONGEST)
        else:
            self._crash = RETRY_FIRST
            self._due = self._ended + ORDINARY if self._due is None else self._due
        return code

    def _hear(self, line: str) -> None:
        key, _, value = line.partition("=")
        if key == "NEXT":
            self._due = self._clock() + float(value)
        elif key == "WATCH":
            self._paths.append(value)
        elif key in ("STATUS", "READY"):
            self._ready = self._ready or key == "READY"
            self._notify(line)


def _report_crash(reason: str, ended: str, *, stays: bool) -> None:
    """By hand: the logger is one of the things that this process does without.

    With fields unless the crash is the end of this process too (`journal.send`).
    """
    text = f'pass.crashed reason={reason} ended="{ended}"'
    head = ("MESSAGE=" + text, "PRIORITY=3", "SYSLOG_IDENTIFIER=eks-proxy-agent")
    fields = ("EKS_PROXY_EVENT=pass.crashed", "REASON=" + reason, "EKS_PROXY_ENDED=" + ended)
    journaled = journal.reached()
    if not (stays and journaled and journal.send(*head, *fields)):
        print(("<3>" if journaled else "error: ") + text, file=sys.stderr, flush=True)


def watchdog_interval() -> float | None:
    """Seconds between pings: half of what systemd allows (sd_watchdog_enabled(3)), or None without a watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2e6 if microseconds.isdigit() and int(microseconds) else None
