"""The machine that the agent changes: files below a root, state and systemd."""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
from collections.abc import Iterator

from agent.core.record import field, record
from agent.edges.files import FileSystem
from agent.edges.lock import held
from agent.edges.state import LockedState, State
from agent.edges.systemd import OfflineSystemd, Systemd
from agent.errors import FileError, UsageError
from agent.log import get_logger
from agent.node.budget import Budget
from agent.usage import need_root_of

#: Exists if systemd booted this machine, sd_booted(3).
_BOOTED = "/run/systemd/system"
#: The consequence of a /run without room.
_LOST = "status and metrics of this run may be missing; free space and inodes of /run: df -h /run; df -i /run"


@record
class Host:
    """The machine, or the tree of an image.

    `state` can be read at any time; only `locked` gives the object that can save it.  `budget`
    limits the waits of the run.
    """

    files: FileSystem
    state: State
    units: Systemd
    budget: Budget = field(factory=Budget)
    _reported: set[str] = field(factory=set, repr=False)  # shared with copies of another budget

    @contextlib.contextmanager
    def locked(self, *, wait: float | None = None) -> Iterator[LockedState]:
        """Hold the lock of all commands that change this machine, and yield its state for saving.

        What /run has no room for is logged, once a run.  Raises LockedError if another run holds
        the lock for longer than `wait` seconds, by default what the budget allows.
        """
        budget = self.budget
        with held(
            self.files,
            wait=budget.lock_wait() if wait is None else wait,
            sleep=budget.sleep,
            waiting=budget.report,
        ) as lock:
            state = LockedState(self.files, lock)
            yield state
        for path, problem in state.not_saved.items():
            if path not in self._reported:
                self._reported.add(path)
                get_logger().error("state.not_saved", file=path, error=problem, meaning=_LOST)


def host_of(arguments: argparse.Namespace) -> Host:
    """Return the host at --root.  Raises UsageError if that is not a directory."""
    files = files_of(arguments)
    return Host(files, State(files), _units(files))


def files_of(arguments: argparse.Namespace) -> FileSystem:
    """Return the files below --root, for a command that reads only a few.

    Raises UsageError if --root is not a directory, and FileError if that cannot be determined.
    """
    if not _is_directory(arguments.root, "--root " + arguments.root):
        raise UsageError(f"--root {arguments.root}: not a directory")
    return FileSystem(arguments.root)


def _is_directory(path: str, label: str) -> bool:
    """Return False only if there is no such directory; raise FileError if that is unknown."""
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise FileError(f"{label}: {getattr(error, 'strerror', None) or error}") from None


def _units(files: FileSystem) -> Systemd:
    if not files.live:
        import shutil  # 3 ms, which a boot saves

        if shutil.which("systemctl"):
            return OfflineSystemd(files.root)
    return Systemd(running=files.live and _is_directory(_BOOTED, _BOOTED))


def need_root(host: Host, command: str, *, other_tree: bool = True) -> None:
    """Raise AgentError if this is the running machine and the user is not root.

    Another tree takes only permission to write there.
    """
    need_root_of(host.files.root, command, other_tree=other_tree)
