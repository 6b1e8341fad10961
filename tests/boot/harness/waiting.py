"""Waits for a condition, always with a limit, which is a safety net and not a measurement."""

from __future__ import annotations

import time
from typing import Callable, TypeVar

from .command import BedError

T = TypeVar("T")


def wait_for(event: str, probe: Callable[[], T | None], limit: float = 30, interval: float = 0.02) -> T:
    """Call `probe` until it returns something true, and return that.

    Raises BedError that names `event` after `limit` seconds.
    """
    deadline = time.monotonic() + limit
    while True:
        result = probe()
        if result:
            return result
        if time.monotonic() > deadline:
            raise BedError(f"{event}: timed out after {limit:.0f} s")
        time.sleep(interval)
