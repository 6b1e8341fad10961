"""Line numbers of the keys of a TOML text.  TOML parsers do not report positions."""

from __future__ import annotations

import re
from collections.abc import Mapping

# Character classes and no lazy repeats: each line takes linear time, whatever it holds.
_HEADER = re.compile(r"\s*\[{1,2}([^]]*)\]")
_KEY = re.compile(r"\s*(?:\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+))\s*(?:\.\s*([A-Za-z0-9_-]+)\s*=|[.=])")


def line_numbers(text: str) -> Mapping[tuple[str, str], int]:
    """Return (section, key) → the first line with it; an empty key is the section itself.

    Covers the usual ways to write TOML.  A key that is written in another way is missing.
    """
    lines: dict[tuple[str, str], int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), 1):
        header = _HEADER.match(line)
        if header:
            table = header.group(1).strip().strip("\"'").strip()
            lines.setdefault((table.partition(".")[0], ""), number)
            continue
        match = _KEY.match(line)
        if match:
            double_quoted, single_quoted, bare, second = match.groups()
            name = double_quoted or single_quoted or bare or ""
            lines.setdefault((table, name) if table else (name, ""), number)
            if second and not table:  # section.key = value
                lines.setdefault((name, second), number)
    return lines


def line_of(lines: Mapping[tuple[str, str], int], section: str, key: str) -> int:
    """Return the line of a key, else of its section; 0 if neither is known."""
    return lines.get((section, key)) or lines.get((section, "")) or 0
