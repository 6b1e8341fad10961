"""Worker that only records that the worker before it crashed.

That one may have been killed because memory was short, so this one imports little.
"""

from __future__ import annotations

import argparse
import contextlib
import os

from agent.daemon.daemon import Daemon
from agent.daemon.degraded import record_failure
from agent.daemon.protocol import encode
from agent.edges.child import WriteLine
from agent.edges.signals import Stop, watched
from agent.errors import CrashError
from agent.log import add_field
from agent.node.host import host_of
from agent.node.sources import sources_of

_HINT = "the journal of that time may have the cause; of signal 9: journalctl -k | grep -i 'out of memory'"


def record(arguments: argparse.Namespace, problem: str, next_in: float, write_line: WriteLine) -> int:
    """Report the node as degraded, and return the exit code; the next cycle is in `next_in` s."""
    add_field("OBJECT_PID", str(os.getppid()))
    host = host_of(arguments)
    with watched() as signals, contextlib.suppress(Stop):
        daemon = Daemon(host, sources_of(arguments), lambda message: write_line(encode(message)), signals)
        record_failure(daemon, CrashError(problem, hint=_HINT), next_in)
    return 0
