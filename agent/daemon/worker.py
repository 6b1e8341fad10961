"""Worker of the daemon: the supervisor's child, a process for the boot or one cycle."""

from __future__ import annotations

import argparse
import contextlib
import os

from agent.core.record import evolve
from agent.daemon.boot import boot
from agent.daemon.daemon import Daemon
from agent.daemon.degraded import record_failure
from agent.daemon.protocol import Busy, Message, NextRun, encode
from agent.daemon.retry import AFTER_READY, POSTPONED
from agent.daemon.supervisor import Reason
from agent.edges.child import WriteLine
from agent.edges.signals import Stop, watched
from agent.errors import LockedError
from agent.log import add_field, get_logger
from agent.node.host import host_of
from agent.node.sources import sources_of


def work(arguments: argparse.Namespace, reason: Reason, started: float, write_line: WriteLine) -> int:
    """Boot or run one cycle, and return the exit code.

    That is 0 also after SIGTERM, and for a degraded node, and that of LockedError if another run
    holds the lock.  `started`: see Daemon.  Raises UsageError.
    """
    # journald cannot find the unit of a process that has already ended.  The daemon stays, so its
    # process id names the unit.
    add_field("OBJECT_PID", str(os.getppid()))
    host = host_of(arguments)
    with watched() as signals, contextlib.suppress(Stop):
        sources = sources_of(arguments)
        facts_process = None if arguments.facts else arguments.facts_process
        daemon = Daemon(host, sources, lambda message: write_line(encode(message)), signals, started, facts_process)
        if reason is Reason.BOOT:
            return _run(daemon, reason)
        return _run_quietly(daemon, reason, write_line)
    return 0


def _run_quietly(daemon: Daemon, reason: Reason, write_line: WriteLine) -> int:
    """Run one cycle, and send its messages together: each line wakes the supervisor up."""
    messages: list[Message] = []

    def send(message: Message) -> None:
        if isinstance(message, Busy):
            daemon.send(message)  # it announces a silence before the end
        else:
            messages.append(message)

    try:
        return _run(evolve(daemon, send=send), reason)
    finally:
        if messages:
            write_line("\n".join(map(encode, messages)))


def _run(daemon: Daemon, reason: Reason) -> int:
    """Run a boot or a cycle; any exception of it is a degraded node."""
    try:
        _run_once(daemon, reason)
    except LockedError as error:  # an apply is running; nothing is wrong with the node
        get_logger().warning("pass.postponed", error=str(error))
        daemon.send(NextRun(POSTPONED))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 -- status and metrics must not show the cycle before
        record_failure(daemon, error)
    return 0


def _run_once(daemon: Daemon, reason: Reason) -> None:
    if reason is Reason.BOOT:
        result = boot(daemon)
        if daemon.host.units.running:
            daemon.signals.sleep(AFTER_READY)
        # What is needed after READY=1 is imported after it, while docker starts.
        from agent.daemon.cycle import finish_cycle

        finish_cycle(daemon, result, is_settled=result is not None, is_boot=True)
        return
    from agent.daemon.cycle import run_cycle

    run_cycle(daemon, reason)
