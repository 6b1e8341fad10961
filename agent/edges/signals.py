"""SIGHUP, SIGTERM and SIGINT as values that a loop waits for, not as handlers that run anywhere."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

#: The signals that stop the process.
STOPS = (signal.SIGTERM, signal.SIGINT)
_WATCHED = (signal.SIGHUP, *STOPS)


class Stop(BaseException):
    """SIGTERM or SIGINT, received during a wait.

    Not an Exception: what reports every exception of a reconcile must not report this one.
    """


class Signals:
    """Queue of received signals; `wait` is the sleep of a loop and returns them."""

    def __init__(self, read_end: int) -> None:
        self._read_end = read_end
        self._arrived: list[int] = []
        self._deferred: list[int] = []  # each number once, or a storm of SIGHUPs would fill the memory

    def wait(self, seconds: float | None, *descriptors: int, only_new: bool = False) -> int | None:
        """Return the next signal, or None after `seconds` or when a descriptor is readable.

        `seconds` None: no limit.  `only_new`: ignore signals that were deferred or requeued.
        """
        if self._deferred and not only_new:
            return self._deferred.pop(0)
        return self._next(seconds, *descriptors)

    def requeue(self, number: int) -> None:
        """Let `wait` return this signal once more."""
        if number not in self._deferred:
            self._deferred.append(number)

    def sleep(self, seconds: float, *descriptors: int) -> None:
        """Sleep between retries, or until a descriptor is readable.

        SIGHUP ends the sleep and is deferred until `wait`.  Raises Stop immediately if the process
        has to stop.
        """
        number = self._next(seconds, *descriptors)
        if number in STOPS:
            raise Stop
        if number is not None:
            self.requeue(number)

    def _next(self, seconds: float | None, *descriptors: int) -> int | None:
        if not self._arrived:
            select.select([self._read_end, *descriptors], [], [], seconds)
            with contextlib.suppress(BlockingIOError):
                self._arrived += os.read(self._read_end, 64)
        return self._arrived.pop(0) if self._arrived else None


@contextlib.contextmanager
def watched() -> Iterator[Signals]:
    """Collect signals inside the block.

    Programs that it starts are unaffected, because exec resets handlers.
    """
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = {number: signal.signal(number, _ignore) for number in _WATCHED}
    wakeup = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    try:
        yield Signals(read_end)
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read_end)
        os.close(write_end)


@contextlib.contextmanager
def unwound() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the block before they kill this process.

    So programs that the block started are stopped first.

    systemd and a shell then see what they expect: not a failure, but the signal that they sent.
    Under nohup SIGHUP does nothing.
    """
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    arrived: list[int] = []

    def unwind(number: int, frame: FrameType | None) -> NoReturn:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)  # a second signal must not interrupt the unwinding
        arrived.append(number)
        sys.exit(128 + number)

    for number in numbers:
        signal.signal(number, unwind)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        for caught in arrived:
            os.kill(os.getpid(), caught)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing; without a handler the wakeup descriptor is not written."""
