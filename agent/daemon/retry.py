"""All delays of the daemon, in seconds, and how they grow.

Four are elsewhere: watch.interval and watch.credentials_interval are settings, the health checks of
the proxies have their own interval (core/net/proxy_selection.py), edges/child.py limits how long a
worker may be silent, and node/budget.py how long a boot may wait.
"""

from __future__ import annotations

from typing import Callable

#: From a change of a file to the cycle: several files that are changed together start one cycle.
SETTLE = 0.5
#: Between two cycles that changed files start, the shortest and the longest: another process may
#: write the files all the time.
GAP_FIRST, GAP_LONGEST = 1.0, 60.0
#: Between two cycles that SIGHUP starts, the shortest and the longest: a script may send it in a
#: loop, but an operator must not wait for long.
RELOAD_GAP_FIRST, RELOAD_GAP_LONGEST = 1.0, 10.0
#: From the end of the boot's budget to READY=1: a boot that has just stopped waiting may still end.
#: And from the start of the daemon to READY=1, before its worker has said how long it may wait.
READY_GRACE, READY_AT_LATEST = 10.0, 70.0
#: Until READY=1 is sent again if systemd did not receive it.
NOTIFY_AGAIN = 5.0
#: From a cycle that crashed to the next, the first and the longest: trying sooner does not fix a
#: bug.
CRASH_FIRST, CRASH_LONGEST = 5.0, 300.0
#: Until the next cycle if the worker did not send a time.
ORDINARY = 600.0
#: Between the retries of a degraded node: the first, the longest, and the longest of a node that
#: was configured before.  That one has its last good values; a new node has nothing and is urgent.
RETRY_FIRST, RETRY_LONGEST, RETRY_CONFIGURED = 2.0, 60.0, 300.0
#: Until a cycle is tried again that found the lock taken: a run such as `apply` ends soon.
POSTPONED = 10.0
#: Limit of a request for metadata after boot: cached facts exist by then, so a cycle need not wait.
METADATA_TIMEOUT = 2.0
#: A cycle requests metadata if the cached facts are this many cycles old.  The libraries for the
#: request take more CPU than all the rest of a cycle, and only a CIDR of the VPC can change.
FACTS_CYCLES = 3
#: Beyond the budget of a boot, for the response of the process that requests the facts: cores may
#: be busy.
FACTS_GRACE = 5.0
#: For the lock, to record that systemd has reloaded in a boot without a reconcile: if another run
#: has it, one reload more is cheaper than a later READY=1.
RECORD_RELOAD = 1.0
#: From READY=1 to the health checks and metrics of a boot: docker, containerd and kubelet start at
#: this moment, and need the cores more.
AFTER_READY = 0.5
#: From the boot to the first cycle, which checks the processes that have started since.
AFTER_BOOT = 60.0

#: Returns a number between two others.
Draw = Callable[[float, float], float]


def next_gap(gap: float, quiet: float, first: float = GAP_FIRST, longest: float = GAP_LONGEST) -> float:
    """Return the gap that follows `gap`: doubled, or `first` after a long quiet period.

    `quiet`: seconds since the last cycle.
    """
    return first if quiet > 2 * gap + SETTLE else min(2 * gap, longest)


def next_reload_gap(gap: float, quiet: float) -> float:
    """Return the gap that follows `gap` between cycles that SIGHUP starts."""
    return next_gap(gap, quiet, RELOAD_GAP_FIRST, RELOAD_GAP_LONGEST)


def next_crash_delay(delay: float) -> float:
    """Return the delay after the next crash in a row."""
    return min(2 * delay, CRASH_LONGEST)


def _uniform(low: float, high: float) -> float:
    import random  # not at the top: the supervisor imports this module and must stay light

    return random.uniform(low, high)


def retry_delay(failures: int, was_configured: bool, draw: Draw = _uniform) -> float:
    """Return the seconds until a degraded node tries again.

    With jitter, because the nodes of a group degrade at the same time.
    """
    longest = RETRY_CONFIGURED if was_configured else RETRY_LONGEST
    return min(RETRY_FIRST * draw(1.6, 1.9) ** min(failures, 20), longest)


def jittered(interval: float, draw: Draw = _uniform) -> float:
    """Return watch.interval with a jitter of 10 %, so that nodes of a group do not act together."""
    return interval * draw(0.9, 1.1)
