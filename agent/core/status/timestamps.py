"""Timestamps as text of status.json, as seconds since 1970, and relative to now.

They are for display only: code that waits or measures uses time.monotonic().
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

#: Seconds of difference that still count as now: two programs do not read the clock at once.
_NOW = 5.0


def format_timestamp(seconds: float) -> str:
    """Format seconds since 1970 for status.json: 2026-11-22T20:31:05+00:00 (RFC 3339)."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def parse_timestamp(text: Any) -> int | None:
    """Return the seconds since 1970, as an integer, of a timestamp in UTC; else None."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return int(moment.timestamp()) if moment.tzinfo == timezone.utc else None


def span(seconds: float) -> str:
    """Format a duration with one unit, rounded down: 40 s, 4 min, 3 h, 2 days."""
    for least, size, name in ((2 * 86400, 86400, "days"), (2 * 3600, 3600, "h"), (60, 60, "min")):
        if seconds >= least:
            return f"{int(seconds // size)} {name}"
    return f"{int(seconds)} s"


def ago(moment: float | None, now: float) -> str:
    """Format a past moment: `4 min ago`; empty for None."""
    if moment is None:
        return ""
    if moment > now + _NOW:
        return f"{span(moment - now)} in the future by this clock"
    return "just now" if now - moment < _NOW else span(now - moment) + " ago"


def ahead(moment: float | None, now: float) -> str:
    """Format a future moment: `in 6 min`, or `4 min overdue`; empty for None."""
    if moment is None:
        return ""
    if abs(moment - now) < _NOW:
        return "in a moment"
    return "in " + span(moment - now) if moment > now else span(now - moment) + " overdue"
