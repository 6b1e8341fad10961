"""Is the clock right?  A node that lives in another hour trusts no certificate and is trusted by nobody."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator

from agent.checks.context import CheckedNode
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.edges.proxy_date import ask_date

GROUP = "clock"
NAME = "skew"
#: AWS refuses a request whose signature is five minutes old ("Troubleshooting AWS Signature Version
#: 4").
WARN_ABOVE, FAIL_ABOVE = 60.0, 300.0
BOUND = 3.0


def check(node: CheckedNode) -> Iterator[Finding]:
    """Ask the proxy for nothing: it says what it thinks of that, and what time it is."""
    proxy = node.intent.http_proxy
    date = ask_date(proxy, timeout=BOUND)
    if date:
        yield judge(date, time.time(), str(proxy))
    else:
        yield Finding(GROUP, NAME, SKIP, f"{proxy} does not tell the time (see proxy)")


def judge(date: str, now: float, proxy: str) -> Finding:
    """`date` is the proxy's Date header, whole seconds; `now` is in seconds since 1970."""
    there = _seconds(date)
    if there is None:
        return Finding(GROUP, NAME, SKIP, f"{proxy} does not say what time it is")
    skew = now - there
    if abs(skew) <= WARN_ABOVE:
        return Finding(GROUP, NAME, OK, f"within {abs(skew) + 1:.0f} s of the proxy's")
    way = "ahead of" if skew > 0 else "behind"
    text = f"this node is {abs(skew):.0f} s {way} {proxy}"
    hint = "chronyc tracking; the Amazon Time Sync Service is at 169.254.169.123"
    return Finding(GROUP, NAME, FAIL if abs(skew) > FAIL_ABOVE else WARN, text, hint)


def _seconds(date: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
