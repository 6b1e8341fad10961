"""The lock of all commands that change the machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from typing import Callable

from agent.edges.files import FileSystem
from agent.errors import LockedError

LOCK = "/run/eks-proxy-agent/lock"
BOOTSTRAP_LOCK = "/run/eks-proxy-agent/bootstrap.lock"


class Lock:
    """Proof that the lock is held; only `held` creates it."""


@contextlib.contextmanager
def held(
    files: FileSystem, path: str = LOCK, *, wait: float = 5.0, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Lock]:
    """Hold the lock, after waiting for it up to `wait` seconds.

    A reconcile takes milliseconds, so a short wait is usually enough.  Raises LockedError with the
    pid of the holder.
    """
    tries = int(wait / 0.05)
    while True:
        descriptor = _open(files, path)
        if _locked(descriptor, files, path):
            break
        holder = _holder(descriptor)
        os.close(descriptor)
        if tries <= 0:
            raise LockedError(f"{path}: locked by another run (pid {holder})", hint="wait for it to end, then retry")
        tries -= 1
        sleep(0.05)
    try:
        with contextlib.suppress(OSError):  # a full disk: only the pid is lost, which is for people
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield Lock()
    finally:
        os.close(descriptor)


def _open(files: FileSystem, path: str) -> int:
    resolved = files.resolve(path)
    for directory in files.missing_directories(resolved):
        files.make_directory(directory)
    return files.open(resolved, os.O_RDWR | os.O_CREAT, 0o600)


def _locked(descriptor: int, files: FileSystem, path: str) -> bool:
    """Take the lock; return False if it is not free or the file is no longer the one at `path`.

    revert removes the file while it holds the lock.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    status = files.status(path)
    return status is not None and os.path.samestat(os.fstat(descriptor), status)


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, 20, 0).strip()
    return text.decode("ascii") if text.isdigit() else "unknown"
