"""A child of our own that does one pass and ends: what it took of memory goes with it.

It is a fork, not a program: nothing is started, and the parent's process id, which systemd knows,
stays what it is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import Callable, Optional

from agent.edges.signals import STOPS, Signals
from agent.errors import AgentError

#: Seconds that a child may be silent before it counts as hung, unless what it said last allows
#: more.
SILENCE = 600.0
#: Seconds that it gets to end after SIGTERM, which systemd's TimeoutStopSec= has to exceed; and
#: after SIGKILL.
GRACE, DEAD = 20.0, 10.0

#: Takes one line, or several at once, which then arrive together.
Say = Callable[[str], None]
#: Takes a line, and returns the seconds that the child may be silent after it; None for the usual
#: ones.
Hear = Callable[[str], Optional[float]]
#: What a child does; the answer is its exit code.
Work = Callable[[Say], int]


class NoChild(AgentError):
    """The kernel had no process to give, as on a node at its limit of them; it may have one soon."""


class Hung(AgentError):
    """A child that not even SIGKILL ends, as in an uninterruptible read: whoever waits for it hangs too."""


def run(work: Work, signals: Signals, hear: Hear, idle: Callable[[], float]) -> int:
    """Fork, do `work` there, and `hear` each line that it says.  Answers its exit code, -N when signal N ended it.

    While it waits, `idle` is called, which answers the seconds until it wants to be called again.
    SIGTERM is passed on to the child, and then, like SIGHUP, left to whoever asks `signals` next.
    Raises NoChild and Hung.
    """
    pid, descriptor = _fork(work)
    try:
        return _attend(pid, descriptor, signals, hear, idle)
    finally:
        os.close(descriptor)


def _attend(pid: int, descriptor: int, signals: Signals, hear: Hear, idle: Callable[[], float]) -> int:
    rest, ends, stopping, killed = b"", time.monotonic() + SILENCE, False, False
    while True:
        left = ends - time.monotonic()
        if left <= 0:
            if killed:
                raise Hung(f"worker process {pid}: still running {DEAD:g} s after SIGKILL")
            os.kill(pid, signal.SIGKILL)
            killed, ends = True, time.monotonic() + DEAD
            continue
        number = signals.wait(min(left, idle()), descriptor, fresh=True)
        if number is not None:
            signals.put_back(number)
        if number in STOPS and not stopping:
            os.kill(pid, signal.SIGTERM)
            stopping, ends = True, time.monotonic() + GRACE
        data = _read(descriptor)
        if data == b"":
            return _exit_code(os.waitpid(pid, 0)[1])
        lines = (rest + (data or b"")).split(b"\n")
        rest = lines.pop()
        for line in lines:
            allowed = hear(line.decode("utf-8", "replace"))
            if not stopping:
                ends = time.monotonic() + (SILENCE if allowed is None else allowed)


def _fork(work: Work) -> tuple[int, int]:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(read_end, False)
    sys.stdout.flush()
    sys.stderr.flush()
    # Until the child has handlers of its own, a signal would run the parent's, and write into the
    # parent's pipe.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, *STOPS))
    try:
        pid = os.fork()
        if pid == 0:
            _live(work, write_end, mask)
    except OSError as error:
        os.close(read_end)
        raise NoChild(f"cannot fork a worker process: {error.strerror}") from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(write_end)
    return pid, read_end


def _live(work: Work, descriptor: int, mask: set[signal.Signals] | set[int]) -> None:
    """The child's life; never returns into the parent's code."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGHUP, *STOPS):
            signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = work(lambda text: _say(descriptor, text))
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 -- a bug in a pass must not go on as a second parent
        with contextlib.suppress(Exception):
            sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def _say(descriptor: int, text: str) -> None:
    with contextlib.suppress(OSError):  # the parent is gone: the pass is carried out all the same
        os.write(descriptor, text.encode() + b"\n")


def _read(descriptor: int) -> bytes | None:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return None


def _exit_code(status: int) -> int:
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
