"""Worker of the daemon: the supervisor's child, a process for the boot or one cycle."""

from __future__ import annotations

import argparse
import contextlib
import os

import attrs

from agent.daemon.boot import Daemon, boot
from agent.daemon.protocol import Busy, Message, NextRun, encode
from agent.daemon.retry import POSTPONED
from agent.daemon.supervisor import Reason
from agent.edges.child import WriteLine
from agent.edges.signals import Stop, watched
from agent.errors import LockedError, SettingsError
from agent.log import add_field, get_logger
from agent.node.host import host_of, need_root
from agent.node.sources import sources_of


def work(arguments: argparse.Namespace, reason: Reason, write_line: WriteLine) -> int:
    """Boot or run one cycle, and return the exit code, which is 0 after SIGTERM.

    Raises AgentError.
    """
    # journald cannot find the unit of a process that has already ended.  The daemon stays, so its
    # process id names the unit.
    add_field("OBJECT_PID", str(os.getppid()))
    host = host_of(arguments)
    need_root(host, "run")
    with watched() as signals, contextlib.suppress(Stop):
        daemon = Daemon(host, sources_of(arguments), lambda message: write_line(encode(message)), signals)
        if reason is Reason.BOOT:
            _boot(daemon)
        else:
            _cycle(daemon, reason, write_line)
    return 0


def _boot(daemon: Daemon) -> None:
    """Boot; what is needed after READY=1 is imported after it, while docker starts."""
    try:
        result = boot(daemon)
    except SettingsError:
        from agent.daemon.cycle import publish_settings_error

        publish_settings_error(daemon)
        raise
    from agent.daemon.cycle import finish_cycle

    finish_cycle(daemon, result, is_settled=result is not None, is_boot=True)


def _cycle(daemon: Daemon, reason: Reason, write_line: WriteLine) -> None:
    """Run one cycle, and send its messages together: each line wakes the supervisor up."""
    from agent.daemon.cycle import run_cycle

    messages: list[Message] = []

    def send(message: Message) -> None:
        if isinstance(message, Busy):
            daemon.send(message)  # it announces a silence before the end
        else:
            messages.append(message)

    try:
        run_cycle(attrs.evolve(daemon, send=send), reason)
    except LockedError as error:
        get_logger().warning("pass.postponed", error=str(error))
        messages.append(NextRun(POSTPONED))
    finally:
        if messages:
            write_line("\n".join(map(encode, messages)))
