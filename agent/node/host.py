"""The machine that the agent changes: files below a root, state and systemd."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
from collections.abc import Iterator

import attrs

from agent.edges.files import FileSystem
from agent.edges.lock import held
from agent.edges.state import LockedState, State
from agent.edges.systemd import OfflineSystemd, Systemd
from agent.errors import AgentError, UsageError


@attrs.frozen
class Host:
    """The machine, or the tree of an image.

    `state` can be read at any time; only `locked` gives the object that can save it.
    """

    files: FileSystem
    state: State
    units: Systemd

    @contextlib.contextmanager
    def locked(self, *, wait: float = 5.0) -> Iterator[LockedState]:
        """Hold the lock of all commands that change this machine, and yield its state for saving.

        Raises LockedError if another run holds it for longer than `wait` seconds.
        """
        with held(self.files, wait=wait) as lock:
            yield LockedState(self.files, lock)


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
    if not files.live and shutil.which("systemctl"):
        return OfflineSystemd(files.root)
    return Systemd(running=files.live and os.path.isdir("/run/systemd/system"))  # sd_booted(3)


def need_root(host: Host, command: str, *, other_tree: bool = True) -> None:
    """Raise AgentError if this is the running machine and the user is not root.

    Another tree takes only permission to write there.
    """
    if host.files.live and os.geteuid() != 0:
        hint = "run it with sudo, or use --root DIR for another tree" if other_tree else "run it with sudo"
        raise AgentError(f"{command}: requires root", hint=hint)
