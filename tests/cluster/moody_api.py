"""A door before the real API server, for what it cannot be brought to say: 409, 429, and paths of
later versions.
"""

from __future__ import annotations

import http.client
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Optional

from tests.cluster.harness.control_plane import ControlPlane

#: What to answer instead of the server: status and body; None lets the request through.
Mood = Callable[[str, str], Optional[tuple[int, dict[str, Any]]]]


def status(code: int, reason: str, message: str, **details: Any) -> tuple[int, dict[str, Any]]:
    """A failure as the API tells it (kind Status)."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return code, {**body, "metadata": {}, "message": message, "details": details}


class MoodyApi:
    """Forwards as the administrator, and answers by itself when its mood says so; `seen` is what
    was asked.
    """

    def __init__(self, control_plane: ControlPlane, directory: Path) -> None:
        """Listen on loopback."""
        self.mood: Mood = lambda method, path: None
        self.seen: list[str] = []
        self._control_plane = control_plane
        door = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """One request."""

            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                code, content, kind = door._answer(self.command, self.path, body, dict(self.headers.items()))
                head = f"HTTP/1.1 {code} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
                head += "Retry-After: 1\r\n\r\n" if code == 429 else "\r\n"
                self.wfile.write(head.encode() + content)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _any  # noqa: N815 - http.server's names

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.kubeconfig = directory / "moody.kubeconfig"
        text = control_plane.kubeconfig_for("admin").read_text()
        self.kubeconfig.write_text(text.replace(control_plane.server, f"http://127.0.0.1:{self._server.server_port}"))

    def _answer(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str]:
        self.seen.append(f"{method} {path}")
        own = self.mood(method, path)
        if own is not None:
            return own[0], json.dumps(own[1]).encode(), "application/json"
        bed = self._control_plane
        context = ssl.create_default_context(cafile=str(bed.directory / "ca.crt"))
        connection = http.client.HTTPSConnection(bed.address, bed.port, context=context, timeout=30)
        kept = {key: value for key, value in headers.items() if key in ("Accept", "Content-Type")}
        connection.request(method, path, body, {**kept, "Authorization": f"Bearer {bed.tokens['admin']}"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content, answer.headers.get("Content-Type", "application/json")

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


@contextmanager
def moody_api(control_plane: ControlPlane, directory: Path) -> Iterator[MoodyApi]:
    """A door for one test."""
    door = MoodyApi(control_plane, directory)
    try:
        yield door
    finally:
        door.close()
