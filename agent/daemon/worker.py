"""One pass of the daemon, in a process of its own: the supervisor's child."""

from __future__ import annotations

import argparse
import contextlib
import os

import attrs

from agent.daemon.boot import Daemon, boot
from agent.daemon.protocol import Busy, Message, NextRun, encode
from agent.daemon.retry import POSTPONED
from agent.daemon.supervisor import Reason
from agent.edges.child import Say
from agent.edges.signals import Stop, watched
from agent.errors import LockedError, SettingsError
from agent.log import add_field, get_logger
from agent.node.host import host_of, need_root
from agent.node.sources import sources_of


def work(arguments: argparse.Namespace, reason: Reason, say: Say) -> int:
    """Boot, or do one pass after it, and return the exit code; SIGTERM ends it early with 0.  Raises AgentError."""
    # journald cannot tell any more of which unit a process was that has ended; the daemon lives,
    # and stands for it.
    add_field("OBJECT_PID", str(os.getppid()))
    host = host_of(arguments)
    need_root(host, "run")
    with watched() as signals, contextlib.suppress(Stop):
        daemon = Daemon(host, sources_of(arguments), lambda message: say(encode(message)), signals)
        if reason is Reason.BOOT:
            _boot(daemon)
        else:
            _cycle(daemon, reason, say)
    return 0


def _boot(daemon: Daemon) -> None:
    """Boot; what comes after READY=1 is imported after it, while docker starts."""
    try:
        done = boot(daemon)
    except SettingsError:
        from agent.daemon.cycle import refused

        refused(daemon)
        raise
    from agent.daemon.cycle import report

    report(daemon, done, settled=done is not None, boot=True)


def _cycle(daemon: Daemon, reason: Reason, say: Say) -> None:
    """Do one pass, and say at its end what it sent: each time that the supervisor hears something it has to wake up."""
    from agent.daemon.cycle import run_cycle

    messages: list[Message] = []

    def send(message: Message) -> None:
        if isinstance(message, Busy):
            daemon.send(message)  # it is about what comes before the end
        else:
            messages.append(message)

    try:
        run_cycle(attrs.evolve(daemon, send=send), reason)
    except LockedError as error:
        get_logger().warning("pass.postponed", error=str(error))
        messages.append(NextRun(POSTPONED))
    finally:
        if messages:
            say("\n".join(map(encode, messages)))
