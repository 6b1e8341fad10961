"""Does a host answer without the proxy?  A TCP connection tried with a bound, for many hosts at once."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterable, Sequence

from agent.core.intent.reachability import ProbeResult
from agent.edges.connect import Address, first_to_accept

#: Pause between tries of a name that does not resolve yet (seconds): at boot DNS may come up while we ask.
_AGAIN = 0.05


def ask(hosts: Iterable[str], *, port: int = 443, bound: float = 1.0) -> dict[str, ProbeResult]:
    """Try all hosts at once; the whole takes `bound` seconds at most, less when all are decided earlier.

    A thread each, because the resolver of the C library cannot be given a time limit: one that hangs is left behind.
    """
    ends = time.monotonic() + bound
    answers = {host: ProbeResult() for host in hosts}
    threads = [threading.Thread(target=_ask, args=(host, port, ends, answers), daemon=True) for host in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    return dict(answers)


def _ask(host: str, port: int, ends: float, answers: dict[str, ProbeResult]) -> None:
    found: list[Address] = []
    while not found and time.monotonic() < ends:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            time.sleep(_AGAIN)
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    answers[host] = ProbeResult(False, addresses)
    answers[host] = ProbeResult(
        _any_connects([entry for entry in found if _is_elsewhere(str(entry[4][0]))], ends), addresses
    )


def _is_elsewhere(address: str) -> bool:
    """Not this node itself: a DNS that sinks names there must not find a pod's port 443."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return not (ip.is_loopback or ip.is_unspecified)


def _any_connects(found: Sequence[Address], ends: float) -> bool:
    """Whether one of the addresses accepts."""
    try:
        first_to_accept(found, ends).close()
    except OSError:
        return False
    return True
