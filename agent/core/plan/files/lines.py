"""Lines of a file as bytes, each with its own ending, so that what is not ours stays byte-identical."""

from __future__ import annotations


def split_lines(text: bytes) -> list[bytes]:
    """Split after each LF only (a lone CR or a form feed is part of a line); joined again it is the same text."""
    lines = text.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def counted(number: int, text: str, **more: str) -> str:
    """A sentence about one or several things: `{n}`, `{s}` and `{are}` in `text` are its number, plural and verb."""
    return text.format(n=number, s="" if number == 1 else "s", are="is" if number == 1 else "are", **more)
