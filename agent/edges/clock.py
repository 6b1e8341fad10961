"""The time of day.  It is for people only: what waits or counts takes time.monotonic()."""

from __future__ import annotations

import time


def moment(seconds: float | None = None) -> str:
    """Seconds since 1970, or now, as status.json writes it: 2026-11-22T20:31:05+00:00 (RFC 3339).  core/moments.py reads it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(seconds))
