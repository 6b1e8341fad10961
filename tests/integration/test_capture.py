"""Capture of a program that prints a secret: bounds of time and size, and what is left of it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from agent.edges import command
from agent.edges.signals import Stop
from agent.errors import CommandError

SECRET = "s3cret"


def sh(script: str, *, timeout: float = 10, **options: object) -> command.Output:
    """Run a shell script with a limit of 64 bytes."""
    return capture(["/bin/sh", "-c", script], timeout=timeout, **options)


def capture(argv: list[str], **options: object) -> command.Output:
    """Run a program with a limit of 64 bytes, and PATH."""
    defaults: dict[str, object] = {"timeout": 10, "limit": 64, "environment": {"PATH": "/usr/bin:/bin"}}
    return command.capture(argv, **{**defaults, **options})  # type: ignore[arg-type]


def ended(pid: str) -> bool:
    """Return True if a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_ended(pid: str) -> None:
    """Wait for the end of a process that got SIGKILL."""
    limit = time.monotonic() + 10
    while not ended(pid) and time.monotonic() < limit:
        time.sleep(0.01)
    assert ended(pid)


def test_output_and_exit_code_are_returned() -> None:
    """Both streams, and the exit code as a shell has it."""
    assert sh("printf out; printf err >&2; exit 7") == command.Output(7, b"out", b"err")
    assert sh("kill -9 $$").returncode == 137


def test_the_last_output_can_be_kept_instead() -> None:
    """With keep_last a program may print more than the limit; the end of it is returned."""
    output = sh("i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i + 1)); done; exit 3", keep_last=True)
    assert (output.returncode, len(output.stdout)) == (3, 64)
    assert output.stdout.endswith(b"line 4998\nline 4999\n")


def test_environment_is_exactly_the_given_one() -> None:
    """Nothing is inherited, such as a proxy or a token."""
    os.environ["https_proxy"] = "http://proxy.corp:3128"
    try:
        output = capture(["/usr/bin/env"], environment={"PATH": "/bin", "HOME": "/root"})
    finally:
        del os.environ["https_proxy"]
    assert sorted(output.stdout.splitlines()) == [b"HOME=/root", b"PATH=/bin"]


def test_it_has_no_input_and_no_descriptors() -> None:
    """stdin is /dev/null, the directory is /, and no other file is open."""
    assert sh("cat; pwd; ls /proc/self/fd").stdout.split() == [b"/", b"0", b"1", b"2", b"3"]


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    """All processes of its group, although they ignore SIGTERM."""
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep 1000 & echo $$ $! >{pids}; wait"
    with pytest.raises(CommandError, match=r"^/bin/sh: timed out after 0\.5 s$"):
        sh(script, timeout=0.5)
    for pid in pids.read_text().split():
        wait_ended(pid)


def test_a_child_that_keeps_the_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """The program has ended and printed: the result is there, and the child is killed."""
    pid = tmp_path / "pid"
    assert sh(f"sleep 1000 & echo $! >{pid}; echo {SECRET}").stdout == f"{SECRET}\n".encode()
    wait_ended(pid.read_text().strip())


@pytest.mark.parametrize("script", ["yes s3cret", "head -c 1048576 /dev/zero", "head -c 65 /dev/zero; exec sleep 1000"])
def test_more_than_the_limit_is_refused(script: str) -> None:
    """At once, also if the program would never end."""
    with pytest.raises(CommandError, match=r"^/bin/sh: printed more than 64 bytes$"):
        sh(script)


def test_of_stderr_the_end_is_kept() -> None:
    """However much it is: it is not what was asked for."""
    output = sh("head -c 1048576 /dev/zero >&2; printf end >&2; echo done")
    assert (output.stdout, len(output.stderr), output.stderr[-3:]) == (b"done\n", 64, b"end")


def test_a_program_that_closes_its_output_is_waited_for() -> None:
    """Its exit code counts."""
    assert sh("exec >&- 2>&-; sleep 0.2; exit 3") == command.Output(3, b"", b"")


@pytest.mark.parametrize("program", ["/nonexistent", "nonexistent", "/etc/passwd"])
def test_an_error_names_the_program_alone(program: str) -> None:
    """Arguments may be secret."""
    with pytest.raises(CommandError) as raised:
        capture([program, SECRET])
    assert str(raised.value).startswith(f"{program}: ")
    assert SECRET not in str(raised.value)


def test_the_program_dies_with_a_stop(tmp_path: Path) -> None:
    """SIGTERM to the daemon ends the wait and the program."""
    pid = tmp_path / "pid"

    def pause(seconds: float) -> None:
        if pid.exists() and pid.read_text():
            raise Stop

    with pytest.raises(Stop):
        sh(f"echo $$ >{pid}; exec sleep 1000", pause=pause)
    wait_ended(pid.read_text().strip())


def test_output_is_not_in_a_repr() -> None:
    """As a record shows itself in a traceback."""
    assert SECRET not in repr(sh(f"echo {SECRET}; echo {SECRET} >&2"))


def test_a_killed_run_leaves_no_zombie() -> None:
    """The program is reaped in every case."""
    with pytest.raises(CommandError):
        capture([sys.executable, "-c", "import time; time.sleep(1000)"], timeout=0.2)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert [child for child in children if ended(child)] == []
