"""The command `check`: examine the node and print the findings, without changing anything."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

from agent.checks.context import CheckedNode, inspect_node
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.checks.runner import GROUPS, Group, examine, exit_code
from agent.commands.node import print_losses
from agent.core import runbook
from agent.node.host import host_of
from agent.node.sources import sources_of

_STATES = (OK, WARN, FAIL, SKIP)
#: The indent of the lines of a hint or a diff, below the finding.
_INDENT = " " * 6


def run(arguments: argparse.Namespace) -> int:
    """Print the findings to stdout, a summary to stderr, and return the exit code."""
    groups = _selected_groups(arguments.only)
    start = time.monotonic()
    host = host_of(arguments)
    print_losses(host)
    node = inspect_node(host, sources_of(arguments))
    findings = examine(node, groups)
    if arguments.json:
        print(json.dumps(_document(node, findings), indent=2))
    else:
        for finding in findings:
            print(_lines(finding))
        for anchor in dict.fromkeys(finding.runbook for finding in findings if finding.runbook):
            print(f"see   {runbook.location(anchor)}")
    counts = ", ".join(f"{sum(finding.state == state for finding in findings)} {state}" for state in _STATES)
    print(f"{counts}; {time.monotonic() - start:.1f} s", file=sys.stderr)
    return exit_code(findings)


def _selected_groups(only: Sequence[str]) -> tuple[Group, ...]:
    return tuple(group for group in GROUPS if not only or group.name in only)


def _lines(finding: Finding) -> str:
    first, *more = finding.text.splitlines() or [""]
    lines = [f"{finding.state:<4}  {finding.group:<9}  {finding.name}: {first}"]
    lines += [_INDENT + "| " + line for line in more]
    lines += [_INDENT + "> " + line for line in finding.hint.splitlines()]
    return "\n".join(map(_escaped, lines))


def _escaped(line: str) -> str:
    """Escape what is not printable: texts of files and processes may hold escape sequences."""
    return "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in line)


def _document(node: CheckedNode, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return what --json prints: schema 1, see docs/check.md."""
    states = [finding.state for finding in findings]
    intent = node.reconciled.intent if node.reconciled else None
    findings_json: list[dict[str, str]] = [
        {
            "group": finding.group,
            "name": finding.name,
            "state": finding.state,
            "text": finding.text,
            "hint": finding.hint,
            "runbook": finding.runbook,
        }
        for finding in findings
    ]
    return {
        "schema": 1,
        "state": FAIL if FAIL in states else WARN if WARN in states else OK,
        "instance_id": node.facts.instance_id if node.facts else None,
        "intent": intent.digest() if intent else None,
        "findings": findings_json,
    }
