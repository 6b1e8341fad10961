"""`run`: the daemon.

This process only waits (daemon/supervisor.py); the boot and each cycle are its children.
"""

from __future__ import annotations

import argparse
import contextlib
import time

from agent.daemon.supervisor import Idle, Reason, Supervisor
from agent.edges import child
from agent.edges.inotify import FileWatcher
from agent.edges.notify import notifier
from agent.edges.signals import watched
from agent.exits import guarded
from agent.usage import need_root_of


def run(arguments: argparse.Namespace) -> int:
    """Run the daemon until SIGTERM, and return the exit code."""
    started = time.monotonic()
    need_root_of(arguments.root, "run")
    with watched() as signals, contextlib.closing(FileWatcher()) as watcher:

        def run_worker(reason: Reason, handle_line: child.HandleLine, idle: Idle) -> int:
            def work(write_line: child.WriteLine) -> int:
                return guarded(lambda: _work(arguments, reason, started, write_line))

            try:
                return child.run(work, signals, handle_line, idle)
            finally:
                if arguments.facts_process:  # the boot has ended
                    arguments.facts_process.close()
                    arguments.facts_process = None

        def record_crash(problem: str, next_in: float, handle_line: child.HandleLine, idle: Idle) -> int:
            def work(write_line: child.WriteLine) -> int:
                return guarded(lambda: _record(arguments, problem, next_in, write_line))

            return child.run(work, signals, handle_line, idle)

        return Supervisor(run_worker, record_crash, notifier(), signals, watcher).run()


def _work(arguments: argparse.Namespace, reason: Reason, started: float, write_line: child.WriteLine) -> int:
    from agent.daemon import worker  # in the child only: it brings everything that costs memory

    return worker.work(arguments, reason, started, write_line)


def _record(arguments: argparse.Namespace, problem: str, next_in: float, write_line: child.WriteLine) -> int:
    from agent.daemon import crash_record  # without what a cycle needs: memory may be what is short

    return crash_record.record(arguments, problem, next_in, write_line)
