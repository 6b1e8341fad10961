"""A listener on loopback with a thread, and its clean end."""

from __future__ import annotations

import socket
import threading
from typing import Callable


class Listener:
    """A port of loopback, and a thread that passes each connection to `serve`, until `close`."""

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

        The socket is shut down before it is closed: a thread that still waits on the descriptor
        would go on with the next listener that gets the same number, and serve in its place.
        """
        if self._sock.fileno() >= 0:
            self._sock.shutdown(socket.SHUT_RDWR)
            self._thread.join(10)
            self._sock.close()
