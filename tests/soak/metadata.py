"""A metadata service that misbehaves as a file says: 404, 500, slow, closed, garbage.

The file is read for each request, so the soak changes the behaviour by writing it.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path
from typing import Callable

from agent.demo.http_server import Handler, Reply, error_reply
from agent.demo.metadata_service import MetadataService

#: Seconds of a response that is late but in time, and of one that comes after every limit.
LATE, TOO_LATE = 0.1, 4.0


def late(handler: Misbehaving, response: Reply, seconds: float = LATE) -> None:
    """Respond after a while."""
    time.sleep(seconds)
    handler.respond_well(response)


def closed(handler: Misbehaving, response: Reply) -> None:
    """Close the connection without a byte."""
    handler.close_connection = True


def garbage(handler: Misbehaving, response: Reply) -> None:
    """Send bytes that are not HTTP."""
    handler.wfile.write(random.randbytes(600))
    handler.wfile.flush()
    handler.close_connection = True


def truncated(handler: Misbehaving, response: Reply) -> None:
    """Promise more bytes than are sent."""
    headers = {**response.headers, "Content-Length": str(len(response.body) + 100)}
    handler.respond_well(Reply(response.status, response.body, headers))
    handler.close_connection = True


def flapping(handler: Misbehaving, response: Reply) -> None:
    """Respond well, badly or late, at random."""
    name = random.choice(["well"] * 5 + ["500", "503", "429", "404", "late", "closed", "truncated"])
    MODES[name](handler, response)


def status(code: int) -> Mode:
    """Return the mode that responds with this status."""
    return lambda handler, response: handler.respond_well(error_reply(code))


#: A page with status 200, as a captive portal sends.
PAGE = Reply(200, b"<html><body>Welcome!</body></html>\n", {"Content-Type": "text/html"})

MODES: dict[str, Mode] = {
    "well": lambda handler, response: handler.respond_well(response),
    "404": status(404),
    "403": status(403),
    "429": status(429),
    "500": status(500),
    "503": status(503),
    "late": late,
    "too late": lambda handler, response: late(handler, response, TOO_LATE),
    "closed": closed,
    "garbage": garbage,
    "page": lambda handler, response: handler.respond_well(PAGE),
    "empty": lambda handler, response: handler.respond_well(Reply(200, b"")),
    "truncated": truncated,
    "flapping": flapping,
}


class Misbehaving(Handler):
    """Handler whose mode is the content of a file."""

    mode_file: Path

    def respond_well(self, response: Reply) -> None:
        """Send a response as it is."""
        super().reply(response)

    def reply(self, response: Reply) -> None:
        """Send the response that the mode makes of this one."""
        MODES[self.mode_file.read_text().strip()](self, response)


class Service(MetadataService):
    """The metadata service with that handler."""

    handler = Misbehaving


Mode = Callable[[Misbehaving, Reply], None]


def main(host: str, instance: str, mode: str) -> None:
    """Serve on port 80 until SIGTERM."""
    Misbehaving.mode_file = Path(mode)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # before any thread starts
    with Service(host=host, port=80, file=Path(instance)):
        signal.sigwait([signal.SIGTERM])


if __name__ == "__main__":
    main(*sys.argv[1:])
