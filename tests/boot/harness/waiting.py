"""Waiting for a condition, always with a bound; the bound is a safety net, never a measurement."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

from .command import BedError

T = TypeVar("T")


def wait_for(what: str, probe: Callable[[], T | None], limit: float = 30, interval: float = 0.02) -> T:
    """Ask probe until it returns something true, and return that; raise BedError naming `what`
    after limit seconds.
    """
    end = time.monotonic() + limit
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > end:
            raise BedError(f"waited {limit:.0f} s in vain for {what}")
        time.sleep(interval)
