"""Control groups of a boot.

Two systemds in one group would each manage the processes of the other.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path

from .command import BedError
from .waiting import wait_for

ROOT = Path("/sys/fs/cgroup")


def hierarchies() -> list[Path]:
    """Return the mounted hierarchies, all of which a boot joins."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, tail = line.partition(" - ")
        point, kind = Path(fields.split()[4]), tail.split()[0]
        if kind in ("cgroup", "cgroup2"):
            points.append(point)
    return points


def create(name: str) -> list[Path]:
    """Create a group in every hierarchy and return their cgroup.procs files.

    They have to be joined before nspawn starts.
    """
    groups = [hierarchy / name for hierarchy in hierarchies()]
    for group in groups:
        group.mkdir(exist_ok=True)
        # Empty in a new group, which accepts no process until they are set (cpuset(7)).
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (group.parent / setting).exists():
                (group / setting).write_text((group.parent / setting).read_text())
    return [group / "cgroup.procs" for group in groups]


def remove_all(name: str) -> None:
    """Remove every group whose name starts with this one, once its processes have ended."""
    for hierarchy in hierarchies():
        for group in hierarchy.glob(f"{name}*"):
            with suppress(BedError):
                wait_for(f"{group} to be empty", partial(_removed, group), limit=5)


def _removed(group: Path) -> bool:
    for directory, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            os.rmdir(directory)
    return not group.exists()
