"""Timestamps as status.json has them, as seconds since the epoch, and as people say them.

They are for people only: what waits or counts takes time.monotonic().
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

#: What a clock may be off between two programs that ask it one after the other.
_NOW = 5.0


def format_timestamp(seconds: float) -> str:
    """Seconds since 1970 as status.json has them: 2026-11-22T20:31:05+00:00 (RFC 3339)."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def parse_timestamp(text: Any) -> int | None:
    """Return the whole seconds since 1970 of a timestamp in UTC; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return int(moment.timestamp()) if moment.tzinfo == timezone.utc else None


def span(seconds: float) -> str:
    """A length of time, as coarse as one says it: 40 s, 4 min, 3 h, 2 days."""
    for least, size, name in ((2 * 86400, 86400, "days"), (2 * 3600, 3600, "h"), (60, 60, "min")):
        if seconds >= least:
            return f"{int(seconds // size)} {name}"
    return f"{int(seconds)} s"


def ago(moment: float | None, now: float) -> str:
    """`4 min ago`; empty when nothing is known."""
    if moment is None:
        return ""
    if moment > now + _NOW:
        return f"{span(moment - now)} in the future by this clock"
    return "just now" if now - moment < _NOW else span(now - moment) + " ago"


def ahead(moment: float | None, now: float) -> str:
    """`in 6 min`, or how long it is overdue; empty when nothing is known."""
    if moment is None:
        return ""
    if abs(moment - now) < _NOW:
        return "in a moment"
    return "in " + span(moment - now) if moment > now else span(now - moment) + " overdue"
