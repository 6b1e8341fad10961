"""Bombs under limits: each is read in a forked child with five times the contract's resources.

`python -m tests.fuzz.bounds MODULE` reads the BOMBS of tests.fuzz.MODULE, and prints a JSON object:
name of the bomb → what went wrong, "" if nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Callable

from agent.core.record import record
from tests.fuzz.readers import only_agent_errors

ROOT = Path(__file__).parents[2]
CPU = 5  # seconds
MEMORY = 5 * 64 << 20  # bytes above the baseline


@record
class Bomb:
    """A reader, and what makes its input."""

    read: Callable[[bytes], None]
    make: Callable[[], bytes]


def run_all(bombs: Mapping[str, Bomb]) -> dict[str, str]:
    """Return for each bomb what went wrong."""
    for bomb in bombs.values():
        only_agent_errors(bomb.read, b"x")  # imports what it needs, before the baseline is taken
    return {name: run(bomb) for name, bomb in bombs.items()}


def run(bomb: Bomb, cpu: int = CPU) -> str:
    """Read one bomb in a child that may take `cpu` seconds; return what went wrong."""
    data = bomb.make()
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        os._exit(_read(bomb, data, cpu, writable))
    os.close(writable)
    with os.fdopen(readable, encoding="utf-8", errors="replace") as report:
        text = report.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name} (SIGXCPU: more than {cpu} s of CPU) {text}"
    return text if text or os.WEXITSTATUS(status) == 0 else "no report"


def _read(bomb: Bomb, data: bytes, cpu: int, writable: int) -> int:
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_virtual_memory() + MEMORY, most))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, resource.RLIM_INFINITY))
        only_agent_errors(bomb.read, data)
    except BaseException:  # noqa: BLE001 - whatever it is, it is the result
        resource.setrlimit(resource.RLIMIT_AS, (most, most))  # the report needs memory too
        os.write(writable, traceback.format_exc()[-4000:].encode("utf-8", "replace"))
        return 1
    return 0


def assert_bounded(module: str) -> None:
    """Run the bombs of a module of this directory in a process of its own."""
    command = [sys.executable, "-m", "tests.fuzz.bounds", module]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0
    assert {name: problem for name, problem in json.loads(done.stdout).items() if problem} == {}


def _virtual_memory() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    json.dump(run_all(importlib.import_module("tests.fuzz." + sys.argv[1]).BOMBS), sys.stdout)
