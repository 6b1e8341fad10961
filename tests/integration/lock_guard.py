"""A run of the agent that records each write to its state, and whether the lock was held.

Usage: python -m ... LOG ARGUMENT...
"""

from __future__ import annotations

import fcntl
import os
import sys
import traceback
from pathlib import Path
from typing import Any, Callable

from agent import cli
from agent.core.systemd import UnitState
from agent.edges.systemd import OfflineSystemd

STATE = ("/var/lib/eks-proxy-agent/", "/run/eks-proxy-agent/")
LOCK = "/var/lib/eks-proxy-agent"
#: Functions of `os` that change a file, and the number of leading arguments that are paths.  For
#: "open" the flags decide.  An audit event of open(2) would not have the descriptor of a directory.
CHANGES = {"open": 1, "rename": 2, "replace": 2, "unlink": 1, "remove": 1, "truncate": 1, "link": 2, "symlink": 2}


class Guard:
    """A watch over the functions of `os` for the tree at `root`.

    Each line of `log` is `locked` or `unlocked`, the event, the path and the callers.
    """

    def __init__(self, root: str, log: Path) -> None:
        self._root = os.path.realpath(root)
        self._log = log

    def install(self) -> None:
        """Replace the functions of `os` by functions that record first."""
        for name in CHANGES:
            setattr(os, name, self._recording(name, getattr(os, name)))

    def _recording(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def recording(*arguments: Any, **keywords: Any) -> Any:
            if name != "open" or _writes(arguments[1]):
                directories = [keywords.get("dir_fd", keywords.get("src_dir_fd")), keywords.get("dst_dir_fd")]
                for path, directory in zip(arguments[: CHANGES[name]], directories):
                    self._record(name, os.path.join(_path_of(directory), os.fsdecode(path)))
            return real(*arguments, **keywords)

        return recording

    def _record(self, event: str, path: str) -> None:
        name = path[len(self._root) :] if path.startswith(self._root) else ""
        if name.startswith(STATE) and "lock" not in os.path.basename(name):
            lock = "locked" if self._is_locked() else "unlocked"
            with self._log.open("a") as log:
                log.write(f"{lock} {event} {name} by {_callers()}\n")

    def _is_locked(self) -> bool:
        """Return True if the lock is held, hence by this process: no other uses the tree."""
        try:
            descriptor = os.open(self._root + LOCK, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


def _path_of(directory: int | None) -> str:
    return os.getcwd() if directory is None else os.readlink(f"/proc/self/fd/{directory}")


def _writes(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def _callers() -> str:
    """Return the functions of the agent that led here, the innermost first."""
    frames = [frame for frame in traceback.extract_stack() if "/agent/" in frame.filename]
    return " < ".join(f"{Path(frame.filename).stem}.{frame.name}" for frame in frames[:-7:-1])


def running(self: OfflineSystemd, names: list[str]) -> dict[str, UnitState]:
    """Report every unit as active, with this process, which has no proxy in its environment."""
    return {name: UnitState(name, main_pid=os.getpid()) for name in names}


if __name__ == "__main__":
    OfflineSystemd.show = running
    Guard(sys.argv[sys.argv.index("--root") + 1], Path(sys.argv[1])).install()
    sys.exit(cli.main(sys.argv[2:]))
