"""A run of the agent that records each write to its state, and whether the lock was held.

Usage: python -m ... LOG ARGUMENT...
"""

from __future__ import annotations

import fcntl
import os
import sys
import traceback
from pathlib import Path

from agent import cli
from agent.core.systemd import UnitState
from agent.edges.systemd import OfflineSystemd

STATE = ("/var/lib/eks-proxy-agent/", "/run/eks-proxy-agent/")
LOCK = "/run/eks-proxy-agent/lock"
#: Audit events that change a file, and the number of leading arguments that are paths.  For "open"
#: the flags decide.
CHANGES = {"open": 1, "os.rename": 2, "os.remove": 1, "os.truncate": 1, "os.link": 2, "os.symlink": 2}


class Guard:
    """An audit hook for the tree at `root`.

    Each line of `log` is `locked` or `unlocked`, the event, the path and the callers.
    """

    def __init__(self, root: str, log: Path) -> None:
        self._root = os.path.realpath(root)
        self._log = log

    def audit(self, event: str, arguments: tuple[object, ...]) -> None:
        """Record an event that changes state; what this class opens itself is not recorded."""
        if event not in CHANGES or (event == "open" and not _writes(arguments[2])):
            return
        for path in map(str, arguments[: CHANGES[event]]):
            name = path[len(self._root) :] if path.startswith(self._root) else ""
            if name.startswith(STATE) and "lock" not in os.path.basename(name):
                lock = "locked" if self._is_locked() else "unlocked"
                with self._log.open("a") as log:
                    log.write(f"{lock} {event} {name} by {_callers()}\n")

    def _is_locked(self) -> bool:
        """Return True if the lock is held, hence by this process: no other uses the tree."""
        try:
            with open(self._root + LOCK, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


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
    sys.addaudithook(Guard(sys.argv[sys.argv.index("--root") + 1], Path(sys.argv[1])).audit)
    sys.exit(cli.main(sys.argv[2:]))
