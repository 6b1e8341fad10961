"""Temporary directories named after their process.

A later session removes those that a killed session left behind.
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
REQUIRED = 2 << 30  # bytes for etcd and logs; a container may have only 64 MB of /dev/shm


def own_directory() -> Path:
    """Create a directory of this process, and remove those of dead processes.

    It is in memory if /dev/shm is large enough.
    """
    shared = Path("/dev/shm")
    in_memory = os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > REQUIRED
    parent = shared if in_memory else Path(tempfile.gettempdir())
    for directory in parent.glob(f"{PREFIX}*"):
        if not _is_process_alive(directory.name):
            shutil.rmtree(directory, ignore_errors=True)
    name = f"{PREFIX}{os.getpid()}-{start_time(os.getpid())}-"
    return Path(tempfile.mkdtemp(prefix=name, dir=parent))


def _is_process_alive(name: str) -> bool:
    match = re.match(rf"{PREFIX}(\d+)-(\d+)-", name)
    if match is None:
        return False
    with suppress(OSError):
        return start_time(int(match[1])) == match[2]
    return False
