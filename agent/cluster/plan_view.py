"""`cluster plan` as text and as JSON; credentials are masked."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from agent.cluster.steps import UP_TO_DATE, ClusterPlan, Step
from agent.core.cluster.mode import InjectionMode
from agent.core.cluster.objects import UNDO
from agent.core.redact import redact

PENDING = 3
_VERBS = {"create": "will be created", "delete": "will be deleted", "patch": "will be changed"}


def print_plan(arguments: argparse.Namespace, plan: ClusterPlan, warnings: Sequence[str]) -> int:
    """Print the plan, and return exit code 3 if anything would change."""
    if arguments.json:
        print(json.dumps(_as_json(plan, warnings), indent=2))
        return PENDING if plan.pending else 0
    for step in plan.steps:
        for line in step_lines(step):
            print(redact(line))
    print_mode(plan.mode)
    print_warnings(warnings)
    if not plan.pending:
        print(UP_TO_DATE, file=sys.stderr)
    return PENDING if plan.pending else 0


def step_lines(step: Step) -> list[str]:
    """Return a step as text: one line for each changed field, below its container."""
    replaces_pods = any(change.where for change in step.changes)
    action = _VERBS[step.verb] + (", and its pods will be replaced" if replaces_pods else "")
    lines = [f"{step.name} {action if step.changes else 'is up to date'}"]
    where = ""
    for change in sorted(step.changes, key=lambda change: bool(change.where)):
        if change.where != where:
            where = change.where
            lines.append("  " + where)
        indent = "    " if where else "  "
        for sign, value in (("-", change.before), ("+", change.after)):
            if value is not None:
                shown = "(record for revert)" if change.field.endswith(UNDO) else value
                lines.append(f"{indent}{sign} {change.field}: {shown}")
    return lines + ["  note: " + note for note in step.notes]


def print_mode(mode: InjectionMode) -> None:
    """Print why the templates or the policy are changed, unless the setting says so."""
    if mode.reason:
        print(f"note: {mode}", file=sys.stderr)


def print_warnings(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print("warning: " + redact(warning), file=sys.stderr)


def _as_json(plan: ClusterPlan, warnings: Sequence[str]) -> dict[str, Any]:
    def shown(text: str | None) -> str | None:
        return None if text is None else redact(text)

    return {
        "schema": 1,
        "pending": plan.pending,
        "injection": plan.mode.mode,
        "injection_reason": plan.mode.reason,
        "objects": [
            {
                "object": step.name,
                "action": step.verb if step.changes else "none",
                "changes": [
                    {
                        "where": change.where,
                        "field": change.field,
                        "before": shown(change.before),
                        "after": shown(change.after),
                    }
                    for change in step.changes
                ],
                "notes": list(step.notes),
            }
            for step in plan.steps
        ],
        "warnings": [redact(warning) for warning in warnings],
    }
