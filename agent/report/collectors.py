"""The list of what a report collects, in the order of its README.txt."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from typing import Any, Callable

from agent.core.record import record
from agent.core.report import documents, foreign
from agent.core.report.contents import MEMBER_LIMIT, cut
from agent.edges.command import Output
from agent.errors import CommandError
from agent.report import machine, state, units
from agent.report.node import Noted, NotHere, ReportedNode


class Masked(str):
    """Text in which nothing of others is left: only the credentials of proxies are masked again."""

    __slots__ = ()


@record
class Collector:
    """One file of a report.

    `collect` returns its text, or a value for JSON.  It raises NotHere or AgentError if there is
    nothing to collect.
    """

    path: str
    about: str
    collect: Callable[[ReportedNode], Any]


#: Seconds that a command of the agent gets.  `check` has a limit of its own, and takes half of it.
AGENT_SECONDS = 15.0
#: Seconds for journalctl: it reads many files, from a disk that may be slow.
_JOURNAL_SECONDS = 10.0
_LINES = {"0": 8000, "-1": 2000}
_JOURNAL_UNITS = ("--unit=eks-proxy-agent.service", "--unit=eks-proxy-agent-bootstrap.service")
#: Of a command's stderr, the lines that are repeated in README.txt, and the characters of each.
_MESSAGES, _LONGEST = 20, 500


def _document(node: ReportedNode, *, words: Sequence[str], mask: Callable[[Any], Any] = lambda value: value) -> Noted:
    """Run a command with --json, and return its document; its messages are the note."""
    output = node.run_agent([*words, "--json"], seconds=AGENT_SECONDS)
    messages = _messages(node, output)
    try:
        return Noted(mask(json.loads(output.stdout.decode("utf-8"))), messages)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CommandError(messages or "its output is not the expected JSON") from None


def _text(node: ReportedNode, *, words: Sequence[str]) -> str:
    """Run a command, and return what it prints on both streams."""
    output = node.run_agent(words, seconds=AGENT_SECONDS)
    stdout, stderr = (stream.decode("utf-8", "replace") for stream in (output.stdout, output.stderr))
    return f"{foreign.diff(stdout)}--- stderr ---\n{stderr}--- exit code {output.returncode} ---\n"


def _messages(node: ReportedNode, output: Output) -> str:
    lines = [f"exit code {output.returncode}"] if output.returncode else []
    lines += node.mask.text(output.stderr.decode("utf-8", "replace")).splitlines()[:_MESSAGES]
    return "\n".join(line[:_LONGEST] for line in lines)


def _journal(node: ReportedNode, *, boot: str) -> Any:
    node.require_machine()
    argv = ["journalctl", "--no-pager", "--quiet", "--output=short-iso-precise", "--boot=" + boot]
    output = node.run([*argv, f"--lines={_LINES[boot]}", *_JOURNAL_UNITS], seconds=_JOURNAL_SECONDS, keep_last=True)
    if not output.stdout:
        raise NotHere(_messages(node, output) or "no entries, or no permission to read them")
    return cut(output.stdout, MEMBER_LIMIT - 1).decode("utf-8", "replace")  # of more, only the last bytes were kept


def _of(function: Callable[..., Any], **values: Any) -> Callable[[ReportedNode], Any]:
    return functools.partial(function, **values)


def _masked(function: Callable[[ReportedNode], str]) -> Callable[[ReportedNode], Masked]:
    return lambda node: Masked(function(node))


COLLECTORS = (
    Collector("check.json", "check --json", _of(_document, words=["check"], mask=documents.check)),
    Collector("status.txt", "status --full", _of(_text, words=["status", "--full"])),
    Collector("status.json", "status --json", _of(_document, words=["status"])),
    Collector("config.json", "config show --json", _of(_document, words=["config", "show"], mask=documents.config)),
    Collector("config-check.txt", "config check", _of(_text, words=["config", "check"])),
    Collector("plan.txt", "plan: what apply would change", _of(_text, words=["plan"])),
    Collector("plan.json", "plan --json", _of(_document, words=["plan"], mask=documents.plan)),
    Collector("journal.txt", "journal of the agent's units, this boot", _of(_journal, boot="0")),
    Collector("journal-previous.txt", "the same of the previous boot", _of(_journal, boot="-1")),
    Collector("units.txt", "systemctl show of the agent's and the covered units", units.shown),
    Collector("unit-files.txt", "unit files and drop-ins of these units", _masked(units.files)),
    Collector(
        "environment.txt", "environment files: values of proxies, names of others", _masked(units.environment_files)
    ),
    Collector(
        "processes.txt", "environment of the covered units' processes, in the same form", _masked(units.processes)
    ),
    Collector("systemd.txt", "state of systemd: failed units, jobs", units.systemd),
    Collector("files.json", "the agent's files: owner, mode, size, time", state.files),
    Collector("state.json", "the agent's state, without originals and digests", state.documents),
    Collector("metrics.prom", "metrics", state.metrics),
    Collector("user-data.json", "parts of the user data by type and size", state.user_data),
    Collector("machine.json", "time, system, Python, file systems", machine.machine),
    Collector("versions.json", "versions of the programs of the node", machine.versions),
    Collector("clock.txt", "time synchronization", _masked(machine.clock)),
)
