"""`run`: the daemon.

This process only waits (daemon/supervisor.py); the boot and each cycle are its children.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Callable

from agent.daemon.supervisor import Reason, Supervisor
from agent.edges import child
from agent.edges.inotify import FileWatcher
from agent.edges.notify import notifier
from agent.edges.signals import watched
from agent.exits import guarded


def run(arguments: argparse.Namespace) -> int:
    """Run the daemon until SIGTERM, and return the exit code."""
    with watched() as signals, contextlib.closing(FileWatcher()) as watcher:

        def run_worker(reason: Reason, handle_line: child.HandleLine, idle: Callable[[], float]) -> int:
            def work(write_line: child.WriteLine) -> int:
                return guarded(lambda: _work(arguments, reason, write_line))

            return child.run(work, signals, handle_line, idle)

        return Supervisor(run_worker, notifier(), signals, watcher).run()


def _work(arguments: argparse.Namespace, reason: Reason, write_line: child.WriteLine) -> int:
    from agent.daemon import worker  # in the child only: it brings everything that costs memory

    return worker.work(arguments, reason, write_line)
