"""Commands of the agent as processes that are forked from one that has imported everything.

So a command starts within milliseconds, and only its own work is traced.  `python -m
tests.faults.processes` is that server: a request per line on stdin, its pid and later its exit code
on stdout.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable

from agent.core.record import asdict, field, record

REPOSITORY = Path(__file__).parents[2]
#: Seconds after which a command is killed by SIGALRM.
TIMEOUT = 60
#: The time of day in all commands.
_NOW = 1_700_000_000.0
#: prctl(2): any process of this user may trace this one, whatever kernel.yama.ptrace_scope says.
_PR_SET_PTRACER = 0x59616D61


#: Without systemctl only files of the tree are changed.  Sets have the same order in all runs.
_ENVIRONMENT = {"PATH": "/nonexistent", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


@record
class Command:
    """One command: `entry` is a key of ENTRIES, `words` its command line."""

    entry: str
    words: tuple[str, ...]


@record
class Outcome:
    """Exit code (-N for signal N) and output of a command."""

    code: int
    out: str = field(repr=False)
    err: str


def fast_directory() -> str | None:
    """Return a file system in memory, where fsync(2) takes no time; None for the usual one."""
    try:
        with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
            os.setxattr(file.name, "user.test", b"")  # since Linux 6.6
    except OSError:
        return None
    return "/dev/shm"


class Server:
    """The process that forks the commands."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.processes"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=_ENVIRONMENT,
        )

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin
        self._process.stdin.write("\n")  # its end may be open in another process too
        self._process.stdin.close()
        self._process.wait(TIMEOUT)

    def run(self, command: Command, tracer: Callable[[int], Sequence[str]] | None = None) -> Outcome:
        """Run a command; `tracer` returns the command line of strace for its pid."""
        out, err = self._directory / "out", self._directory / "err"
        self._send({**asdict(command), "out": str(out), "err": str(err), "stop": tracer is not None})
        pid = int(self._receive())
        with _attached(tracer(pid)) if tracer else contextlib.nullcontext():
            if tracer:
                os.kill(pid, signal.SIGCONT)
            code = int(self._receive())
        return Outcome(code, out.read_text(errors="replace"), err.read_text(errors="replace"))

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request) + "\n")

    def _receive(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the server of commands has ended"
        return line


@contextlib.contextmanager
def _attached(strace: Sequence[str]) -> Iterator[None]:
    with subprocess.Popen(strace, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr
        line = tracer.stderr.readline()
        assert "attached" in line, line + tracer.stderr.read()
        yield
        rest = tracer.stderr.read()
    assert tracer.returncode in (0, -signal.SIGKILL), rest


def run_whole(words: Sequence[str], strace: Sequence[str]) -> int:
    """Run a command under strace from its first call on; return the exit code."""
    program = shutil.which("strace") or "strace"
    line = [program, *strace, sys.executable, "-m", "agent", *words]
    return subprocess.run(
        line,
        cwd=REPOSITORY,
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    ).returncode


# --- the server -----------------------------------------------------------------------------------


def _serve() -> None:
    _import_all()
    while line := sys.stdin.readline().strip():
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = _child(request)
            try:
                sys.stderr.flush()
                sys.stdout.flush()
            except OSError:
                code = 120  # as Python
            os._exit(code)  # to finalize all modules would take longer than the command
        if request["stop"]:
            os.waitpid(pid, os.WUNTRACED)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _import_all() -> None:
    import agent

    for module in pkgutil.walk_packages(agent.__path__, "agent."):
        if module.name not in ("agent.__main__", "agent.journal"):
            importlib.import_module(module.name)
    import requests  # noqa: F401 -- what the commands import when they need it
    import tenacity  # noqa: F401
    import yaml  # noqa: F401

    gc.freeze()


def _child(request: dict[str, Any]) -> int:
    """Become the process of a command; return its exit code."""
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, request["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.umask(0o077)  # as of a careful administrator; the agent's modes do not depend on it
    # The same calls in each run: a file whose content does not change is not written.
    time.time = lambda: _NOW
    random.seed(0)
    signal.alarm(TIMEOUT)
    if request["stop"]:
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
    return ENTRIES[request["entry"]](request["words"])


def _command(words: Sequence[str]) -> int:
    from agent import cli

    return cli.main(words)


def _bootstrap(words: Sequence[str]) -> int:
    """`bootstrap` works on / only; here it gets another root."""
    import argparse

    from agent import cli
    from agent.commands import bootstrap
    from agent.edges.signals import unwound
    from agent.exits import guarded
    from agent.node.host import host_of
    from agent.node.sources import sources_of

    cli._prepare_streams()
    root, *others = words
    arguments = cli.parser().parse_args(["bootstrap", *others])

    def work() -> int:
        with unwound():
            return bootstrap.bootstrap(host_of(argparse.Namespace(root=root)), sources_of(arguments))

    return guarded(work)


def _worker(reason: str) -> Callable[[Sequence[str]], int]:
    """Return the work that the supervisor gives to its child."""

    def work(words: Sequence[str]) -> int:
        from agent import cli
        from agent.daemon import crash_record, worker
        from agent.daemon.supervisor import Reason
        from agent.exits import guarded

        cli._prepare_streams()
        arguments = cli.parser().parse_args(["run", *words])
        if reason == "crash":
            problem = "worker process killed by signal 9"
            return guarded(lambda: crash_record.record(arguments, problem, 10.0, print))
        started = time.monotonic()
        return guarded(lambda: worker.work(arguments, Reason(reason), started, print))

    return work


ENTRIES: dict[str, Callable[[Sequence[str]], int]] = {
    "agent": _command,
    "bootstrap": _bootstrap,
    **{f"worker:{reason}": _worker(reason) for reason in ("boot", "files", "retry", "crash")},
}

if __name__ == "__main__":
    _serve()
