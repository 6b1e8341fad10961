"""The machine that the agent changes: files below a root, state and systemd."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator

from agent.core.record import field, record
from agent.edges.files import FileSystem
from agent.edges.lock import held
from agent.edges.state import LockedState, State
from agent.edges.systemd import OfflineSystemd, Systemd
from agent.errors import UsageError
from agent.log import get_logger
from agent.node.budget import Budget
from agent.usage import need_root_of

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
    """Return the files below --root, for a command that reads only a few.  Raises UsageError."""
    if not os.path.isdir(arguments.root):
        raise UsageError(f"--root {arguments.root}: not a directory")
    return FileSystem(arguments.root)


def _units(files: FileSystem) -> Systemd:
    if not files.live:
        import shutil  # 3 ms, which a boot saves

        if shutil.which("systemctl"):
            return OfflineSystemd(files.root)
    return Systemd(running=files.live and os.path.isdir("/run/systemd/system"))  # sd_booted(3)


def need_root(host: Host, command: str, *, other_tree: bool = True) -> None:
    """Raise AgentError if this is the running machine and the user is not root.

    Another tree takes only permission to write there.
    """
    need_root_of(host.files.root, command, other_tree=other_tree)
