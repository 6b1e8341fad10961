"""Small HTTP/1.1 server for the embedded metadata service; one function makes the responses."""

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

from agent.core.record import field, record


@record
class Reply:
    """One complete HTTP response."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=dict)


#: Method, path and headers (names in any case) → response.
Respond = Callable[[str, str, Message], Reply]

#: Error page in the form of EC2's.  A script that does not check the status writes it into its
#: files.
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


def error_reply(status: int) -> Reply:
    """Return an error reply in the form of EC2's."""
    page = _PAGE.format(status, http.HTTPStatus(status).phrase)
    return Reply(status, page.encode("ascii"), {"Content-Type": "text/html"})


class Handler(BaseHTTPRequestHandler):
    """Handler of one connection; tests override `reply` to misbehave."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "EC2ws", ""
    timeout = 60  # seconds before an idle connection is closed
    disable_nagle_algorithm = True
    wbufsize = 1 << 18  # one write for headers and body; two cost 40 ms (Nagle and delayed ACK)

    def do_request(self) -> None:
        """Read and discard the body, so that the next request can be parsed, and reply."""
        length = self.headers.get("Content-Length", "0")
        if not re.fullmatch("[0-9]{1,5}", length) or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self.reply(error_reply(400))
            return
        self.rfile.read(int(length))
        self.reply(self.server.respond(self.command, self.path.partition("?")[0], self.headers))

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Return `do_request` for `do_GET` and the others, which http.server calls by name."""
        if name.startswith("do_"):
            return self.do_request
        raise AttributeError(name)

    def reply(self, response: Reply) -> None:
        """Send a response."""
        self.send_response(response.status)
        for name, value in {
            "Content-Type": "text/plain",
            "Content-Length": str(len(response.body)),
            **response.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Log nothing: stderr belongs to the caller."""


class Server(ThreadingHTTPServer):
    """Server that listens on an IPv4 or IPv6 address as soon as it is created.

    The constructor raises OSError if it cannot listen.
    """

    request_queue_size = 128

    def __init__(self, host: str, port: int, respond: Respond, handler: type[Handler] = Handler) -> None:
        self.respond = respond
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def server_bind(self) -> None:
        """Bind without the reverse DNS lookup of http.server, which can hang."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that closed the connection; report other errors."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
