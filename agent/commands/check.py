"""`check`: the doctor, who looks and changes nothing."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from agent.checks.context import CheckedNode, look
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.checks.runner import GROUPS, Group, examine, exit_code
from agent.core.net.proxy_url import quoted
from agent.errors import UsageError
from agent.node.host import host_of
from agent.node.sources import sources_of

_STATES = (OK, WARN, FAIL, SKIP)
#: What stands before a hint or a diff, below the line that it belongs to.
_INDENT = " " * 6


def run(arguments: argparse.Namespace) -> int:
    groups = _chosen(arguments.only)
    begin = time.monotonic()
    node = look(host_of(arguments), sources_of(arguments))
    findings = examine(node, groups)
    if arguments.json:
        print(json.dumps(_document(node, findings), indent=2))
    else:
        for finding in findings:
            print(_shown(finding))
    counts = ", ".join(f"{sum(one.state == state for one in findings)} {state}" for state in _STATES)
    print(f"{counts}; {time.monotonic() - begin:.1f} s", file=sys.stderr)
    return exit_code(findings)


def _chosen(only: Sequence[str]) -> tuple[Group, ...]:
    names = [group.name for group in GROUPS]
    for name in only:
        if name not in names:
            raise UsageError(f"--only {quoted(name)}: there is no such group", hint="the groups: " + ", ".join(names))
    return tuple(group for group in GROUPS if not only or group.name in only)


def _shown(finding: Finding) -> str:
    first, *more = finding.text.splitlines() or [""]
    lines = [f"{finding.state:<4}  {finding.group:<9}  {finding.name}: {first}"]
    lines += [_INDENT + "| " + line for line in more]
    lines += [_INDENT + "> " + line for line in finding.hint.splitlines()]
    return "\n".join(map(_harmless, lines))


def _harmless(line: str) -> str:
    """What lies in files and processes may be anything, escape sequences of the terminal too."""
    return "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in line)


def _document(node: CheckedNode, findings: Sequence[Finding]) -> dict[str, Any]:
    """What --json prints: schema 1, see docs/check.md."""
    states = [finding.state for finding in findings]
    intent = node.found.intent if node.found else None
    listed: list[dict[str, str]] = [
        {"group": one.group, "name": one.name, "state": one.state, "text": one.text, "hint": one.hint}
        for one in findings
    ]
    return {
        "schema": 1,
        "state": FAIL if FAIL in states else WARN if WARN in states else OK,
        "instance_id": node.facts.instance_id if node.facts else None,
        "intent": intent.digest() if intent else None,
        "findings": listed,
    }
