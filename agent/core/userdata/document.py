"""User data as a file has it, and what is wrong with it.  Pure."""

from __future__ import annotations

from agent.core.record import record
from agent.core.settings.unpack import DamagedError, unpack
from agent.core.settings.user_data import LIMIT

_GZIP = b"\x1f\x8b"


@record
class Document:
    """User data: `raw`, and `text` without the `wrapping` around it ("gzip", "base64" or "")."""

    raw: bytes
    text: bytes
    wrapping: str = ""


@record
class Fault:
    """One fault of user data.

    `rule` names its kind.  `line` is that of the text without wrapping; `part` and `line` are 0 if
    it is not in one.  `text` is the consequence, `remedy` what to write.
    """

    rule: str
    text: str
    remedy: str = ""
    part: int = 0
    line: int = 0


@record
class Treatment:
    """Treatment of user data by one reader, or of one `part` of it (0: of all)."""

    reader: str
    text: str
    part: int = 0
    type: str = ""


def document_of(raw: bytes) -> Document:
    """Return the user data without base64 and gzip, as cloud-init on Amazon Linux undoes them.

    Raises ValueError if it is too large or damaged.
    """
    try:
        text = unpack(raw, LIMIT)
    except DamagedError:
        raise
    except ValueError:
        raise ValueError(f"longer than {LIMIT // 1024} KiB unpacked") from None
    wrapping = "" if text == raw else "gzip" if raw.startswith(_GZIP) else "base64"
    return Document(raw, text, wrapping)


def line_at(text: bytes, offset: int) -> int:
    """Return the number of the line that has byte `offset`."""
    return text.count(b"\n", 0, offset) + 1
