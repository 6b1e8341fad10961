"""TCP connections with a deadline: to the first address that accepts, and to many hosts at once."""

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
from agent.edges import threads

#: An entry of getaddrinfo: family, kind, protocol, canonical name, address.
Address = tuple[Any, ...]
#: Seconds between tries of a name that does not resolve yet: at boot DNS may come up during a
#: probe.
_RESOLVE_PAUSE = 0.05


def probe(hosts: Iterable[str], *, port: int = 443, bound: float = 1.0) -> dict[str, ProbeResult]:
    """Connect to all hosts at the same time; return the result for each.

    Takes at most `bound` seconds in total, less if all results are there earlier.  A thread for
    each host: the resolver of the C library has no time limit, and a thread that hangs in it is
    abandoned.  Raises AgentError if there is no thread for one.
    """
    deadline = time.monotonic() + bound
    results = {host: ProbeResult() for host in hosts}
    probes = [threading.Thread(target=_probe, args=(host, port, deadline, results), daemon=True) for host in results]
    threads.start_all(probes)
    for thread in probes:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(results)


def _probe(host: str, port: int, deadline: float, results: dict[str, ProbeResult]) -> None:
    entries: list[Address] = []
    while not entries and time.monotonic() < deadline:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            time.sleep(_RESOLVE_PAUSE)
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in entries))
    results[host] = ProbeResult(False, addresses)
    remote = [entry for entry in entries if _is_remote(str(entry[4][0]))]
    results[host] = ProbeResult(_any_accepts(remote, deadline), addresses)


def _is_remote(address: str) -> bool:
    """Return False for this node itself: a DNS sinkhole must not lead to port 443 of a pod here."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    return not (ip.is_loopback or ip.is_unspecified)


def _any_accepts(entries: Sequence[Address], deadline: float) -> bool:
    """Return True if one of the addresses accepts a connection."""
    try:
        connect_first(entries, deadline).close()
    except OSError:
        return False
    return True


def connect_first(entries: Sequence[Address], deadline: float) -> socket.socket:
    """Connect to all addresses at the same time; return the first connected socket, now blocking.

    So an address that does not respond does not use up the time of the others.  `deadline`: seconds
    of the monotonic clock.  Raises socket.timeout if the deadline passes while a connection is
    still pending, else the OSError of an address, a refusal before any other.
    """
    pending: dict[socket.socket, Address] = {}
    errors: list[OSError] = []
    for entry in entries:
        _start(entry, pending, errors)
    try:
        while pending and time.monotonic() < deadline:
            _, decided, _ = select.select([], list(pending), [], max(0.0, deadline - time.monotonic()))
            for sock in decided:
                number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                del pending[sock]
                if number == 0:
                    sock.setblocking(True)
                    return sock
                sock.close()
                errors.append(OSError(number, os.strerror(number)))
        if pending or not errors:
            raise socket.timeout("timed out")
        raise next((error for error in errors if error.errno == errno.ECONNREFUSED), errors[0])
    finally:
        for sock in pending:
            sock.close()


def _start(entry: Address, pending: dict[socket.socket, Address], errors: list[OSError]) -> None:
    sock: socket.socket | None = None
    try:
        sock = socket.socket(entry[0], entry[1], entry[2])
        sock.setblocking(False)
        number = sock.connect_ex(entry[4])
        if number not in (0, errno.EINPROGRESS):
            raise OSError(number, os.strerror(number))
        pending[sock] = entry
    except OSError as error:  # no IPv6 on this node, no route to the address
        errors.append(error)
        if sock is not None:
            sock.close()
