"""The locks of commands that change the machine.

A lock is held on a directory of the agent's state, which needs no room in /run.  Its file in /run
holds the pid of the holder for messages, if /run has room for it.  The file is locked too: in
version 0.1 it alone was the lock, and a daemon of that version may run until the upgrade restarts
it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from typing import Callable, NamedTuple

from agent.edges.files import FileSystem
from agent.errors import FileError, LockedError, NoRoomError


class LockPaths(NamedTuple):
    """The directory that is locked, and the file that names the holder."""

    directory: str
    file: str


LOCK = LockPaths("/var/lib/eks-proxy-agent", "/run/eks-proxy-agent/lock")
BOOTSTRAP_LOCK = LockPaths("/var/lib/eks-proxy-agent/instances", "/run/eks-proxy-agent/bootstrap.lock")
#: Seconds between two tries.
_PAUSE = 0.05


class Lock:
    """Proof that the lock is held; only `held` creates it."""


@contextlib.contextmanager
def held(
    files: FileSystem,
    paths: LockPaths = LOCK,
    *,
    wait: float = 5.0,
    sleep: Callable[[float], None] = time.sleep,
    waiting: Callable[[str], None] = lambda problem: None,
) -> Iterator[Lock]:
    """Hold the lock, after waiting for it up to `wait` seconds.

    A reconcile takes milliseconds, so a short wait is usually enough.  `waiting` is called before
    each pause with the problem.  Raises LockedError with the pid of the holder, and FileError.
    """
    tries = int(wait / _PAUSE)
    while True:
        with contextlib.ExitStack() as stack:
            if _acquire(files, paths, stack):
                yield Lock()
                return
            problem = f"{paths.file}: locked by another run (pid {_holder(files, paths)})"
        if tries <= 0:
            raise LockedError(problem, hint="wait for it to end, then retry")
        tries -= 1
        waiting(problem)
        sleep(_PAUSE)


def _acquire(files: FileSystem, paths: LockPaths, stack: contextlib.ExitStack) -> bool:
    """Lock directory and file until the stack ends; return False if one of them is not free."""
    if _lock(files, paths.directory, os.O_RDONLY | os.O_DIRECTORY, stack) is None:
        return False
    try:
        descriptor = _lock(files, paths.file, os.O_RDWR | os.O_CREAT, stack)
    except NoRoomError:
        return True
    if descriptor is None:
        return False
    with contextlib.suppress(OSError):  # without room only the pid is lost, which is for people
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return True


def _lock(files: FileSystem, path: str, flags: int, stack: contextlib.ExitStack) -> int | None:
    """Return the descriptor of the locked `path`, which `stack` closes.

    Returns None if the lock is not free, or if the path leads to something else or nothing by now:
    revert removes both paths while it holds the lock.
    """
    resolved = files.resolve(path)
    for missing in files.missing_directories(f"{resolved}/file" if flags & os.O_DIRECTORY else resolved):
        files.make_directory(missing)
    descriptor = files.open(resolved, flags, 0o600)
    if descriptor is None:
        return None
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stack.callback(_unlock, descriptor)
        locked = os.fstat(descriptor)
    except BlockingIOError:
        return None
    except OSError as error:  # a file system of the network may have no locks
        raise FileError(f"{path}: cannot be locked: {error.strerror}") from None
    status = files.status(resolved)
    return descriptor if status and os.path.samestat(locked, status) else None


def _unlock(descriptor: int) -> None:
    """Release a lock that is about to be closed.

    A child that another thread starts has a copy until its exec, which would keep the lock.
    """
    with contextlib.suppress(OSError):  # without such a child, close(2) releases it
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _holder(files: FileSystem, paths: LockPaths) -> str:
    content = (files.state(paths.file).content or b"").strip()
    return content.decode("ascii") if content.isdigit() else "unknown"
