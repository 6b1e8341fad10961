"""Control groups of a boot: two systemds in one group would each take the other's processes for
their own.
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
    """The mounted hierarchies, all of which a boot joins."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, tail = line.partition(" - ")
        point, kind = Path(fields.split()[4]), tail.split()[0]
        if kind in ("cgroup", "cgroup2"):
            found.append(point)
    return found


def create(name: str) -> list[Path]:
    """Make a group in every hierarchy and return their cgroup.procs files, to be joined before
    nspawn starts.
    """
    groups = [hierarchy / name for hierarchy in hierarchies()]
    for group in groups:
        group.mkdir(exist_ok=True)
        for allowed in (
            "cpuset.cpus",
            "cpuset.mems",
        ):  # empty in a new group, which then accepts no process (cpuset(7))
            if (group.parent / allowed).exists():
                (group / allowed).write_text((group.parent / allowed).read_text())
    return [group / "cgroup.procs" for group in groups]


def remove_all(name: str) -> None:
    """Remove every group whose name starts with this one; their processes have ended or are just
    ending.
    """
    for hierarchy in hierarchies():
        for group in hierarchy.glob(f"{name}*"):
            with suppress(BedError):
                wait_for(f"{group} to be empty", partial(_removed, group), limit=5)


def _removed(group: Path) -> bool:
    for directory, _, _ in os.walk(group, topdown=False):
        with suppress(OSError):
            os.rmdir(directory)
    return not group.exists()
