"""MIME messages as Go reads them, which nodeadm and Karpenter do.  Pure.

Source: net/mail (ReadMessage), mime (ParseMediaType) and mime/multipart (Reader.NextPart) of Go.  A
nested multipart is one part.  A boundary that does not occur, and a missing closing line, are
errors; a test compares with Go.
"""

from __future__ import annotations

import binascii
import re

from agent.core.record import record
from agent.core.settings.mime import Place, divide, read_boundary, read_headers

#: A media type with its parameters, of tokens and quoted strings (RFC 2045), and nothing else.
_TOKEN = r"[!#-'*+.0-9A-Z^_`a-z{|}~-]+"
_PARAMETER = rf'\s*;\s*{_TOKEN}\s*=\s*(?:{_TOKEN}|"(?:[^"\\]|\\.)*")'
_TYPE = re.compile(rf"\s*{_TOKEN}/{_TOKEN}(?:{_PARAMETER})*\s*;?\s*", re.DOTALL)


#: The end of a header.
_BLANK_LINE = re.compile(rb"(?:\A|\n)\r?\n\Z")


@record
class GoPart:
    """One part: its Content-Type as it stands, the media type in lower case, its content."""

    content_type: str
    media_type: str
    content: bytes
    offset: int
    encoding: str = ""


class NotMultipartError(ValueError):
    """Text that is not a multipart; the caller may read it as something else."""


class NoBoundaryError(ValueError):
    """Multipart in which the boundary does not occur."""


def multipart_of(text: bytes) -> tuple[GoPart, ...]:
    """Return the parts.  Raises NotMultipartError, NoBoundaryError or ValueError."""
    if text[:1] in (b" ", b"\t"):
        raise NotMultipartError("the first line of the header is indented")
    headers, body = read_headers(text, 0, len(text))
    content_type = headers.get(b"content-type", "")
    if not _BLANK_LINE.search(text[:body]) and text[body:]:
        raise NotMultipartError("the header has a line that is not NAME: VALUE")
    if not _TYPE.fullmatch(content_type):
        reason = "the first line is not a header" if not text[:1].strip() else "no Content-Type in the header"
        raise NotMultipartError(reason)
    if not media_type(content_type).startswith("multipart/"):
        raise NotMultipartError("a single part, not a multipart")
    boundary, _ = read_boundary(content_type)
    if not boundary:
        raise ValueError("the header has no boundary")
    return _divided(text, body, boundary)


def _divided(text: bytes, body: int, boundary: str) -> tuple[GoPart, ...]:
    """Return the parts; a boundary line at the very end is as good as the closing line."""
    first = re.compile(rb"^--" + re.escape(boundary.encode("latin-1")) + rb"[ \t]*\r?$", re.MULTILINE).search(
        text, body
    )
    if first is None:
        raise NoBoundaryError("no line is the boundary of the header")
    places = list(divide(text, first.start(), len(text), boundary))
    place, begin, _ = places[-1]
    if place is not Place.EPILOGUE and begin < len(text):
        raise ValueError("the closing line is missing")
    return tuple(_part(text, begin, end) for place, begin, end in places if place is Place.PART and begin < len(text))


def media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _part(text: bytes, begin: int, end: int) -> GoPart:
    headers, body = read_headers(text, begin, end)
    content_type = headers.get(b"content-type", "").strip()
    encoding = headers.get(b"content-transfer-encoding", "").strip().lower()
    content = text[body:end]
    if encoding == "quoted-printable":  # the only one that multipart.Reader undoes
        content = binascii.a2b_qp(content)
    return GoPart(content_type, media_type(content_type), content, body, encoding)
