"""The only place that starts programs."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

import attrs

from agent.core.redact import redact
from agent.errors import CommandError

#: What a program gets to see: nothing of our own environment leaks in.
BASE_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}

#: Seconds between SIGTERM and SIGKILL.
GRACE = 10.0
#: What timeout(1) exits with when the time is up.
TIMED_OUT = 124


@attrs.frozen
class Result:
    returncode: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    timeout: float = 30.0,
    environment: Mapping[str, str] | None = None,
    check: bool = True,
    text: str = "",
) -> Result:
    """Run a program to its end; `text` is its stdin, which is empty without.

    Raises CommandError when it is absent, takes over `timeout` seconds, or, with `check`, fails.
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
        said = redact(result.stderr.strip())[-500:]  # in this order: half a URL is not known for one
        raise CommandError(f"{shown}: exit code {result.returncode}: {said}")
    return result


def stream(argv: Sequence[str], *, timeout: float, environment: Mapping[str, str]) -> int:
    """Run a program whose output goes where ours goes; its exit code as a shell gives it (128 + N for signal N).

    After `timeout` seconds its whole process group gets SIGTERM, GRACE seconds later SIGKILL, and
    the answer is 124. Raises CommandError when it cannot be started.
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
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: the leader may be gone long before a child of it that is deaf to SIGTERM."""
    ends = time.monotonic() + GRACE
    _signal_group(process.pid, signal.SIGTERM)
    while _signal_group(process.pid, 0) and time.monotonic() < ends:
        process.poll()  # a leader that nobody waited for still counts as one of the group
        time.sleep(0.05)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def _signal_group(group: int, number: int) -> bool:
    """Whether there was anybody to send it to."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
