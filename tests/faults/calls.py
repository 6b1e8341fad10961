"""The system calls of a command on the files of a tree, and the faults that each can have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from agent.core.record import record

TRACED = "%file,%desc"
_LINE = re.compile(r"(\w+)\((.*)\) += ")
_CREATES = r"open\w*\(.*O_CREAT|mkdir|rename|link\(|linkat\(|symlink|f?setxattr"
_ALTERS = r"unlink|rmdir|f?chmod|f?chown|f?truncate|utime|f?removexattr"
_STORES = r"p?write|fsync|fdatasync"
_LOOKS = r"open|new\w*stat|stat|lstat|statx|readlink|access|\w*xattr|getdents"
_CLOSES_NEW = r"close\(\d+<[^>]*\.eks-proxy-agent>"
#: Calls without a fault: they concern the descriptor only, and close(2) of what was only read
#: cannot fail.
_HARMLESS = rf"ioctl|fcntl|lseek|mmap|dup|(?!{_CLOSES_NEW})close"
#: The calls that can have each fault.  A kill before a call that changes nothing leaves what a kill
#: before the next change leaves.  A fault with a + lasts: the call and all later ones have it.  It
#: has no write(2), which could not report it, and no open(2) unless that fails for reading too.
FAULTS = {
    "SIGKILL": rf"{_CREATES}|{_ALTERS}|{_STORES}",
    "ENOSPC": rf"{_CREATES}|{_STORES}|{_CLOSES_NEW}",
    "EDQUOT": rf"{_CREATES}|{_STORES}|{_CLOSES_NEW}",
    "EROFS": rf"{_CREATES}|{_ALTERS}",
    "EIO": rf"(?!{_HARMLESS})",
    "EMFILE": "open",
    "EACCES": rf"{_LOOKS}|{_CREATES}|{_ALTERS}|flock",
    "ENOSPC+": r"mkdir|rename|symlink|f?setxattr|fsync",
    "EROFS+": rf"mkdir|rename|symlink|f?setxattr|{_ALTERS}",
    "EIO+": rf"(?!{_HARMLESS}|p?write|close)",
    "EMFILE+": "open",
}


@record
class Point:
    """A call: its name, its number among those of this name, its text with paths of the node."""

    call: str
    number: int
    text: str

    def can_have(self, fault: str) -> bool:
        """Return True if the kernel can return this error for the call."""
        return re.match(FAULTS[fault], self.text) is not None


def trace_options(log: Path) -> list[str]:
    """Return the options of strace that record all calls."""
    return ["-y", "-s0", "-o", str(log), "-e", "trace=" + TRACED]


def opens(log: str, root: Path) -> list[Point]:
    """Return the calls of openat(2) in a trace that do not concern the root."""
    lines = [line for line in log.splitlines() if line.startswith("openat(")]
    return [Point("openat", number + 1, line) for number, line in enumerate(lines) if not _concerns(line, root)]


def fault_options(log: Path, fault: str, hit_points: Sequence[Point]) -> list[str]:
    """Return the options of strace for a fault at a point, or from several on if it lasts."""
    name = fault.rstrip("+")
    action = "signal=KILL" if name == "SIGKILL" else "error=" + name
    options = ["-y", "-s0", "-o", str(log), "-e", "trace=" + ",".join(point.call for point in hit_points)]
    for point in hit_points:
        when = f"{point.number}+" if fault != name else str(point.number)
        options += ["-e", f"inject={point.call}:{action}:when={when}"]
    return options


def points(log: str, root: Path) -> list[Point]:
    """Return the calls of a trace on files below the root."""
    counts: dict[str, int] = {}
    result = []
    for line in log.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        name = match.group(1)
        counts[name] = counts.get(name, 0) + 1
        if _concerns(line, root):
            result.append(Point(name, counts[name], _text(line, root)))
    return result


def hit(log: str, point: Point, root: Path) -> str:
    """Return the call that a fault hit, empty if it was the one of this point.

    The trace has all calls of this name.
    """
    lines = [line for line in log.splitlines() if line.startswith(point.call + "(")]
    if len(lines) < point.number:
        return f"only {len(lines)} calls"
    line = lines[point.number - 1]
    return "" if _paths(_text(line, root)) == _paths(point.text) else line


def _concerns(line: str, root: Path) -> bool:
    return f"{root}/" in line or f"{root}>" in line or f'{root}"' in line


def _text(line: str, root: Path) -> str:
    """Return a call without its result, with paths of the node."""
    return re.sub(r"\)? += .*", "", line).replace(str(root), "")


def _paths(text: str) -> list[str]:
    return re.findall(r'<[^>]*>|"[^"]+"', text.replace('""', ""))
