"""A proxy in front of the real API server, which injects responses that it cannot be made to give.

These are 409, 429, and paths of later versions.
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

#: Method and path → the status and body to return, or None to forward the request.
Fault = Callable[[str, str], Optional[tuple[int, dict[str, Any]]]]


def status(code: int, reason: str, message: str, **details: Any) -> tuple[int, dict[str, Any]]:
    """Return a failure as the API returns it (kind Status)."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return code, {**body, "metadata": {}, "message": message, "details": details}


class ApiProxy:
    """Proxy that forwards requests as the administrator, unless `fault` returns a response.

    `requests` are all requests that it received.
    """

    def __init__(self, control_plane: ControlPlane, directory: Path) -> None:
        """Listen on loopback."""
        self.fault: Fault = lambda method, path: None
        self.requests: list[str] = []
        self._control_plane = control_plane
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Handler of one request."""

            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                code, content, kind = proxy._respond(self.command, self.path, body, dict(self.headers.items()))
                head = f"HTTP/1.1 {code} OK\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
                head += "Retry-After: 1\r\n\r\n" if code == 429 else "\r\n"
                self.wfile.write(head.encode() + content)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _any  # noqa: N815 - http.server's names

            def log_message(self, *arguments: Any) -> None:
                """Log nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.kubeconfig = directory / "proxy.kubeconfig"
        text = control_plane.kubeconfig_for("admin").read_text()
        self.kubeconfig.write_text(text.replace(control_plane.server, f"http://127.0.0.1:{self._server.server_port}"))

    def _respond(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str]:
        self.requests.append(f"{method} {path}")
        injected = self.fault(method, path)
        if injected is not None:
            return injected[0], json.dumps(injected[1]).encode(), "application/json"
        bed = self._control_plane
        context = ssl.create_default_context(cafile=str(bed.directory / "ca.crt"))
        connection = http.client.HTTPSConnection(bed.address, bed.port, context=context, timeout=30)
        forwarded = {key: value for key, value in headers.items() if key in ("Accept", "Content-Type")}
        connection.request(method, path, body, {**forwarded, "Authorization": f"Bearer {bed.tokens['admin']}"})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, content, response.headers.get("Content-Type", "application/json")

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


@contextmanager
def api_proxy(control_plane: ControlPlane, directory: Path) -> Iterator[ApiProxy]:
    """Run a proxy for one test."""
    proxy = ApiProxy(control_plane, directory)
    try:
        yield proxy
    finally:
        proxy.close()
