"""The changes of a Plan as a unified diff."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from agent.core.plan.plan import Change
from agent.core.redact import redact


class _Line(str):
    """A line that equals only the line with the same text and number of repetition.

    difflib compares each line with all equal ones of the other file, which is quadratic in a file
    that repeats a few lines.
    """

    __slots__ = ("repetition",)
    repetition: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Line) and self.repetition == other.repetition and str.__eq__(self, other)

    def __hash__(self) -> int:
        return hash((str(self), self.repetition))


def unified(change: Change) -> str:
    """Return a unified diff that patch(1) accepts, with credentials masked."""
    diff = list(diff_lines(change, context=3))
    if not diff:
        return f"{change.path}: {change.mode_text}\n"
    no_newline = "\n\\ No newline at end of file\n"
    return redact("".join(line if line.endswith("\n") else line + no_newline for line in diff))


def diff_lines(change: Change, *, context: int) -> Iterator[str]:
    """Yield the lines of a unified diff, with its header; none for a change of the mode only."""
    import difflib  # boots and cycles without a change do not need it

    names = (
        "/dev/null" if change.before is None else change.path,
        "/dev/null" if change.after is None else change.path,
    )
    return difflib.unified_diff(_lines(change.before), _lines(change.after), *names, n=context)


def _lines(content: bytes | None) -> list[_Line]:
    """Return the lines, each with its line feed; other characters do not end a line."""
    *ended, rest = (content or b"").decode("utf-8", "backslashreplace").split("\n")
    lines = [_Line(text + "\n") for text in ended] + ([_Line(rest)] if rest else [])
    seen: Counter[str] = Counter()
    for line in lines:
        text = str(line)
        line.repetition = seen[text]
        seen[text] += 1
    return lines
