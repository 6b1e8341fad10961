"""Sections of docs/troubleshooting.md, and the comparison of their output with a command.

A section has one line that begins with `**Run**` and the command, and below it a block with the
output.  A line `...` in the block stands for any lines, and `...` in a line for any text.  Numbers
and the hash of an Intent need not be the same: they are process ids, times and the like.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/troubleshooting.md"


def sections() -> dict[str, str]:
    """Return the text of each section by its anchor, by GitHub's rule for headings."""
    parts = re.split(r"(?m)^## (.*)\n", PAGE.read_text())[1:]
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-"): text for head, text in zip(parts[::2], parts[1::2])}


def command(anchor: str) -> list[str]:
    """Return the arguments of the command that a section runs."""
    return shlex.split(_run(anchor)[0])


def difference(anchor: str, output: str) -> str:
    """Return what a command printed if the section does not show it, else an empty string.

    The lines with which `check` names the section itself are left out.
    """
    printed = "".join(line + "\n" for line in output.splitlines() if not line.startswith("see   "))
    return "" if re.fullmatch(_pattern(_run(anchor)[1]), printed) else f"{anchor} shows something else than:\n{printed}"


def _run(anchor: str) -> tuple[str, str]:
    (found,) = re.findall(r"(?ms)^\*\*Run\*\* `([^`\n]+)`[^\n]*\n\n```\n(.*?)^```$", sections()[anchor])
    return found[0], found[1]


def _pattern(text: str) -> str:
    lines = ["(?:.*\n)*" if line == "..." else re.escape(line) + "\n" for line in text.splitlines()]
    return re.sub(r"\b[0-9a-f]{12}\b|\d+(?:\\\.\d+)?", _any_number, "".join(lines).replace(re.escape("..."), ".*"))


def _any_number(match: re.Match[str]) -> str:
    """Return a pattern for a hash, or for a number with or without a fraction (`2 s`, `1.9 s`)."""
    is_hash = re.search("[a-f]", match[0])
    return "[0-9a-f]{12}" if is_hash else r"\d+(?:\.\d+)?"
