"""Health checks of proxies for one or more targets, at the same time and with a time limit."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Sequence
from typing import Callable

from agent.core.net.proxy_health import Verdict
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.edges import threads
from agent.edges.proxy_tunnel import TunnelProbe

#: Seconds after the deadline of the probes in which a thread may still deliver its verdict.
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
    """Request a tunnel to `host`:`port` from `proxy`, with `tls` also a TLS handshake through it.

    Takes at most `timeout` seconds, and no failure of the other side raises.  Raises ValueError for
    a host with characters that a request cannot hold, and AgentError at the limit of threads.
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
    """Probe several targets at the same time, in at most `timeout` seconds in total.

    Raises AgentError at the limit of threads.
    """
    deadline = time.monotonic() + timeout
    trust = ssl.create_default_context() if tls or proxy.scheme == "https" else None
    probes = [TunnelProbe(proxy, host, port, credentials, deadline, tls=tls, trust=trust) for host, port in targets]
    _run_all(probes, timeout, lambda: all(probe.verdict for probe in probes))
    return tuple(probe.result() for probe in probes)


def probe_all(
    proxies: Sequence[ProxyUrl],
    host: str,
    port: int,
    credentials: Credentials | None = None,
    *,
    timeout: float = 3.0,
    enough: Callable[[Sequence[Verdict | None]], bool] = all,
) -> tuple[Verdict | None, ...]:
    """Request a tunnel to one target from several proxies at the same time, without TLS.

    Ends early when `enough` of the verdicts so far is True.  Returns None for a proxy that was not
    waited for.  Raises AgentError at the limit of threads.
    """
    deadline = time.monotonic() + timeout
    trust = ssl.create_default_context() if any(proxy.scheme == "https" for proxy in proxies) else None
    probes = [TunnelProbe(proxy, host, port, credentials, deadline, tls=False, trust=trust) for proxy in proxies]
    is_enough = _run_all(probes, timeout, lambda: enough([probe.verdict for probe in probes]))
    return tuple(probe.verdict if is_enough else probe.result() for probe in probes)


def _run_all(probes: Sequence[TunnelProbe], timeout: float, enough: Callable[[], bool]) -> bool:
    """Run the probes until `enough`; return False if the time was up first.

    A thread for each: the resolver of the C library has no time limit, and a thread that hangs in
    it is abandoned.  Raises AgentError if there is no thread for one.
    """
    deadline = time.monotonic() + timeout + _GRACE
    progress = threading.Condition()
    threads.start_all([threading.Thread(target=probe.run, args=(progress,), daemon=True) for probe in probes])
    with progress:
        return progress.wait_for(enough, deadline - time.monotonic())
