"""Moments as status.json writes them, as seconds since the epoch, and as people say them."""

from __future__ import annotations

import re
from typing import Any

_UTC = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:\+00:00|Z)", re.ASCII)

#: What a clock may be off between two programs that ask it one after the other.
_NOW = 5.0


def epoch(text: Any) -> float | None:
    """Seconds since 1970 of a moment in UTC such as 2026-11-22T20:31:05+00:00; None for anything else."""
    match = _UTC.fullmatch(text) if isinstance(text, str) else None
    if not match:
        return None
    year, month, day, hour, minute, second = map(int, match.groups())
    # The proleptic Gregorian calendar, with years that begin in March, so that the leap day comes last.
    months = year * 12 + month - 3
    year, month = divmod(months, 12)
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1 - 719468
    return float(days * 86400 + hour * 3600 + minute * 60 + second)


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
        return f"{span(moment - now)} ahead of this clock"
    return "just now" if now - moment < _NOW else span(now - moment) + " ago"


def ahead(moment: float | None, now: float) -> str:
    """`in 6 min`, or how long it is overdue; empty when nothing is known."""
    if moment is None:
        return ""
    if abs(moment - now) < _NOW:
        return "in a moment"
    return "in " + span(moment - now) if moment > now else span(now - moment) + " overdue"
