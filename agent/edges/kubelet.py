"""kubelet's own health check.

Imports requests (0.1 s): import this module where it is used, not at the top.
"""

from __future__ import annotations

import time

from agent.core.net.proxy_url import quoted
from agent.edges.http import DirectSession, ExchangeError, exchange

#: --healthz-bind-address and --healthz-port of kubelet, by default.
HEALTHZ = "http://127.0.0.1:10248/healthz"
#: Seconds to connect and to answer, and bytes of the answer that are read.
_TIMEOUTS, _LIMIT = (1.0, 2.0), 200


def health_problem(url: str = HEALTHZ) -> str:
    """Return why kubelet is not healthy; "" if it responds `ok`."""
    deadline = time.monotonic() + sum(_TIMEOUTS)
    try:
        with DirectSession(lambda: deadline - time.monotonic()) as session:
            answer = exchange(session, "GET", url, {}, _TIMEOUTS, _LIMIT)
    except ExchangeError as error:
        return f"kubelet does not answer at {url}: {error}"
    text = answer.body.decode("utf-8", "replace").strip()
    if answer.status == 200 and text == "ok":
        return ""
    return f"kubelet is not healthy: {url} answered {answer.status} {quoted(text)}"
