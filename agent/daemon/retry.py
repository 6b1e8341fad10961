"""Every delay of the daemon, in seconds, and how the delays grow.

Three are elsewhere, with what they belong to: watch.interval is a setting, the health checks of the
proxies have their own pace (core/net/proxy_selection.py), and edges/child.py says how long a worker
may be silent.
"""

from __future__ import annotations

from typing import Callable

#: From a file's change to the pass: whoever changes several files has finished by then.
SETTLE = 0.5
#: Between passes for the sake of files, the shortest and the longest: somebody may write them all
#: the time.
GAP_FIRST, GAP_LONGEST = 1.0, 60.0
#: From a pass that crashed to the next, the first time and at the longest: a bug is not mended by
#: haste.
CRASH_FIRST, CRASH_LONGEST = 5.0, 300.0
#: Until the next pass when the worker named no time.
ORDINARY = 600.0
#: Between the tries of a degraded node, the first and the longest: it has nothing, so it is in a
#: hurry; and the longest once it was configured: it has its last good values.
RETRY_FIRST, RETRY_LONGEST, RETRY_CONFIGURED = 2.0, 60.0, 300.0
#: Until a pass is tried again that another run, such as `apply`, did not let through: that one ends
#: soon.
POSTPONED = 10.0
#: How long a pass after boot asks for metadata: the last answer is still known, so it need not
#: wait.
PATIENCE = 2.0
#: From the boot to the pass after it, which looks at the processes that have started since.
AFTER_BOOT = 60.0

#: Draws a number between two others.
Draw = Callable[[float, float], float]


def gap_after(gap: float, quiet: float) -> float:
    """Return the gap that follows `gap`: twice as long, or the first again if the files were quiet for long enough."""
    return GAP_FIRST if quiet > 2 * gap + SETTLE else min(2 * gap, GAP_LONGEST)


def crash_after(delay: float) -> float:
    """Return the delay of the next crash in a row."""
    return min(2 * delay, CRASH_LONGEST)


def _uniform(low: float, high: float) -> float:
    import random  # not at the top: the process that waits does without

    return random.uniform(low, high)


def pause(failures: int, configured: bool, draw: Draw = _uniform) -> float:
    """Return the seconds until a degraded node tries again, with jitter: the nodes of a group degrade together."""
    longest = RETRY_CONFIGURED if configured else RETRY_LONGEST
    return min(RETRY_FIRST * draw(1.6, 1.9) ** min(failures, 20), longest)


def spread(interval: float, draw: Draw = _uniform) -> float:
    """Return watch.interval with jitter, so that the nodes of a group do not ask together."""
    return interval * draw(0.9, 1.1)
