"""A small HTTP/1.1 server for the embedded metadata service: one function answers, everything else is here."""

from __future__ import annotations

import http
import re
import socket
import socketserver
import sys
from collections.abc import Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable

import attrs


@attrs.frozen
class Answer:
    """One HTTP answer, whole."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)


#: Method, path and headers (in any case) → answer.
Respond = Callable[[str, str, Message], Answer]

#: EC2 refuses with a page like this one; a script that does not look at the status writes it into
#: its files.
_PAGE = """<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
\t"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{0} - {1}</title>
 </head>
 <body>
  <h1>{0} - {1}</h1>
 </body>
</html>
"""


def refusal(status: int) -> Answer:
    """An error answer in the shape of EC2's."""
    page = _PAGE.format(status, http.HTTPStatus(status).phrase)
    return Answer(status, page.encode("ascii"), {"Content-Type": "text/html"})


class Handler(BaseHTTPRequestHandler):
    """One connection; `reply` is the place for tests to misbehave."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "EC2ws", ""
    timeout = 60  # seconds that an idle connection is kept
    disable_nagle_algorithm = True
    wbufsize = 1 << 18  # headers and body leave in one write; two cost 40 ms an answer (Nagle against delayed ACK)

    def do_request(self) -> None:
        """Any method: read the body away, so that the next request starts where it should, and answer."""
        length = self.headers.get("Content-Length", "0")
        if not re.fullmatch("[0-9]{1,5}", length) or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self.reply(refusal(400))
            return
        self.rfile.read(int(length))
        self.reply(self.server.respond(self.command, self.path.partition("?")[0], self.headers))

    def __getattr__(self, name: str) -> Callable[[], None]:
        """`do_GET` and all its siblings: http.server looks for a method of that name."""
        if name.startswith("do_"):
            return self.do_request
        raise AttributeError(name)

    def reply(self, answer: Answer) -> None:
        """Send `answer`, whole and at once."""
        self.send_response(answer.status)
        for name, value in {
            "Content-Type": "text/plain",
            "Content-Length": str(len(answer.body)),
            **answer.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Say nothing: stderr belongs to the caller."""


class Server(ThreadingHTTPServer):
    """Listens on an IPv4 or IPv6 address from the moment it is made; raises OSError when it cannot."""

    request_queue_size = 128

    def __init__(self, host: str, port: int, respond: Respond, handler: type[Handler] = Handler) -> None:
        self.respond = respond
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        """Bind, without the reverse DNS look-up of http.server, which can hang."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
