"""The only place of the harness that runs a program and waits for it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Union

Argument = Union[str, Path]

# Nothing of the caller's environment reaches a program of the bed, above all no proxy variable.
CLEAN_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
}


class BedError(Exception):
    """The bed itself could not be made or did not answer; says what was run and what came back."""


def run(
    argv: Sequence[Argument],
    *,
    timeout: float = 60,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return its output as text.

    env is added to a clean environment. Raises BedError when it fails (unless check is false) or
    outlives timeout seconds.
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
        raise BedError(f"{shlex.join(command)}: no end after {timeout:.0f} s") from error
    except FileNotFoundError as error:
        raise BedError(f"{command[0]}: not installed") from error
    if check and done.returncode != 0:
        raise BedError(f"{shlex.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done
