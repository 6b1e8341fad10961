"""Metadata service (IMDSv2) as strict as EC2's: for the demo, and for tests of images.

Source: "Use the Instance Metadata Service" in the EC2 user guide (tokens, status codes,
X-Forwarded-For).
"""

from __future__ import annotations

import argparse
import base64
import re
import secrets
import signal
import sys
import threading
import time
from collections.abc import Sequence
from email.message import Message
from pathlib import Path
from typing import Callable

from agent.demo.http_server import Handler, Reply, Server, error_reply
from agent.demo.instance import Instance
from agent.demo.instance_tree import read_path
from agent.errors import AgentError, UsageError

_TTL = "X-aws-ec2-metadata-token-ttl-seconds"
_TOKEN = "X-aws-ec2-metadata-token"
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class MetadataService:
    """Context manager that serves `instance` at `endpoint`.

    `instance` may be assigned while it serves.  With a `file`, the instance is read from that JSON,
    and again whenever the file changes.  `enabled = False` responds 403 to everything, as an
    instance whose service is disabled does.  Port 0 takes any free port.  Raises AgentError if it
    cannot listen or the file is invalid.
    """

    handler = Handler

    def __init__(
        self,
        instance: Instance | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.enabled = True
        self._instance = instance or Instance()
        self._file, self._modified = file, -1
        self._clock = clock
        self._tokens: dict[str, float] = {}
        self._lock = threading.Lock()
        self._reread()
        address = f"[{host}]" if ":" in host else host
        try:
            self._server = Server(host, port, self.respond, self.handler)
        except OSError as error:
            raise AgentError(f"cannot listen on {address}:{port}: {error.strerror or error}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.endpoint = f"http://{address}:{self._server.server_address[1]}"

    def __enter__(self) -> MetadataService:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def instance(self) -> Instance:
        """The instance that is served now."""
        with self._lock:
            try:
                self._reread()
            except AgentError as error:  # an editor may be saving it: keep the last valid instance
                print(error, file=sys.stderr)
            return self._instance

    @instance.setter
    def instance(self, instance: Instance) -> None:
        with self._lock:
            self._instance = instance

    def _reread(self) -> None:
        if self._file is None:
            return
        try:
            modified = self._file.stat().st_mtime_ns
            if modified != self._modified:
                self._modified = modified
                self._instance = Instance.from_json(self._file.read_text(encoding="utf-8"), str(self._file))
        except (OSError, UnicodeDecodeError) as error:
            raise AgentError(f"{self._file}: {getattr(error, 'strerror', None) or error}") from None

    def respond(self, method: str, path: str, headers: Message) -> Reply:
        """Return the response to one request."""
        if not self.enabled or "X-Forwarded-For" in headers:
            return error_reply(403)
        if method == "PUT":
            return self._new_token(headers.get(_TTL, "")) if path == "/latest/api/token" else error_reply(403)
        if method != "GET" or path == "/latest/api/token":
            return error_reply(405)
        with self._lock:
            expires = self._tokens.get(headers.get(_TOKEN, ""))
        if expires is None or self._clock() >= expires:
            return error_reply(401)
        body = read_path(self.instance, path)
        return error_reply(404) if body is None else Reply(200, body)

    def _new_token(self, ttl: str) -> Reply:
        if not re.fullmatch("[0-9]{1,5}", ttl) or not 1 <= int(ttl) <= 21600:
            return error_reply(400)
        token = base64.b64encode(secrets.token_bytes(40)).decode("ascii")
        now = self._clock()
        with self._lock:
            self._tokens = {other: expires for other, expires in self._tokens.items() if expires > now}
            self._tokens[token] = now + int(ttl)
        return Reply(200, token.encode("ascii"), {_TTL: ttl})


def parse_address(text: str) -> tuple[str, int]:
    """Split `127.0.0.1:1338` or `[::1]:1338` into address and port; raise UsageError."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]\s]+)):([0-9]{1,5})", text)
    if match is None or int(match.group(3)) > 65535:
        raise UsageError(f"{text!r} is not ADDRESS:PORT", hint="examples: 127.0.0.1:1338, [::1]:1338")
    return match.group(1) or match.group(2), int(match.group(3))


def serve(address: str, instance_file: str | None = None, *, late: float = 0) -> int:
    """Serve at ADDRESS:PORT until SIGTERM or SIGINT, and return the exit code.

    One line on stdout names the endpoint as soon as it listens.  It waits `late` seconds first, for
    tests of a network that comes up late.  Raises UsageError for an invalid address, and AgentError
    for an invalid file or an address in use.
    """
    host, port = parse_address(address)
    # Before any thread starts, so that all threads inherit it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        if late and signal.sigtimedwait(_STOP_SIGNALS, late) is not None:
            return 0
        with MetadataService(host=host, port=port, file=Path(instance_file) if instance_file else None) as service:
            print(f"metadata service (IMDSv2) at {service.endpoint}", flush=True)
            signal.sigwait(_STOP_SIGNALS)
        return 0
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `serve` as `python -m agent.demo.metadata_service`, for tests."""
    parser = argparse.ArgumentParser(prog="metadata_service", description=__doc__)
    parser.add_argument("address", metavar="ADDRESS:PORT")
    parser.add_argument("--instance", metavar="FILE")
    parser.add_argument("--late", metavar="SECONDS", type=float, default=0)
    options = parser.parse_args(argv)
    try:
        return serve(options.address, options.instance, late=options.late)
    except AgentError as error:
        print("\n".join(filter(None, (str(error), error.hint))), file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
