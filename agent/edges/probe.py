"""Does a host answer without the proxy?  A TCP connection tried with a bound, for many hosts at once."""

from __future__ import annotations

import ipaddress
import select
import socket
import threading
import time
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from agent.core.direct import Answer

#: Pause between tries of a name that does not resolve yet (seconds): at boot DNS may come up while we ask.
_AGAIN = 0.05


def ask(hosts: Iterable[str], *, port: int = 443, bound: float = 1.0) -> Dict[str, Answer]:
    """Try all hosts at once; the whole takes `bound` seconds at most, less when all are decided earlier.

    A thread each, because the resolver of the C library cannot be given a time limit: one that hangs is left behind.
    """
    ends = time.monotonic() + bound
    answers = {host: Answer() for host in hosts}
    threads = [threading.Thread(target=_ask, args=(host, port, ends, answers), daemon=True) for host in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    return dict(answers)


def _ask(host: str, port: int, ends: float, answers: Dict[str, Answer]) -> None:
    found: List[Tuple[Any, ...]] = []
    while not found and time.monotonic() < ends:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            time.sleep(_AGAIN)
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    answers[host] = Answer(False, addresses)
    answers[host] = Answer(
        _any_connects([entry for entry in found if _is_elsewhere(str(entry[4][0]))], ends), addresses
    )


def _is_elsewhere(address: str) -> bool:
    """Not this node itself: a DNS that sinks names there must not find a pod's port 443."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return not (ip.is_loopback or ip.is_unspecified)


def _any_connects(found: Sequence[Tuple[Any, ...]], ends: float) -> bool:
    """Whether one of the addresses accepts; all are tried at once, so that a silent one does not use up the time."""
    tried = [_start(family, kind, protocol, address) for family, kind, protocol, _, address in found]
    waiting = [sock for sock in tried if sock is not None]
    try:
        while waiting and time.monotonic() < ends:
            _, decided, _ = select.select([], waiting, [], max(0.0, ends - time.monotonic()))
            if any(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 for sock in decided):
                return True
            waiting = [sock for sock in waiting if sock not in decided]
        return False
    finally:
        for sock in filter(None, tried):
            sock.close()


def _start(family: int, kind: int, protocol: int, address: Tuple[Any, ...]) -> Optional[socket.socket]:
    try:
        sock = socket.socket(family, kind, protocol)
    except OSError:
        return None  # no IPv6 here
    sock.setblocking(False)
    try:
        sock.connect(address)
    except BlockingIOError:
        return sock
    except OSError:
        sock.close()
        return None
    return sock
