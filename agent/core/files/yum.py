"""yum.conf and dnf.conf: the one line `proxy=URL` in [main].

The value is bare: yum 3 keeps quotes and substitutes `$`; both read the key at column 0 (dnf.conf(5), yum.conf(5)).
"""

from __future__ import annotations

import re
from typing import List, Optional, Tuple

from agent.core.files.lines import split_lines

_HEADER = re.compile(rb"\[([^]]*)\]")
_PROXY = re.compile(rb"proxy[ \t]*[=:]", re.IGNORECASE)


def edit(current: Optional[bytes], url: str) -> bytes:
    """The file with exactly one `proxy=` in [main], where the first one stood, else right below the header.

    Other sections and other keys (proxy_username and its kind too) stay as they are; an absent [main] comes last.
    """
    ours = b"proxy=" + url.encode("ascii") + b"\n"
    lines = split_lines(current or b"")
    lines[-1:] = map(_ended, lines[-1:])
    kept, at = _without_proxy(lines)
    if at is None:
        at = _below_header(kept)
    if at is None:
        return b"".join(kept) + (b"\n" if kept else b"") + b"[main]\n" + ours
    return b"".join(kept[:at]) + ours + b"".join(kept[at:])


def leftovers(before: bytes) -> str:
    """What to say of proxy lines that were there: replaced ones, and ones that stand in other sections and stay."""
    lines = split_lines(before)
    count = sum(_marks(lines))
    return "%d lines with an earlier proxy in [main] are replaced" % count if count else ""


def without(current: Optional[bytes]) -> Optional[bytes]:
    """The file without any proxy in [main], whoever wrote it; None stays None."""
    return None if current is None else restore(current, None)


def restore(current: bytes, before: Optional[bytes]) -> bytes:
    """`current` with [main]'s proxy lines of `before` instead of ours: other people's edits stay."""
    kept, at = _without_proxy(split_lines(current))
    if at is None:
        return b"".join(kept)
    old = split_lines(before or b"")
    theirs = [line for line, marked in zip(old, _marks(old)) if marked]
    if kept[at:]:
        theirs[-1:] = map(_ended, theirs[-1:])
    restored = kept[:at] + theirs + kept[at:]
    return b"".join(restored if _main(old) is not None else _without_empty_main(restored))


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"


def _section(line: bytes) -> Optional[bytes]:
    match = _HEADER.match(line)
    return match.group(1) if match else None


def _main(lines: List[bytes]) -> Optional[int]:
    """The number of the line `[main]`."""
    return next((number for number, line in enumerate(lines) if _section(line) == b"main"), None)


def _nothing(line: bytes) -> bool:
    """Blank or a comment: it ends no value, a continuation line may come after it (Python's configparser)."""
    return line.strip()[:1] in (b"", b"#", b";")


def _indented(line: bytes) -> bool:
    return line[:1] in (b" ", b"\t") and not _nothing(line)


def _marks(lines: List[bytes]) -> List[bool]:
    """For each line whether it is a proxy setting of [main], continuation lines included."""
    marks: List[bool] = []
    section: Optional[bytes] = None
    inside = False
    for line in lines:
        section = _section(line) if _section(line) is not None else section
        if not (_nothing(line) or _indented(line)):
            inside = section == b"main" and bool(_PROXY.match(line))
        marks.append(inside and not _nothing(line))
    return marks


def _without_proxy(lines: List[bytes]) -> Tuple[List[bytes], Optional[int]]:
    """The lines without [main]'s proxy settings, and where the first of these stood."""
    marks = _marks(lines)
    return [line for line, ours in zip(lines, marks) if not ours], (marks.index(True) if True in marks else None)


def _below_header(lines: List[bytes]) -> Optional[int]:
    """Where a first line of [main] goes: below indented lines, which would else continue it."""
    header = _main(lines)
    if header is None:
        return None
    at = number = header + 1
    while number < len(lines) and (_nothing(lines[number]) or _indented(lines[number])):
        number += 1
        at = number if _indented(lines[number - 1]) else at
    return at


def _without_empty_main(lines: List[bytes]) -> List[bytes]:
    """The lines without the `[main]` that `edit` added, and the blank line above it; somebody may use it by now."""
    start = _main(lines) or 0
    end = next((number for number in range(start + 1, len(lines)) if _section(lines[number]) is not None), len(lines))
    if b"".join(lines[start + 1 : end]).strip():
        return lines
    return lines[: max(0, start - 1)] + lines[start + 1 :]
