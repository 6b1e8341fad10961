"""Files of config.d: those that are settings, and those that an operator may take for settings."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agent.core.net.proxy_url import quoted
from agent.errors import shortlist

#: Names that nobody takes for settings: hidden files, copies of editors and package managers, files
#: that were disabled by renaming them, and notes.
_IGNORED = re.compile(
    r"\..*|#.*#|.*~|README.*|.*\.(?:rpm(?:new|save|orig)|dpkg-[a-z]+|bak|backup|old|orig|save|sw[a-p]|tmp|disabled|off)",
    re.DOTALL | re.IGNORECASE,
)


def is_settings(name: str) -> bool:
    """Return True if a file of this name is read."""
    return name.endswith(".toml") and not name.startswith(".")


def unread(directory: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return a warning for each name that looks like settings and is not read."""
    ignored = [name for name in names if not is_settings(name) and not _IGNORED.fullmatch(name)]
    return tuple(shortlist([f"{_path(directory, name)}: not read; only *.toml is read; rename it" for name in ignored]))


def _path(directory: str, name: str) -> str:
    path = f"{directory}/{name}"
    return path if path.isprintable() and " " not in path else quoted(path, limit=200)
