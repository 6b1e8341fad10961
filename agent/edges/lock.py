"""One lock for all commands that change the machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import Callable, Iterator

from agent.edges.disk import Disk
from agent.errors import FileError, LockedError

LOCK = "/run/eks-proxy-agent/lock"
BOOTSTRAP_LOCK = "/run/eks-proxy-agent/bootstrap.lock"


@contextlib.contextmanager
def held(
    disk: Disk, path: str = LOCK, *, wait: float = 5.0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[None]:
    """Hold the lock; a pass of the daemon takes milliseconds, so others wait `wait` seconds before they give up.

    Raises LockedError that names the pid of the holder.
    """
    resolved = disk.resolve(path)
    for folder in disk.missing_folders(resolved):
        disk.make_folder(folder)
    try:
        descriptor = os.open(disk.real(resolved), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FileError("%s: cannot be opened: %s" % (path, error.strerror)) from None
    try:
        tries = int(wait / 0.05)
        while not _try(descriptor):
            if tries <= 0:
                raise LockedError(
                    "%s is held by another run, pid %s" % (path, _holder(descriptor)),
                    hint="wait for it to end, then try again",
                )
            tries -= 1
            sleep(0.05)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, 20, 0).strip()
    return text.decode("ascii") if text.isdigit() else "unknown"
