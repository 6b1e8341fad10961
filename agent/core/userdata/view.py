"""The report of `user-data check` as text and as JSON.  Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agent.core.net.proxy_url import quoted
from agent.core.redact import redact
from agent.core.userdata.check import Report
from agent.core.userdata.document import Fault, Treatment
from agent.core.userdata.way import LIMIT

#: Parts and faults that are shown in full.
_SHOWN = 40


def lines(report: Report) -> Iterator[str]:
    """Yield the lines of the text, without anything that is not printable."""
    wrapped = f", in {report.wrapping}" if report.wrapping else ""
    yield f"{'size':<10}  {report.size:,} of {LIMIT:,} bytes{wrapped}"
    for treatment in report.treatments[:_SHOWN]:
        part = f"part {treatment.part} ({_printable(treatment.type)}): " if treatment.part else ""
        yield f"{treatment.reader:<10}  {part}{_printable(treatment.text)}"
    for fault in report.faults[:_SHOWN]:
        yield f"warning: {_where(fault)}{_printable(fault.text)}" + (
            f"; {_printable(fault.remedy)}" if fault.remedy else ""
        )
    more = len(report.faults) - _SHOWN
    if more > 0:
        yield f"warning: and {more:,} more"


def _where(fault: Fault) -> str:
    names = [f"part {fault.part}"] * bool(fault.part) + [f"line {fault.line}"] * bool(fault.line)
    return ", ".join(names) + ": " if names else ""


def document(report: Report) -> dict[str, Any]:
    """Return what --json prints: schema 1, see docs/user-data-check.schema.json."""
    return {
        "schema": 1,
        "size": report.size,
        "limit": LIMIT,
        "wrapping": report.wrapping,
        "results": [_treatment(treatment) for treatment in report.treatments],
        "warnings": [_fault(fault) for fault in report.faults],
    }


def _treatment(treatment: Treatment) -> dict[str, Any]:
    about = {"part": treatment.part, "type": _printable(treatment.type)} if treatment.part else {}
    return {"reader": treatment.reader, **about, "text": _printable(treatment.text)}


def _fault(fault: Fault) -> dict[str, Any]:
    where = {name: value for name, value in (("part", fault.part), ("line", fault.line)) if value}
    return {"rule": fault.rule, **where, "text": _printable(fault.text), "remedy": _printable(fault.remedy)}


def _printable(text: str) -> str:
    """Return text that may hold words of user data: redacted, and without control characters."""
    shown = redact(text)
    return shown if shown.isprintable() and shown.isascii() else quoted(shown, 4000)[1:-1]
