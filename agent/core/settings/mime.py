"""MIME messages of user data: their parts, in linear time and within limits.  Pure.

Anyone who may launch an instance writes user data.  Python's email package needs levels times lines
for nested parts and quadratic time for the parameters of a header, and raises TypeError for some
pieces of `boundary` (RFC 2231).  So messages are read here: RFC 2045 and 2046, as cloud-init (that
package) and nodeadm (Go's mime/multipart) agree on them.
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
from collections.abc import Iterator

from agent.core.net.proxy_url import quoted
from agent.core.record import field, record

#: Limits of one message; MIME itself has none but for the boundary (70 characters, RFC 2046).
MAX_PARTS = 32
MAX_LEVELS = 4
_MAX_BOUNDARY = 200

_HEADER = re.compile(rb"([!-9;-~]+):([^\n]*(?:\n[ \t][^\n]*)*)(?:\n|\Z)")
_BLANK = re.compile(rb"\r?(?:\n|\Z)")
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)', re.DOTALL)
_TYPE = re.compile(r"[^/\s]+/[^/\s]+")


class Place(enum.Enum):
    """Position of a text in a message."""

    PART = "part"
    PREAMBLE = "before the first part"
    EPILOGUE = "after the closing line"
    UNDIVIDED = "multipart in which the boundary does not occur"


@record
class Part:
    """One text of a message: a part, or what stands outside of parts.

    `declared` is the Content-Type without parameters, in lower case, "" without that header.
    Outside of parts it is that of the multipart, and `boundary` is its boundary.  `body` is as it
    was transferred, in `encoding`; it begins at byte `offset`.  `problem` says why a multipart was
    not divided, if it is not just that the boundary does not occur.
    """

    declared: str
    body: bytes = field(repr=False)
    offset: int
    encoding: str = ""
    place: Place = Place.PART
    boundary: str = ""
    problem: str = ""

    @property
    def type(self) -> str:
        """Return the type as MIME readers take it: text/plain if it is not TYPE/SUBTYPE."""
        return self.declared if _TYPE.fullmatch(self.declared) else "text/plain"


def read_message(data: bytes, start: int = 0) -> tuple[Part, ...]:
    """Return the texts of the message that begins at byte `start`, in their order.

    Raises ValueError, with the limit, for too many parts or levels.
    """
    parts: list[Part] = []
    count = 0
    for part in _entity(data, start, len(data), 1):
        count += part.place in (Place.PART, Place.UNDIVIDED)
        if count > MAX_PARTS:
            raise ValueError(f"more than {MAX_PARTS} MIME parts")
        parts.append(part)
    return tuple(parts)


def decoded(part: Part) -> bytes:
    """Return the body of a part as it was before its transfer.  Raises ValueError."""
    if part.encoding == "base64":
        try:
            return base64.b64decode(part.body.translate(None, b" \t\r\n"), validate=True)
        except binascii.Error:
            raise ValueError("invalid base64") from None
    if part.encoding == "quoted-printable":
        return binascii.a2b_qp(part.body)
    if part.encoding not in ("", "7bit", "8bit", "binary"):
        raise ValueError(f"Content-Transfer-Encoding {quoted(part.encoding)} is not supported; write base64")
    return part.body


def _entity(data: bytes, start: int, end: int, level: int) -> Iterator[Part]:
    """Yield the texts of the message or part, headers included, from `start` to `end`."""
    headers, body = read_headers(data, start, end)
    content_type = headers.get(b"content-type", "")
    declared = content_type.partition(";")[0].strip().lower()
    kind = declared.partition("/")[0] if _TYPE.fullmatch(declared) else ""
    if kind in ("multipart", "message") and level > MAX_LEVELS:
        raise ValueError(f"MIME parts nested more than {MAX_LEVELS} levels deep")
    if kind == "multipart":
        yield from _multipart(data, body, end, level, declared, content_type)
    elif kind == "message":
        yield from _entity(data, body, end, level + 1)
    else:
        encoding = headers.get(b"content-transfer-encoding", "").strip().lower()
        yield Part(declared, data[body:end], body, encoding)


def read_headers(data: bytes, start: int, end: int) -> tuple[dict[bytes, str], int]:
    """Return the headers that matter, the first of each name, and where the body begins."""
    headers: dict[bytes, str] = {}
    while True:
        match = _HEADER.match(data, start, end)
        if match is None:
            break
        start = match.end()
        name = match[1].lower()
        if name in (b"content-type", b"content-transfer-encoding"):
            headers.setdefault(name, match[2].decode("latin-1").replace("\r", "").replace("\n", ""))
    separator = _BLANK.match(data, start, end)
    return headers, separator.end() if separator else start


def _multipart(data: bytes, start: int, end: int, level: int, declared: str, content_type: str) -> Iterator[Part]:
    """Yield what a multipart holds, from its body's `start` to its `end`."""
    boundary, problem = read_boundary(content_type)
    for place, begin, stop in divide(data, start, end, boundary):
        if place is Place.PART:
            yield from _entity(data, begin, stop, level + 1)
        else:
            yield Part(declared, data[begin:stop], begin, place=place, boundary=boundary, problem=problem)


def read_boundary(content_type: str) -> tuple[str, str]:
    """Return the boundary, "" if there is none, and what is wrong with it."""
    problem = ""
    for name, value in _PARAMETER.findall(content_type):
        if name.lower() == "boundary":
            value = value.strip()
            if re.fullmatch('".*"', value, re.DOTALL):
                value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
            if len(value) <= _MAX_BOUNDARY:
                return value.rstrip(), ""
            problem = f"a boundary of {len(value)} characters is not supported; write one of at most 70"
        elif name.lower().startswith("boundary*"):
            problem = 'a boundary in pieces (RFC 2231, boundary*) is not supported; write boundary="BOUNDARY"'
    return "", problem


def divide(data: bytes, start: int, end: int, boundary: str) -> Iterator[tuple[Place, int, int]]:
    """Yield place, begin and end of what the boundary divides a body into.

    After the closing line there is an epilogue, empty or not.
    """
    begin = None
    delimiter = re.compile(rb"^--" + re.escape(boundary.encode("latin-1")) + rb"(--)?[ \t]*\r?$", re.MULTILINE)
    for match in delimiter.finditer(data, start, end) if boundary else ():
        if begin is not None:
            yield Place.PART, begin, _without_newline(data, begin, match.start())
        elif match[1]:
            break
        else:
            yield Place.PREAMBLE, start, match.start()
        begin = min(match.end() + 1, end)
        if match[1]:
            yield Place.EPILOGUE, begin, end
            return
    if begin is None:
        yield Place.UNDIVIDED, start, end
    else:
        yield Place.PART, begin, end


def _without_newline(data: bytes, begin: int, end: int) -> int:
    """Return where a part ends: the newline before a boundary is part of it (RFC 2046)."""
    for newline in (b"\r\n", b"\n"):
        if data.endswith(newline, begin, end):
            return end - len(newline)
    return end
