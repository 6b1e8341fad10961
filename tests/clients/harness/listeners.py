"""The listeners behind every address, which record the port of a client's first connection.

They run inside the namespace (see bed.py) and need only the standard library.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading

PROXY = 3128
DIRECT = (80, 443, 8080)
CONTROL = 7  # a worker announces the next case here

#: The address of every name; the cases have networks that contain it.
ADDRESS = "10.0.77.7"

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_NO_TUNNEL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Switchboard:
    """The listeners of all ports, in one thread.

    `first` maps the number of a case to the port of its first connection.
    """

    def __init__(self) -> None:
        self.first: dict[int, int] = {}
        self._case: int | None = None
        self._selector = selectors.DefaultSelector()
        self._listeners: list[tuple[socket.socket, int]] = []
        for port in (PROXY, *DIRECT, CONTROL):
            for family, address in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
                listener = socket.socket(family, socket.SOCK_STREAM)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((address, port))
                listener.listen(128)
                listener.setblocking(False)
                self._selector.register(listener, selectors.EVENT_READ, (port, None))
                if port != CONTROL:
                    self._listeners.append((listener, port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                port, connection = key.data
                if connection is not None:
                    self._respond(port, connection)
                elif port == CONTROL:
                    self._begin(key.fileobj)
                else:
                    self._accept(key.fileobj, port)

    def _begin(self, listener: socket.socket) -> None:
        """Begin a case; connections that are already pending belong to the previous one."""
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            number = int(connection.recv(32))
            for other, port in self._listeners:
                while self._accept(other, port):
                    pass
            self._case = number
            connection.sendall(b"go on")

    def _accept(self, listener: socket.socket, port: int) -> bool:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return False
        if self._case is not None:
            self.first.setdefault(self._case, port)
        if port == 443:
            connection.close()  # the connection itself is enough
            return True
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ, (port, connection))
        return True

    def _respond(self, port: int, connection: socket.socket) -> None:
        """Respond to the first bytes; TLS gets no response.

        A request's header arrives in one piece here.
        """
        self._selector.unregister(connection)
        with connection:
            try:
                head = connection.recv(65536)
                if head[:1].isalpha():
                    connection.sendall(_NO_TUNNEL if head.startswith(b"CONNECT ") else _OK)
            except OSError:
                pass  # the client closed the connection, which is already recorded


class NameServer:
    """A DNS server: every name has the IPv4 address ADDRESS and no other record."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            query, sender = self._socket.recvfrom(4096)
            self._socket.sendto(response(query), sender)


def response(query: bytes) -> bytes:
    """Return the response to a DNS query of one question (RFC 1035 section 4)."""
    end = 12
    while query[end]:
        end += query[end] + 1
    question = query[12 : end + 5]
    kind = struct.unpack("!H", question[-4:-2])[0]
    record = struct.pack("!HHHIH4s", 0xC00C, 1, 1, 60, 4, socket.inet_aton(ADDRESS)) if kind == 1 else b""
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, bool(record), 0, 0) + question + record
