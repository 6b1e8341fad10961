"""All that files below a root are: content, mode, owner, group, extended attributes, links."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.core.record import evolve, field, record
from agent.edges import state_files
from agent.errors import CorruptError

#: The agent's own state; each version of such a file is whole if its reader accepts it.
STATE = ("var/lib/eks-proxy-agent/", "run/eks-proxy-agent/")
TEMPORARY = re.compile(r"(^|/)\.[^/]+\.eks-proxy-agent$")
#: Keys of state files whose values are moments since power-on, or count what happened on the way.
_VOLATILE = {
    "status.json": {"since", "updated", "last_success", "next_pass", "repairs", "counters"},
    "watch.json": {"repairs", "total", "contested", "reported", "ca_changed_at", "missing", "facts_age"},
}
_METRICS = re.compile(rb"(# (HELP|TYPE) .*\n|eks_proxy_agent_\w+(\{.*\})? [0-9.+eE-]+\n)+")
#: The metrics that count what happened on the way.
_COUNTERS = re.compile(rb"(?m)^eks_proxy_agent_\w+_total(\{.*\})? .*$")


@record
class Entry:
    """One file, directory or link; the content of a link is its target."""

    mode: int
    owner: int
    group: int
    extended: tuple[tuple[str, bytes], ...]
    content: bytes = field(repr=False)


Tree = dict[str, Entry]


def read_tree(root: Path) -> Tree:
    """Return all entries below a root by their relative path."""
    return {str(path.relative_to(root)): _entry(path) for path in sorted(root.rglob("*"))}


def write_tree(root: Path, tree: Tree) -> None:
    """Make the root equal to what `read_tree` returned."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, entry in tree.items():
        path = root / name
        if stat.S_ISLNK(entry.mode):
            path.symlink_to(os.fsdecode(entry.content))
        elif stat.S_ISDIR(entry.mode):
            path.mkdir()
        else:
            path.write_bytes(entry.content)
        status = path.lstat()
        if (status.st_uid, status.st_gid) != (entry.owner, entry.group):
            os.lchown(path, entry.owner, entry.group)
        for attribute, value in entry.extended:
            os.setxattr(path, attribute, value, follow_symlinks=False)
        if not stat.S_ISLNK(entry.mode):
            path.chmod(stat.S_IMODE(entry.mode))


def temporaries(tree: Tree) -> list[str]:
    """Return the temporary files of the agent."""
    return [name for name in tree if TEMPORARY.search(name)]


def is_state(name: str) -> bool:
    """Return True for a file of the agent's own state, or its metrics."""
    return name.startswith(STATE) or name.endswith(".prom")


def is_whole_state(name: str, entry: Entry) -> bool:
    """Return True if a state file is one that the agent wrote, private if it has to be."""
    if stat.S_ISDIR(entry.mode):
        return stat.S_IMODE(entry.mode) == 0o755
    if _is_lock(name):
        return True  # its content is for people
    base = os.path.basename(name)
    if base.endswith(".prom"):
        return stat.S_IMODE(entry.mode) == 0o644 and _METRICS.fullmatch(entry.content) is not None
    if not base.endswith(".json"):
        return entry.content == b""
    try:
        state_files.read("/" + name, entry.content)
    except CorruptError:
        return False
    return stat.S_IMODE(entry.mode) == (0o644 if base in ("status.json", "proxies.json") else 0o600)


def lasting(tree: Tree) -> Tree:
    """Return a tree without what two undisturbed runs do not have in common."""
    return {
        name: evolve(entry, content=_lasting(name, entry.content)) for name, entry in tree.items() if not _is_lock(name)
    }


def differences(tree: Tree, expected: Tree) -> list[str]:
    """Return the paths in which two trees differ, each with both entries."""
    names = sorted(set(tree) | set(expected))
    return [
        f"{name}: {_difference(tree.get(name), expected.get(name))}"
        for name in names
        if tree.get(name) != expected.get(name)
    ]


def _entry(path: Path) -> Entry:
    status = path.lstat()
    extended = tuple(
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in sorted(os.listxattr(path, follow_symlinks=False))
    )
    content = b""
    if stat.S_ISLNK(status.st_mode):
        content = os.fsencode(os.readlink(path))
    elif stat.S_ISREG(status.st_mode):
        content = path.read_bytes()
    return Entry(status.st_mode, status.st_uid, status.st_gid, extended, content)


def _is_lock(name: str) -> bool:
    return is_state(name) and name.endswith("lock")


def _lasting(name: str, content: bytes) -> bytes:
    base = os.path.basename(name)
    if base.endswith(".prom"):
        return _COUNTERS.sub(b"", content)
    if is_state(name) and base.endswith(".json"):
        return json.dumps(_without(json.loads(content), _VOLATILE.get(base, set()))).encode()
    return content


def _without(data: Any, keys: set[str]) -> Any:
    """Return JSON without these keys."""
    if isinstance(data, Mapping):
        return {key: _without(value, keys) for key, value in data.items() if key not in keys}
    return [_without(value, keys) for value in data] if isinstance(data, list) else data


def _difference(entry: Entry | None, expected: Entry | None) -> str:
    if entry is None or expected is None:
        return f"{'absent' if entry is None else 'exists'}, expected the opposite"
    if entry.content == expected.content:
        return f"{entry}, expected {expected}"
    pairs = zip(entry.content, expected.content)
    common = next((number for number, (one, other) in enumerate(pairs) if one != other), 0)
    start, stop = max(common - 40, 0), common + 80
    return f"...{entry.content[start:stop]!r}..., expected ...{expected.content[start:stop]!r}..."
