"""Starting of programs; no other module starts any."""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Callable

from agent.core.record import field, record
from agent.core.redact import redact
from agent.errors import CommandError

#: Environment of a program: nothing of our own is inherited.
BASE_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}

#: Seconds between SIGTERM and SIGKILL.
GRACE = 10.0
#: Exit code of timeout(1) after a timeout.
TIMED_OUT = 124
#: Seconds between two looks at a program whose output is captured.
_TICK = 0.05


@record
class Result:
    """Result of a program that has ended."""

    returncode: int
    stdout: str
    stderr: str


@record
class Output:
    """Exit code of a program as of a shell, and what it printed, which may be secret."""

    returncode: int
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)


def run(
    argv: Sequence[str],
    *,
    timeout: float = 30.0,
    environment: Mapping[str, str] | None = None,
    check: bool = True,
    text: str = "",
) -> Result:
    """Run a program until it ends, with `text` as its standard input.

    Raises CommandError if it does not exist, takes longer than `timeout` seconds, or, with `check`,
    exits with a code other than 0.
    """
    shown = " ".join(map(shlex.quote, argv))
    try:
        done = subprocess.run(
            argv,
            input=text.encode("utf-8"),
            capture_output=True,
            env=dict(BASE_ENVIRONMENT, **(environment or {})),
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandError(f"{shown}: timed out after {timeout:g} s") from None
    except OSError as error:
        raise CommandError(f"{shown}: {error.strerror}") from None
    result = Result(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
    if check and result.returncode:
        stderr = redact(result.stderr.strip())  # before it is cut: half a URL is not recognised
        raise CommandError(f"{shown}: exit code {result.returncode}: {stderr[-500:]}", output=stderr)
    return result


def stream(argv: Sequence[str], *, timeout: float, environment: Mapping[str, str]) -> int:
    """Run a program that inherits stdout and stderr; return its exit code as a shell does.

    That is 128 + N for signal N, and TIMED_OUT after `timeout` seconds: then its whole process
    group gets SIGTERM, and SIGKILL after GRACE more seconds. Raises CommandError if it cannot be
    started.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            env=dict(BASE_ENVIRONMENT, **environment),
            start_new_session=True,
            cwd="/",
        )
    except OSError as error:
        raise CommandError(f"{argv[0]}: {error.strerror}") from None
    try:
        code = process.wait(timeout)
        return code if code >= 0 else 128 - code
    except subprocess.TimeoutExpired:
        return TIMED_OUT
    finally:
        if process.poll() is None:
            _stop(process)


def capture(
    argv: Sequence[str],
    *,
    timeout: float,
    limit: int,
    environment: Mapping[str, str],
    pause: Callable[[float], None] = time.sleep,
    keep_last: bool = False,
) -> Output:
    """Run a program that prints a secret, with exactly this environment and without input.

    When it ends, or after `timeout` seconds, or with more than `limit` bytes on stdout, its process
    group is killed.  Of stderr the last `limit` bytes are kept, with `keep_last` of stdout too.
    `pause` is called again and again, and may raise an exception to end the run.  Raises
    CommandError, which repeats neither arguments nor output.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
            cwd="/",
        )
    except OSError as error:
        raise CommandError(f"{argv[0]}: {error.strerror}") from None
    try:
        stdout, stderr = _read_pipes(process, argv[0], timeout, limit, pause, keep_last=keep_last)
    finally:
        _signal_group(process.pid, signal.SIGKILL)  # not reaped yet, so that the group is still its own
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
    code = process.returncode
    return Output(code if code >= 0 else 128 - code, stdout, stderr)


def _read_pipes(
    process: subprocess.Popen[bytes],
    name: str,
    timeout: float,
    limit: int,
    pause: Callable[[float], None],
    *,
    keep_last: bool,
) -> tuple[bytes, bytes]:
    """Return stdout and stderr once the program has ended, whatever child holds them open."""
    deadline = time.monotonic() + timeout
    pipes = [pipe.fileno() for pipe in (process.stdout, process.stderr) if pipe]
    texts = dict.fromkeys(pipes, b"")
    out, err = pipes
    while True:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise CommandError(f"{name}: timed out after {timeout:.3g} s")
        pause(0)
        has_ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        ready, _, _ = select.select(pipes, [], [], 0 if has_ended else min(remaining, _TICK))
        if has_ended and not ready:
            return texts[out], texts[err]
        for pipe in ready:
            data = os.read(pipe, 65536)
            texts[pipe] += data
            if not data:
                pipes.remove(pipe)
        texts[err] = texts[err][-limit:]
        texts[out] = texts[out][-limit:] if keep_last else texts[out]
        if len(texts[out]) > limit:
            raise CommandError(f"{name}: printed more than {limit} bytes")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the whole process group: the leader may end long before a child that ignores SIGTERM."""
    deadline = time.monotonic() + GRACE
    _signal_group(process.pid, signal.SIGTERM)
    while _signal_group(process.pid, 0) and time.monotonic() < deadline:
        process.poll()  # a leader that is not waited for still counts as a member of the group
        time.sleep(0.05)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; return False if it has no process."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
