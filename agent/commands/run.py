"""`run`: the daemon.  This process only waits (daemon/supervisor.py); the boot and each pass are children of it."""

from __future__ import annotations

import argparse
import contextlib
from typing import Callable

from agent.daemon.supervisor import Reason, Supervisor
from agent.edges import child
from agent.edges.inotify import Files
from agent.edges.notify import notifier
from agent.edges.signals import watched
from agent.exits import guarded


def run(arguments: argparse.Namespace) -> int:
    """Stay until SIGTERM, and return the exit code."""
    with watched() as signals, contextlib.closing(Files()) as files:

        def perform(reason: Reason, hear: child.Hear, idle: Callable[[], float]) -> int:
            return child.run(lambda say: guarded(lambda: _work(arguments, reason, say)), signals, hear, idle)

        return Supervisor(perform, notifier(), signals, files).stay()


def _work(arguments: argparse.Namespace, reason: Reason, say: child.Say) -> int:
    from agent.daemon import worker  # in the child only: all that costs memory comes with it

    return worker.work(arguments, reason, say)
