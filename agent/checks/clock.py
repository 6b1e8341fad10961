"""Difference between the clocks of the node and of the proxy.

A node whose clock is wrong trusts no certificate, and AWS refuses its requests.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator

from agent.checks.context import CheckedNode
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.edges.proxy_date import request_date

GROUP = "clock"
NAME = "skew"
#: Seconds of skew.  AWS refuses a request whose signature is five minutes old ("Troubleshooting AWS
#: Signature Version 4").
WARN_ABOVE, FAIL_ABOVE = 60.0, 300.0
#: Seconds that the proxy has to respond.
BOUND = 3.0


def check(node: CheckedNode) -> Iterator[Finding]:
    """Request any response from the proxy: an error page has a Date header too."""
    proxy = node.intent.http_proxy
    date = request_date(proxy, timeout=BOUND)
    if date:
        yield judge(date, time.time(), str(proxy))
    else:
        yield Finding(GROUP, NAME, SKIP, f"no Date header from {proxy} (see proxy)")


def judge(date: str, now: float, proxy: str) -> Finding:
    """Compare the proxy's Date header (whole seconds) with `now` (seconds since 1970)."""
    proxy_time = _seconds(date)
    if proxy_time is None:
        return Finding(GROUP, NAME, SKIP, f"invalid Date header from {proxy}")
    skew = now - proxy_time
    if abs(skew) <= WARN_ABOVE:
        return Finding(GROUP, NAME, OK, f"within {abs(skew) + 1:.0f} s of the proxy's clock")
    direction = "ahead of" if skew > 0 else "behind"
    text = f"clock of this node is {abs(skew):.0f} s {direction} {proxy}"
    hint = "check time synchronization: chronyc tracking; the Amazon Time Sync Service is at 169.254.169.123"
    return Finding(GROUP, NAME, FAIL if abs(skew) > FAIL_ABOVE else WARN, text, hint)


def _seconds(date: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
