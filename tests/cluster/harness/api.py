"""Client of the Kubernetes API with one connection, for frequent requests of the bed."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.boot.harness.command import BedError

PATCHES = {"merge": "application/merge-patch+json", "strategic": "application/strategic-merge-patch+json"}


class ApiError(BedError):
    """Response other than 2xx."""

    def __init__(self, status: int, text: str) -> None:
        """Take the HTTP status and the body."""
        super().__init__(f"{status}: {text}")
        self.status = status


class Api:
    """One connection with one user's token; not thread-safe."""

    def __init__(self, address: str, port: int, authority: Path, token: str) -> None:
        """Prepare the connection without sending anything."""
        context = ssl.create_default_context(cafile=str(authority))
        self._connection = http.client.HTTPSConnection(address, port, context=context, timeout=30)
        self._token = token

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """Return the decoded response; raises ApiError unless the status is 2xx."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind, "Accept": "application/json"}
        content = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, content, headers)
            response = self._connection.getresponse()
            text = response.read()
        except (http.client.HTTPException, OSError):
            self._connection.close()  # the next call opens it again
            raise
        if response.status >= 300:
            raise ApiError(response.status, text.decode(errors="replace"))
        return json.loads(text)

    def get(self, path: str) -> Any:
        """Return the object or list at a path."""
        return self.call("GET", path)

    def create(self, path: str, body: dict[str, Any]) -> Any:
        """Create an object, and return it as the server stored it."""
        return self.call("POST", path, body)

    def patch(self, path: str, body: dict[str, Any], kind: str = "merge") -> Any:
        """Return the object after a merge patch or a strategic merge patch."""
        return self.call("PATCH", path, body, PATCHES[kind])

    def delete(self, path: str, grace: int | None = None) -> None:
        """Delete an object, if it still exists."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": grace}
        try:
            self.call("DELETE", path, None if grace is None else body)
        except ApiError as error:
            if error.status != 404:
                raise

    def pages(self, path: str, limit: int = 500) -> Iterator[list[dict[str, Any]]]:
        """Yield the items of a list, page after page."""
        query = ""
        while True:
            page = self.get(f"{path}?limit={limit}{query}")
            yield page["items"]
            if not page["metadata"].get("continue"):
                return
            query = f"&continue={page['metadata']['continue']}"
