"""Lines of a file as bytes.

Each line keeps its own ending, so what is not the agent's stays byte-identical.
"""

from __future__ import annotations


def split_lines(text: bytes) -> list[bytes]:
    """Split after each LF; the lines joined give the same text.

    A lone CR or a form feed is part of a line.
    """
    lines = text.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def pluralize(number: int, text: str, **more: str) -> str:
    """Return `text` with `{n}`, `{s}` and `{are}` replaced by the number, plural and verb."""
    return text.format(n=number, s="" if number == 1 else "s", are="is" if number == 1 else "are", **more)
