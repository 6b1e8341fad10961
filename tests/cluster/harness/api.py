"""The Kubernetes API without kubectl, for what the bed does often: a client of one connection."""

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
    """An answer other than 2xx."""

    def __init__(self, status: int, text: str) -> None:
        """Take the HTTP status and the body."""
        super().__init__(f"{status}: {text}")
        self.status = status


class Api:
    """One connection with one user's token; not for two threads at once."""

    def __init__(self, address: str, port: int, authority: Path, token: str) -> None:
        """Nothing is sent yet."""
        context = ssl.create_default_context(cafile=str(authority))
        self._connection = http.client.HTTPSConnection(address, port, context=context, timeout=30)
        self._token = token

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """The decoded answer; raises ApiError for any that is no success."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind, "Accept": "application/json"}
        content = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, content, headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (http.client.HTTPException, OSError):
            self._connection.close()  # the next call opens it anew
            raise
        if answer.status >= 300:
            raise ApiError(answer.status, text.decode(errors="replace"))
        return json.loads(text)

    def get(self, path: str) -> Any:
        """The object or list at a path."""
        return self.call("GET", path)

    def create(self, path: str, body: dict[str, Any]) -> Any:
        """The object as the server stored it."""
        return self.call("POST", path, body)

    def patch(self, path: str, body: dict[str, Any], kind: str = "merge") -> Any:
        """The object after a merge patch or a strategic one."""
        return self.call("PATCH", path, body, PATCHES[kind])

    def delete(self, path: str, grace: int | None = None) -> None:
        """Delete it; no harm when it is gone already."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": grace}
        try:
            self.call("DELETE", path, None if grace is None else body)
        except ApiError as error:
            if error.status != 404:
                raise

    def pages(self, path: str, limit: int = 500) -> Iterator[list[dict[str, Any]]]:
        """The items of a list, page after page."""
        more = ""
        while True:
            answer = self.get(f"{path}?limit={limit}{more}")
            yield answer["items"]
            if not answer["metadata"].get("continue"):
                return
            more = f"&continue={answer['metadata']['continue']}"
