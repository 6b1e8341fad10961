"""The system calls of a command on the files of a tree, and the faults that each can have."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

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
#: before the next change leaves.
FAULTS = {
    "SIGKILL": rf"{_CREATES}|{_ALTERS}|{_STORES}",
    "ENOSPC": rf"{_CREATES}|{_STORES}|{_CLOSES_NEW}",
    "EDQUOT": rf"{_CREATES}|{_STORES}|{_CLOSES_NEW}",
    "EROFS": rf"{_CREATES}|{_ALTERS}",
    "EIO": rf"(?!{_HARMLESS})",
    "EMFILE": "open",
    "EACCES": rf"{_LOOKS}|{_CREATES}|{_ALTERS}|flock",
}


@attrs.frozen
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


def fault_options(log: Path, point: Point, fault: str) -> list[str]:
    """Return the options of strace for a fault at a point."""
    action = "signal=KILL" if fault == "SIGKILL" else "error=" + fault
    inject = f"inject={point.call}:{action}:when={point.number}"
    return ["-y", "-s0", "-o", str(log), "-e", "trace=" + point.call, "-e", inject]


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

    The trace has only calls of this name.
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
