"""The node that a report is about, and the programs that a collector runs."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import agent
from agent.core.record import field, record
from agent.core.report.contents import MEMBER_LIMIT
from agent.core.report.masks import Mask
from agent.edges import command
from agent.errors import AgentError, CommandError
from agent.node.host import Host

#: Starts a command of this very agent with this process's import path, whatever started this
#: process.  The package may be in no directory of that path: an editable install has a finder.
_START = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from agent.cli import main; sys.exit(main())"
_DIRECTORY = os.path.dirname(os.path.dirname(agent.__file__))


class NotHere(Exception):
    """Reason for which a node does not have what a collector is for."""


class Stopped(Exception):
    """The report is over: its time is spent, or the operator ended it."""


class Noted(NamedTuple):
    """Result of a collector with a note for README.txt."""

    value: Any
    note: str


@record
class ReportedNode:
    """The node; `facts` is the file of --facts, "" without it.

    `stop`: set to end all programs that run.
    """

    host: Host
    facts: str
    mask: Mask = field(factory=Mask, repr=False)
    stop: threading.Event = field(factory=threading.Event, repr=False)

    def require_machine(self) -> None:
        """Raise NotHere unless this is the running machine."""
        if not self.host.files.live:
            raise NotHere("requires a running machine, not a directory tree (--root)")

    def require_systemd(self) -> None:
        """Raise NotHere unless systemd runs on this machine."""
        self.require_machine()
        if not self.host.units.running:
            raise NotHere("systemd is not running")

    def require_time(self) -> None:
        """Raise Stopped if the report is over."""
        if self.stop.is_set():
            raise Stopped

    def run(self, argv: Sequence[str], *, seconds: float, keep_last: bool = False) -> command.Output:
        """Run a program, and return what it printed.  Raises CommandError, and Stopped."""
        return command.capture(
            argv,
            timeout=seconds,
            limit=MEMBER_LIMIT,
            environment=command.BASE_ENVIRONMENT,
            pause=lambda _: self.require_time(),
            keep_last=keep_last,
        )

    def run_agent(self, words: Sequence[str], *, seconds: float) -> command.Output:
        """Run a command of the agent in a process of its own: it may hang, or end by an error."""
        path = json.dumps([os.path.abspath(directory) for directory in (_DIRECTORY, *sys.path)])
        flags = [] if self.host.files.live else ["--root", self.host.files.root]
        flags += ["--facts", os.path.abspath(self.facts)] if self.facts and words[0] != "status" else []
        argv = [sys.executable, "-IBS", "-c", _START, path, *words, *flags]
        try:
            return self.run(argv, seconds=seconds)
        except CommandError as error:
            text = str(error).replace(sys.executable, "eks-proxy-agent " + " ".join(words))
            raise CommandError(text) from None


def first_line(error: AgentError) -> str:
    """Return the first line of an error."""
    return str(error).partition("\n")[0]
