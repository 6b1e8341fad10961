"""Temporary directories that carry their owner's process, so that a later session removes what a
killed one left.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.boot.harness.session import start_time

PREFIX = "eksproxy-cluster-"
ENOUGH = 2 << 30  # bytes for etcd and logs; a container may have 64 MB of /dev/shm


def own_directory() -> Path:
    """A new directory of this process, after those of dead processes are gone; in memory where the
    machine has such a place.
    """
    shared = Path("/dev/shm")
    in_memory = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > ENOUGH
    parent = shared if in_memory else Path(tempfile.gettempdir())
    for left in parent.glob(f"{PREFIX}*"):
        if not _has_owner(left.name):
            shutil.rmtree(left, ignore_errors=True)
    name = f"{PREFIX}{os.getpid()}-{start_time(os.getpid())}-"
    return Path(tempfile.mkdtemp(prefix=name, dir=parent))


def _has_owner(name: str) -> bool:
    match = re.match(rf"{PREFIX}(\d+)-(\d+)-", name)
    if match is None:
        return False
    with suppress(OSError):
        return start_time(int(match[1])) == match[2]
    return False
