"""How is a proxy?  Looks at one or several, at several targets, all at once and bounded as a whole."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Sequence
from typing import Callable

from agent.core.net.proxy_health import Verdict
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.edges.proxy_tunnel import OneProbe

#: Seconds after the end of a probe in which a thread may still say what it came to.
_GRACE = 0.1


def probe(
    proxy: ProxyUrl,
    host: str,
    port: int,
    credentials: Credentials | None = None,
    *,
    timeout: float = 3.0,
    tls: bool = True,
) -> Verdict:
    """Ask `proxy` for a tunnel to `host`:`port`, and with `tls` shake hands with the host through it.

    Takes `timeout` seconds at the most, whatever the other side does, and raises nothing for what
    it does; ValueError for a host that cannot stand in a request.
    """
    return probe_each(proxy, [(host, port)], credentials, timeout=timeout, tls=tls)[0]


def probe_each(
    proxy: ProxyUrl,
    targets: Sequence[tuple[str, int]],
    credentials: Credentials | None = None,
    *,
    timeout: float = 3.0,
    tls: bool = True,
) -> tuple[Verdict, ...]:
    """The same for several targets at once; all together take `timeout` seconds at the most."""
    ends = time.monotonic() + timeout
    trust = ssl.create_default_context() if tls or proxy.scheme == "https" else None
    probes = [OneProbe(proxy, host, port, credentials, ends, tls=tls, trust=trust) for host, port in targets]
    _run_all(probes, timeout, lambda: all(one.verdict for one in probes))
    return tuple(one.result() for one in probes)


def probe_all(
    proxies: Sequence[ProxyUrl],
    host: str,
    port: int,
    credentials: Credentials | None = None,
    *,
    timeout: float = 3.0,
    enough: Callable[[Sequence[Verdict | None]], bool] = all,
) -> tuple[Verdict | None, ...]:
    """Ask several proxies for a tunnel to one target at once, no TLS.

    Ends early when `enough` says so of the verdicts; None for a proxy that was not waited for.
    """
    ends = time.monotonic() + timeout
    trust = ssl.create_default_context() if any(proxy.scheme == "https" for proxy in proxies) else None
    probes = [OneProbe(proxy, host, port, credentials, ends, tls=False, trust=trust) for proxy in proxies]
    early = _run_all(probes, timeout, lambda: enough([one.verdict for one in probes]))
    return tuple(one.verdict if early else one.result() for one in probes)


def _run_all(probes: Sequence[OneProbe], timeout: float, enough: Callable[[], bool]) -> bool:
    """Whether it was enough before the time was up.

    A thread each, because the resolver of the C library cannot be given a time limit: one that
    hangs is left behind.
    """
    ends = time.monotonic() + timeout + _GRACE
    ended = threading.Condition()
    with ended:
        for one in probes:
            threading.Thread(target=one.run, args=(ended,), daemon=True).start()
        return ended.wait_for(enough, ends - time.monotonic())
