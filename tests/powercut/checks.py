"""What must be true of the disk after a power cut, after the next boot, and after a revert."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Optional

LIBRARY = "var/lib/eks-proxy-agent"
#: Directories with files of the agent, and those where it puts temporary files.
OURS = ("etc", LIBRARY, "usr/local/share")
#: What a boot itself changes, and the link of the daemon, which `revert` disables.
OF_OTHERS = (
    "etc/machine-id",
    "etc/.updated",
    "etc/.pwd.lock",
    "etc/systemd/system/multi-user.target.wants/eks-proxy-agent.service",
)

LABEL = "security.selinux"

#: Type and mode, owner, group, extended attributes, and content or target; None: absent.
Entry = Optional[tuple[int, int, int, tuple[tuple[str, bytes], ...], bytes]]


def entry(path: Path) -> Entry:
    """Return all that a file, link or directory is."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISREG(status.st_mode):
        content = path.read_bytes()
    else:
        content = os.fsencode(os.readlink(path)) if stat.S_ISLNK(status.st_mode) else b""
    names = sorted(os.listxattr(path, follow_symlinks=False))
    extended = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
    return status.st_mode, status.st_uid, status.st_gid, extended, content


def label(path: Path) -> bytes:
    """Return the SELinux label of a file."""
    return os.getxattr(path, LABEL, follow_symlinks=False)


def set_label(path: Path, value: bytes) -> None:
    """Give a file a SELinux label; the kernel of this machine need not know it."""
    os.setxattr(path, LABEL, value, follow_symlinks=False)


def tree(root: Path) -> dict[str, Entry]:
    """Return every path in the directories of the agent's files."""
    paths = (path for top in OURS for path in (root / top).rglob("*"))
    names = (str(path.relative_to(root)) for path in paths)
    return {name: entry(root / name) for name in names if name not in OF_OTHERS}


def managed(root: Path) -> tuple[str, ...]:
    """Return the paths that the agent's baseline names."""
    path = root / LIBRARY / "baseline.json"
    return tuple(name.lstrip("/") for name in json.loads(path.read_text())["files"]) if path.exists() else ()


def temporaries(root: Path) -> list[str]:
    """Return the temporary files of the agent."""
    return [name for name in tree(root) if name.endswith(".eks-proxy-agent")]


def at_the_cut(root: Path, old: Mapping[str, Entry], new: Mapping[str, Entry]) -> Iterator[str]:
    """Yield what is torn or lost in a tree whose power was cut between `old` and `new`."""
    names = managed(root)
    for name, content in old.items():
        current = entry(root / name)
        if current not in (content, new[name]):
            yield f"/{name}: neither old nor new: {_shown(current)}"
        elif current != content and name not in names:
            yield f"/{name}: changed, but the baseline does not name it: revert would not restore it"
    for path in (root / LIBRARY).rglob("*.json"):
        try:
            json.loads(path.read_text())
        except ValueError as error:
            yield f"/{path.relative_to(root)}: {error}"


def differences(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> Iterator[str]:
    """Yield each path that is not the same in both trees."""
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield f"/{name}: {_shown(after.get(name))}, expected {_shown(before.get(name))}"


def changed(root: Path, old: Mapping[str, Entry]) -> int:
    """Return how many of these files differ from their old state."""
    return sum(entry(root / name) != content for name, content in old.items())


def _shown(value: Entry) -> str:
    if value is None:
        return "absent"
    mode, owner, group, extended, content = value
    return f"{stat.filemode(mode)} {owner}:{group} {dict(extended)} {content[:60]!r} ({len(content)} bytes)"
