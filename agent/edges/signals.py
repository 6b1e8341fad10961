"""SIGHUP, SIGTERM and SIGINT as values that a loop waits for, instead of code that runs anywhere."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

#: The signals that ask for the end.
STOPS = (signal.SIGTERM, signal.SIGINT)
_WATCHED = (signal.SIGHUP, *STOPS)


class Stop(Exception):
    """SIGTERM or SIGINT came while something was waiting."""


class Signals:
    """Collects signals; `wait` is both the loop's sleep and the way to hear of them."""

    def __init__(self, read_end: int) -> None:
        self._read_end = read_end
        self._arrived: list[int] = []
        self._put_off: list[int] = []

    def wait(self, seconds: float | None, *descriptors: int, fresh: bool = False) -> int | None:
        """The next signal, or None after `seconds` (None: no limit) or when one of the descriptors can be read.

        `fresh`: only one that was not put off or back before.
        """
        if self._put_off and not fresh:
            return self._put_off.pop(0)
        return self._next(seconds, *descriptors)

    def put_back(self, number: int) -> None:
        """Let `wait` answer this one once more."""
        self._put_off.append(number)

    def sleep(self, seconds: float) -> None:
        """Sleep for retries: raises Stop at once when the process is to end; a SIGHUP is put off until `wait`."""
        number = self._next(seconds)
        if number in STOPS:
            raise Stop
        if number is not None:
            self._put_off.append(number)

    def _next(self, seconds: float | None, *descriptors: int) -> int | None:
        if not self._arrived:
            select.select([self._read_end, *descriptors], [], [], seconds)
            with contextlib.suppress(BlockingIOError):
                self._arrived += os.read(self._read_end, 64)
        return self._arrived.pop(0) if self._arrived else None


@contextlib.contextmanager
def watched() -> Iterator[Signals]:
    """Collect signals inside the block.  Children are not affected: a handler does not survive exec."""
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
    """Inside the block SIGTERM and SIGHUP end this process as ever, but only after what it started was ended.

    So systemd, and a shell, see what they expect: not a failure, but the signal that they sent.
    Under nohup SIGHUP does nothing.
    """
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    arrived: list[int] = []

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)  # one is enough, and must not cut off the end
        arrived.append(number)
        sys.exit(128 + number)

    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        for caught in arrived:
            os.kill(os.getpid(), caught)


def _ignore(number: int, frame: FrameType | None) -> None:
    """A handler has to be there for the wakeup descriptor to be written."""
