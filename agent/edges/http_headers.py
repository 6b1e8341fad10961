"""HTTP response headers that cost little to read, whatever the server sends.

http.client hands header lines to Python's email package.  That package takes quadratic time for
the parameters of Content-Type, and raises TypeError for some pieces of `boundary` (RFC 2231).
"""

from __future__ import annotations

import http.client
from typing import Any, BinaryIO

#: Status line and headers together, responses with status 1xx included (bytes, lines).
LIMIT = 16 * 1024
_LINES = 100


class BoundedResponse(http.client.HTTPResponse):
    """An HTTPResponse with at most LIMIT bytes of headers, and a Content-Type without parameters.

    Raises http.client.HTTPException for more.
    """

    #: Names of the headers that are kept, in lower case; None for all.
    kept: frozenset[bytes] | None = None

    def begin(self) -> None:
        """Read status line and headers."""
        stream = self.fp
        lines: Any = _HeaderLines(stream, self.kept)
        self.fp = lines
        try:
            super().begin()
        finally:
            if self.fp is lines:  # not closed because of an error
                self.fp = stream


class _HeaderLines:
    """Status line and those headers that are kept; http.client reads them by `readline`."""

    def __init__(self, stream: BinaryIO, kept: frozenset[bytes] | None) -> None:
        self._stream, self._kept = stream, kept
        self._size = self._count = 0
        self._is_status, self._is_dropped = True, False

    def close(self) -> None:
        self._stream.close()

    def readline(self, size: int = -1) -> bytes:
        while True:
            line = self._stream.readline(size)
            self._size += len(line)
            self._count += 1
            if self._size > LIMIT or self._count > _LINES:
                raise http.client.HTTPException(f"headers exceed {LIMIT} bytes or {_LINES} lines")
            if self._is_status or not line.strip(b"\r\n"):
                self._is_status, self._is_dropped = not self._is_status, False
                return line
            line = self._read(line)
            if line:
                return line

    def _read(self, line: bytes) -> bytes:
        """Return the line as http.client may see it; b"" for a header that is dropped."""
        if line[:1] in (b" ", b"\t"):  # continues the header before
            return b"" if self._is_dropped else line
        name, _, value = line.partition(b":")
        name = name.lower()
        self._is_dropped = self._kept is not None and name not in self._kept
        if self._is_dropped:
            return b""
        if name == b"content-type":
            self._is_dropped = True  # its continuation holds parameters
            return name + b":" + value.partition(b";")[0].rstrip() + b"\r\n"
        return line
