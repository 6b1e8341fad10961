"""Child process for one cycle of the daemon: the memory of the cycle is freed when it ends.

It is a fork without exec: no program is started, and the parent keeps the process id that systemd
knows.
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

#: Seconds without a line after which a child counts as hung, unless its last line allows more.
SILENCE = 600.0
#: Seconds that it gets to end after SIGTERM, which TimeoutStopSec= of the unit has to exceed; and
#: after SIGKILL.
STOP_TIMEOUT, KILL_TIMEOUT = 20.0, 10.0
#: Seconds to wait for the end of a child that need not be waited for.
COLLECT_TIMEOUT = 0.1

#: Writes one line to the parent, or several that then arrive together.
WriteLine = Callable[[str], None]
#: Handles a line; returns the seconds that the child may be silent after it, or None for SILENCE.
HandleLine = Callable[[str], Optional[float]]
#: The work of a child; returns its exit code.
Work = Callable[[WriteLine], int]


class ForkError(AgentError):
    """Failed fork, as on a node at its limit of processes; a later try may succeed."""


class HungError(AgentError):
    """A child that survives SIGKILL, as in an uninterruptible read; waiting would hang too."""


#: Children that survived SIGKILL, to be collected when they have ended after all.
_hung: set[int] = set()


def run(work: Work, signals: Signals, handle_line: HandleLine, idle: Callable[[], float]) -> int:
    """Fork, do `work` in the child, and pass each of its lines to `handle_line`.

    Returns the exit code of the child, or -N if signal N killed it. While this waits, it calls
    `idle`, which returns the seconds until its next call. SIGTERM is passed on to the child;
    SIGTERM and SIGHUP stay queued in `signals`. Raises ForkError and HungError.
    """
    pid, descriptor = _fork(work)
    try:
        return _wait(pid, descriptor, signals, handle_line, idle)
    finally:
        os.close(descriptor)


def _wait(pid: int, descriptor: int, signals: Signals, handle_line: HandleLine, idle: Callable[[], float]) -> int:
    rest, deadline, is_stopping, is_killed = b"", time.monotonic() + SILENCE, False, False
    while True:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            if is_killed:
                _hung.add(pid)
                raise HungError(f"worker process {pid}: still running {KILL_TIMEOUT:g} s after SIGKILL")
            os.kill(pid, signal.SIGKILL)
            is_killed, deadline = True, time.monotonic() + KILL_TIMEOUT
            continue
        number = signals.wait(min(remaining, idle()), descriptor, only_new=True)
        if number is not None:
            signals.requeue(number)
        if number in STOPS and not is_stopping:
            os.kill(pid, signal.SIGTERM)
            is_stopping, deadline = True, time.monotonic() + STOP_TIMEOUT
        data = _read(descriptor)
        if data == b"":
            return _exit_code(os.waitpid(pid, 0)[1])
        lines = (rest + (data or b"")).split(b"\n")
        rest = lines.pop()
        for line in lines:
            allowed = handle_line(line.decode("utf-8", "replace"))
            if not is_stopping:
                deadline = time.monotonic() + (SILENCE if allowed is None else allowed)


def collect(pid: int) -> None:
    """Collect a child that was killed, at once or, if that takes longer, at a later fork."""
    deadline = time.monotonic() + COLLECT_TIMEOUT
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if time.monotonic() > deadline:
            _hung.add(pid)
            return
        time.sleep(0.002)


def _collect_hung() -> None:
    _hung.difference_update([pid for pid in _hung if os.waitpid(pid, os.WNOHANG)[0]])


def _fork(work: Work) -> tuple[int, int]:
    _collect_hung()
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(read_end, False)
    _flush()
    # Until the child has its own handlers, a signal would run the parent's, which write into the
    # parent's pipe.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP, *STOPS))
    try:
        pid = os.fork()
        if pid == 0:
            _run_child(work, write_end, mask)
    except OSError as error:
        os.close(read_end)
        raise ForkError(f"cannot fork a worker process: {error.strerror}") from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(write_end)
    return pid, read_end


def _run_child(work: Work, descriptor: int, mask: set[signal.Signals] | set[int]) -> None:
    """Do the work of the child and exit; never return into the parent's code."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGHUP, *STOPS):
            signal.signal(number, signal.SIG_IGN if number == signal.SIGHUP else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = work(lambda text: _write_line(descriptor, text))
    except BaseException:  # noqa: BLE001 -- after a bug the child must not continue as a second parent
        with contextlib.suppress(Exception):
            sys.excepthook(*sys.exc_info())
    finally:
        _flush()
        os._exit(code)


def _flush() -> None:
    """Flush stdout and stderr as far as they are open and have room."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _write_line(descriptor: int, text: str) -> None:
    with contextlib.suppress(OSError):  # the parent is gone: the cycle is carried out nevertheless
        os.write(descriptor, text.encode() + b"\n")


def _read(descriptor: int) -> bytes | None:
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:
        return None


def _exit_code(status: int) -> int:
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
