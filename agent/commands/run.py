"""`run`: the daemon.  This process only waits (watch.py); the boot and each pass are children of it."""

from __future__ import annotations

import argparse
import contextlib
import os
from typing import Callable

from agent.daemon.supervisor import BOOT, Supervisor
from agent.edges import child
from agent.edges.inotify import Files
from agent.edges.notify import notifier
from agent.edges.signals import watched


def run(arguments: argparse.Namespace) -> int:
    with watched() as signals, contextlib.closing(Files()) as files:

        def perform(reason: str, hear: child.Say, idle: Callable[[], float]) -> int:
            return child.run(lambda say: _pass(arguments, reason, say), signals, hear, idle)

        return Supervisor(perform, notifier(), signals, files).stay()


def _pass(arguments: argparse.Namespace, reason: str, say: child.Say) -> int:
    """In the child: everything that costs memory is imported here."""
    from agent.cli import guarded

    return guarded(lambda: _work(arguments, reason, say))


def _work(arguments: argparse.Namespace, reason: str, say: child.Say) -> int:
    import attrs

    from agent.daemon.boot import Daemon, boot
    from agent.daemon.cycle import POSTPONED, refused, report, run_cycle
    from agent.edges.signals import Stop
    from agent.errors import LockedError, SettingsError
    from agent.log import add_field, get_logger
    from agent.node.host import host_of, need_root
    from agent.node.sources import sources_of

    # journald cannot tell any more of which unit a process was that has ended; the daemon lives, and stands for it.
    add_field("OBJECT_PID", str(os.getppid()))
    host = host_of(arguments)
    need_root(host, "run")
    with watched() as signals, contextlib.suppress(Stop):
        daemon = Daemon(host, sources_of(arguments), say, signals)
        if reason == BOOT:
            try:
                done = boot(daemon)
            except SettingsError:
                refused(daemon)
                raise
            report(daemon, done, settled=done is not None, boot=True)
            return 0
        lines: list[str] = []
        try:
            run_cycle(
                attrs.evolve(
                    daemon, notify=lambda text: say(text) if text.startswith("BOUND=") else lines.append(text)
                ),
                reason,
            )
        except LockedError as error:
            get_logger().warning("pass.postponed", error=str(error))
            lines.append(f"NEXT={POSTPONED:g}")
        finally:
            say("\n".join(lines))  # at once: each time that the daemon hears something it has to wake up
    return 0
