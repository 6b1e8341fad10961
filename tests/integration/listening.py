"""Threads that accept connections, and how such a one ends."""

from __future__ import annotations

import socket
import threading
from typing import Callable


class Listener:
    """A port of loopback, and a thread that hands each connection on; ended by `close`."""

    def __init__(self, serve: Callable[[socket.socket], object]) -> None:
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._sock.getsockname()[1]
        self._serve = serve
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection = self._sock.accept()[0]
            except OSError:
                return
            self._serve(connection)

    def close(self) -> None:
        """Refuse connections from now on.

        Shut down before it is closed: a thread that is left waiting for a descriptor goes on to the
        next listener that gets its number, and answers in that one's place.
        """
        if self._sock.fileno() >= 0:
            self._sock.shutdown(socket.SHUT_RDWR)
            self._thread.join(10)
            self._sock.close()
