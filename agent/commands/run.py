"""`run`: the daemon."""

from __future__ import annotations

import argparse

from agent.boot import Daemon, boot
from agent.commands.machine import machine_of, need_root, options_of
from agent.edges.notify import notifier
from agent.edges.signals import Stop, watched
from agent.watch import watch


def run(arguments: argparse.Namespace) -> int:
    machine = machine_of(arguments)
    need_root(machine, "run")
    with watched() as signals:
        daemon = Daemon(machine, options_of(arguments), notifier(), signals)
        try:
            return watch(daemon, boot(daemon))
        except Stop:
            daemon.notify("STOPPING=1")
            return 0
