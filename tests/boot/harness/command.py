"""Programs that the harness runs and waits for; no other module does."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Union

Argument = Union[str, Path]

# Programs of the bed inherit nothing of the caller's environment, above all no proxy variable.
CLEAN_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
}


class BedError(Exception):
    """The bed could not be created, or did not respond; the text has the command and its output."""


def run(
    argv: Sequence[Argument],
    *,
    timeout: float = 60,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program until it ends, and return its output as text.

    `env` is added to a clean environment. Raises BedError if it fails (unless `check` is false) or
    takes longer than `timeout` seconds.
    """
    command: list[str] = [os.fspath(part) for part in argv]
    try:
        done = subprocess.run(
            command,
            timeout=timeout,
            check=False,
            env={**CLEAN_ENVIRONMENT, **(env or {})},
            cwd=cwd,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise BedError(f"{shlex.join(command)}: timed out after {timeout:.0f} s") from error
    except FileNotFoundError as error:
        raise BedError(f"{command[0]}: not installed") from error
    if check and done.returncode != 0:
        raise BedError(f"{shlex.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done
