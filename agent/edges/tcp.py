"""TCP connections within a bound: to the first of several addresses that accepts, and to many hosts at once."""

from __future__ import annotations

import errno
import ipaddress
import os
import select
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from agent.core.intent.reachability import ProbeResult

#: An entry of getaddrinfo: family, kind, protocol, canonical name, address.
Address = tuple[Any, ...]
#: Pause between tries of a name that does not resolve yet (seconds): at boot DNS may come up while
#: we ask.
_AGAIN = 0.05


def ask(hosts: Iterable[str], *, port: int = 443, bound: float = 1.0) -> dict[str, ProbeResult]:
    """Try all hosts at once; the whole takes `bound` seconds at most, less when all are decided earlier.

    A thread each, because the resolver of the C library cannot be given a time limit: one that
    hangs is left behind.
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


def first_to_accept(found: Sequence[Address], ends: float) -> socket.socket:
    """A connected, blocking socket; `ends` is in seconds of the monotonic clock.

    All are tried at once, so that a silent one does not use up the time of the others.  Raises
    OSError: a refusal rather than what kept another address from being tried, or socket.timeout
    when none did and the time is up.
    """
    waiting: dict[socket.socket, Address] = {}
    errors: list[OSError] = []
    for entry in found:
        _start(entry, waiting, errors)
    try:
        while waiting and time.monotonic() < ends:
            _, decided, _ = select.select([], list(waiting), [], max(0.0, ends - time.monotonic()))
            for sock in decided:
                number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                del waiting[sock]
                if number == 0:
                    sock.setblocking(True)
                    return sock
                sock.close()
                errors.append(OSError(number, os.strerror(number)))
        if waiting or not errors:
            raise socket.timeout("timed out")
        raise next((error for error in errors if error.errno == errno.ECONNREFUSED), errors[0])
    finally:
        for sock in waiting:
            sock.close()


def _start(entry: Address, waiting: dict[socket.socket, Address], errors: list[OSError]) -> None:
    sock: socket.socket | None = None
    try:
        sock = socket.socket(entry[0], entry[1], entry[2])
        sock.setblocking(False)
        number = sock.connect_ex(entry[4])
        if number not in (0, errno.EINPROGRESS):
            raise OSError(number, os.strerror(number))
        waiting[sock] = entry
    except OSError as error:  # no IPv6 here, no route there
        errors.append(error)
        if sock is not None:
            sock.close()
