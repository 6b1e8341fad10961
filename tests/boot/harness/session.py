"""What a test session owns on the machine.

Everything carries its name, so that a later session can remove leftovers of a killed one.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from . import cgroup
from .command import run
from .waiting import wait_for

PREFIX = "eksproxy-"
WORK_PARENT = Path("/var/tmp")
NAMESPACES = Path("/run/netns")
#: A process may have several sessions: a worker of pytest-xdist runs tests of several directories.
_numbers = itertools.count(1)


def start_time(pid: int) -> str:
    """Return when a process started, in clock ticks since boot (proc(5), field 22).

    Together with the pid that identifies a process for good.
    """
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


class Session:
    """A test session: its name, and its work directory on a tmpfs, which spares the disk."""

    def __init__(self) -> None:
        """Remove leftovers of dead sessions, then create a name and a directory."""
        clear_dead_sessions()
        self.name = f"{PREFIX}{os.getpid()}-{start_time(os.getpid())}n{next(_numbers)}"
        self.work = WORK_PARENT / self.name
        self.work.mkdir(mode=0o755)
        run(["mount", "-t", "tmpfs", "-o", "mode=755,size=6g", self.name, self.work])

    def close(self) -> None:
        """Remove everything that carries this session's name."""
        clear(self.name)


def clear_dead_sessions() -> None:
    """Remove everything with our prefix whose session has ended."""
    for name in sorted(_session_names()):
        match = re.fullmatch(rf"{PREFIX}(\d+)-(\d+)n\d+", name)
        if match is None:
            continue
        with suppress(OSError):
            if start_time(int(match[1])) == match[2]:
                continue
        clear(name)


def clear(session: str) -> None:
    """Kill processes, unmount mounts and delete directories of a session, in that order."""
    namespaces = [path.name for path in NAMESPACES.glob(f"{session}*")]
    for namespace in namespaces:
        wait_for(f"the end of the processes in {namespace}", partial(_kill_inside, namespace), limit=20)
        run(["ip", "netns", "delete", namespace], check=False)
    cgroup.remove_all(session)
    for mount in _mounts_below(WORK_PARENT / session):
        run(["umount", "--lazy", mount], check=False)
    for segment in Path("/dev/shm").glob(f"{session.replace('-', '')}*"):
        segment.unlink()
    shutil.rmtree(WORK_PARENT / session, ignore_errors=True)


def _session_names() -> Iterator[str]:
    directories = [WORK_PARENT, NAMESPACES, *cgroup.hierarchies()]
    for directory in directories:
        for path in directory.glob(f"{PREFIX}*"):
            yield "-".join(path.name.split("-")[:3])


def _kill_inside(namespace: str) -> bool:
    """Kill, by id, every process in a network namespace of ours; return True if none is left."""
    pids = run(["ip", "netns", "pids", namespace], check=False).stdout.split()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    return not pids


def _mounts_below(directory: Path) -> list[str]:
    """Return the mount points at or below a directory, the innermost first (proc(5), mountinfo)."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted({p for p in points if p == str(directory) or p.startswith(f"{directory}/")}, reverse=True)
