"""The metadata service with moods: it fails as real services, proxies and captive portals do."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Mapping
from typing import Any, Callable

from agent.core.record import record
from agent.demo.http_server import Handler, Reply, error_reply
from agent.demo.metadata_service import MetadataService

HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Welcome to the hotel\x07</body></html>"


class Clock:
    """A clock that moves only when a test sets it, or during `sleep`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move the clock on, without any delay."""
        self.slept.append(seconds)
        self.now += seconds


class Mood:
    """Misbehaviour for the next `times` requests whose path ends in `path`."""

    def __init__(self, misbehave: Callable[[MoodyHandler], None], path: str = "", times: int = 1) -> None:
        self.misbehave, self.path, self.times = misbehave, path, times


@record
class ReceivedRequest:
    """A request that was received."""

    method: str
    path: str
    headers: Mapping[str, str]
    connection: Any


class MoodyHandler(Handler):
    """A handler that looks for a mood before it responds."""

    service: MoodyService

    def reply(self, response: Reply) -> None:
        """Send the response, unless there is a mood for the request."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.service.asked.append(ReceivedRequest(self.command, self.path, headers, self.client_address))
        mood = self.service.take(self.path)
        if mood is None:
            super().reply(response)
        else:
            mood.misbehave(self)

    def usual(self, response: Reply) -> None:
        """Send `response` whatever the moods."""
        super().reply(response)

    def raw(self, data: bytes) -> None:
        """Send bytes unchanged, and close the connection."""
        self.close_connection = True
        self.connection.sendall(data)


class MoodyService(MetadataService):
    """A MetadataService with a list of moods, which records the requests that it receives."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.moods: list[Mood] = []
        self.asked: list[ReceivedRequest] = []
        self.ended = threading.Event()
        self.handler = type("BoundHandler", (MoodyHandler,), {"service": self})
        super().__init__(*arguments, **options)

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        super().__exit__(*error)

    def take(self, path: str) -> Mood | None:
        """Return the mood for a request of `path`, and count it as used."""
        for mood in self.moods:
            if mood.times > 0 and path.endswith(mood.path):
                mood.times -= 1
                return mood
        return None

    def tokens_asked(self) -> int:
        """Return the number of requests for a token."""
        return sum(asked.method == "PUT" for asked in self.asked)


def status(code: int) -> Callable[[MoodyHandler], None]:
    """Respond with an error `code`."""
    return lambda handler: handler.usual(error_reply(code))


def answer(body: bytes, code: int = 200, **headers: str) -> Callable[[MoodyHandler], None]:
    """Respond with `body` to any request."""
    return lambda handler: handler.usual(Reply(code, body, headers))


def raw(data: bytes) -> Callable[[MoodyHandler], None]:
    """Respond with bytes that need not be HTTP."""
    return lambda handler: handler.raw(data)


def reset(handler: MoodyHandler) -> None:
    """Close the connection with a RST."""
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def hang(handler: MoodyHandler) -> None:
    """Send nothing until the service ends."""
    handler.close_connection = True
    handler.service.ended.wait(60)


def drip(start: bytes, on_byte: Callable[[], None]) -> Callable[[MoodyHandler], None]:
    """Send `start`, then one byte after another for ever; `on_byte` is called after each byte."""

    def misbehave(handler: MoodyHandler) -> None:
        handler.close_connection = True
        handler.connection.sendall(start)
        while not handler.service.ended.wait(0.002):
            handler.connection.sendall(b"x")
            on_byte()

    return misbehave


def flood(*, announced: bool, sent: list[int]) -> Callable[[MoodyHandler], None]:
    """Send 1 GiB, with a Content-Length or in chunks; append the number of bytes sent to `sent`."""
    total, block = 1 << 30, b"x" * (1 << 16)

    def misbehave(handler: MoodyHandler) -> None:
        handler.close_connection = True
        frame = b"Content-Length: %d\r\n\r\n" % total if announced else b"Transfer-Encoding: chunked\r\n\r\n"
        before, after = (b"", b"") if announced else (b"%x\r\n" % len(block), b"\r\n")
        out = 0
        try:
            handler.connection.sendall(b"HTTP/1.1 200 OK\r\n" + frame)
            while out < total:
                handler.connection.sendall(before + block + after)
                out += len(block)
        finally:
            sent.append(out)

    return misbehave


def free_port(host: str) -> tuple[str, int]:
    """Return an address at which nothing listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return host, probe.getsockname()[1]
