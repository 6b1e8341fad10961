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

_TYPE = re.compile(r"\s*[^\s;/]+/[^\s;/]+\s*(?:;|\Z)")


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
    if not _TYPE.match(content_type):
        reason = "the first line is not a header" if not text[:1].strip() else "no Content-Type in the header"
        raise NotMultipartError(reason)
    if not media_type(content_type).startswith("multipart/"):
        raise NotMultipartError("a single part, not a multipart")
    boundary, _ = read_boundary(content_type)
    places = list(divide(text, body, len(text), boundary))
    if places[0][0] is Place.UNDIVIDED:
        raise NoBoundaryError("no line is the boundary of the header")
    if places[-1][0] is not Place.EPILOGUE:
        raise ValueError("the closing line is missing")
    return tuple(_part(text, begin, end) for place, begin, end in places if place is Place.PART)


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
