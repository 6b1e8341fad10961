"""yum.conf and dnf.conf: the one line `proxy=URL` in [main].

The value is bare: yum 3 keeps quotes and substitutes `$`; both read the key at column 0 (dnf.conf(5), yum.conf(5)).
"""

from __future__ import annotations

import re
from typing import List, Optional, Tuple

from agent.core.files.lines import split_lines

_HEADER = re.compile(rb"\[([^]]*)\]")
_PROXY = re.compile(rb"proxy[ \t]*[=:]", re.IGNORECASE)
_CONTINUED = re.compile(rb"[ \t]+[^ \t\r\n#;]")


def edit(current: Optional[bytes], url: str) -> bytes:
    """The file with exactly one `proxy=` in [main], where the first one stood, else right below the header.

    Other sections and other keys (proxy_username and its kind too) stay as they are; an absent [main] comes last.
    """
    ours = b"proxy=" + url.encode("ascii") + b"\n"
    lines = split_lines(current or b"")
    if lines and not lines[-1].endswith(b"\n"):
        lines[-1] += b"\n"
    kept, at = _without_proxy(lines)
    if at is None:
        at = next((number + 1 for number, line in enumerate(kept) if _section(line) == b"main"), None)
    if at is None:
        return b"".join(kept) + (b"\n" if kept and kept[-1].strip() else b"") + b"[main]\n" + ours
    return b"".join(kept[:at]) + ours + b"".join(kept[at:])


def restore(current: bytes, before: Optional[bytes]) -> bytes:
    """`current` with [main]'s proxy lines of `before` instead of ours: other people's edits stay."""
    kept, at = _without_proxy(split_lines(current))
    theirs = _proxy_lines(split_lines(before or b""))
    if at is None:
        return b"".join(kept)
    if before is None and not b"".join(kept[:at] + kept[at:]).replace(b"[main]", b"").strip():
        return b""
    return b"".join(kept[:at] + theirs + kept[at:])


def _section(line: bytes) -> Optional[bytes]:
    match = _HEADER.match(line)
    return match.group(1).strip() if match else None


def _marks(lines: List[bytes]) -> List[bool]:
    """For each line whether it is a proxy setting of [main], continuation lines included."""
    marks: List[bool] = []
    section: Optional[bytes] = None
    for line in lines:
        section = _section(line) if _section(line) is not None else section
        continued = bool(marks and marks[-1] and _CONTINUED.match(line))
        marks.append(continued or (section == b"main" and bool(_PROXY.match(line))))
    return marks


def _without_proxy(lines: List[bytes]) -> Tuple[List[bytes], Optional[int]]:
    """The lines without [main]'s proxy settings, and where the first of these stood."""
    marks = _marks(lines)
    return [line for line, ours in zip(lines, marks) if not ours], (marks.index(True) if True in marks else None)


def _proxy_lines(lines: List[bytes]) -> List[bytes]:
    return [line for line, ours in zip(lines, _marks(lines)) if ours]
