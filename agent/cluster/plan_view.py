"""`cluster plan`: a plan for people and for machines; credentials are masked."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from agent.cluster.plan import ClusterPlan, Step
from agent.core.cluster.objects import UNDO
from agent.core.redact import redact

PENDING = 3


def print_plan(arguments: argparse.Namespace, plan: ClusterPlan, warnings: Sequence[str]) -> int:
    """Tell it; exit code 3 when anything would change."""
    if arguments.json:
        print(json.dumps(_as_json(plan, warnings), indent=2))
        return PENDING if plan.pending else 0
    for step in plan.steps:
        for line in step_lines(step):
            print(redact(line))
    tell(warnings)
    if not plan.pending:
        print("nothing to do: the cluster is as planned", file=sys.stderr)
    return PENDING if plan.pending else 0


def step_lines(step: Step) -> list[str]:
    """A step for people: one line for each thing that changes, below the container it belongs to."""
    rolls = any(change.where for change in step.changes)
    verb = {"create": "is created", "delete": "is deleted", "patch": "changes"}[step.verb]
    lines = [
        "{} {}".format(step.name, verb + (", and its pods are replaced" if rolls else "") if step.changes else "stays")
    ]
    where = ""
    for change in sorted(step.changes, key=lambda one: bool(one.where)):
        if change.where != where:
            where = change.where
            lines.append("  " + where)
        indent = "    " if where else "  "
        for sign, value in (("-", change.before), ("+", change.after)):
            if value is not None:
                shown = "(what revert has to know)" if change.field.endswith(UNDO) else value
                lines.append(f"{indent}{sign} {change.field}: {shown}")
    return lines + ["  note: " + note for note in step.notes]


def tell(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print("warning: " + redact(warning), file=sys.stderr)


def _as_json(plan: ClusterPlan, warnings: Sequence[str]) -> dict[str, Any]:
    def shown(text: str | None) -> str | None:
        return None if text is None else redact(text)

    return {
        "schema": 1,
        "pending": plan.pending,
        "objects": [
            {
                "object": step.name,
                "action": step.verb if step.changes else "none",
                "changes": [
                    {"where": one.where, "field": one.field, "before": shown(one.before), "after": shown(one.after)}
                    for one in step.changes
                ],
                "notes": list(step.notes),
            }
            for step in plan.steps
        ],
        "warnings": [redact(warning) for warning in warnings],
    }
