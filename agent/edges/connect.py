"""A TCP connection to the first of several addresses that accepts, within a bound for all of them together."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Sequence
from typing import Any

#: An entry of getaddrinfo: family, kind, protocol, canonical name, address.
Address = tuple[Any, ...]


def first_to_accept(found: Sequence[Address], ends: float) -> socket.socket:
    """A connected, blocking socket; `ends` is in seconds of the monotonic clock.

    All are tried at once, so that a silent one does not use up the time of the others.  Raises OSError: a refusal
    rather than what kept another address from being tried, or socket.timeout when none did and the time is up.
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
            raise socket.timeout("no connection in time")
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
