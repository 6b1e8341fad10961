"""TOML texts within limits: anyone who may launch an instance writes its user data.

The limits bound time and memory.  tomllib keeps a prefix for each dot of a key, so that 60 KiB of
dots took 273 MB.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from agent.core.settings.toml_remedy import remedy
from agent.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Bytes of one text of user data, and of a file or a flag, which only root can write.
USER_DATA_LIMIT, FILE_LIMIT = 64 * 1024, 1024 * 1024
#: Dots of one key.
MAX_DOTS = 64
#: Characters of an error of tomllib, which may repeat a key of any length.
_LONGEST_ERROR = 200

#: What a key consists of, and what may hold its characters without being one.  A string or comment
#: without an end reaches to the end of its line or of the text: each character is read once.
_TOKEN = re.compile(
    r'(?P<other>"{3}(?:[^"\\]|\\.?|"(?!""))*(?:"{3,5}|\Z)'
    r"|'{3}(?:[^']|'(?!''))*(?:'{3,5}|\Z)"
    r"|\#[^\n]*)"
    r'|(?P<part>"(?:[^"\\\n]|\\.?)*"?'
    r"|'[^'\n]*'?"
    r"|[A-Za-z0-9_-]+|[ \t]+)"
    r"|(?P<dot>\.)",
    re.DOTALL,
)


class TooDeepError(ValueError):
    """Key with too many dots, in line `line`."""

    def __init__(self, line: int) -> None:
        super().__init__(f"key with more than {MAX_DOTS} dots (at line {line})")
        self.line = line


def read(name: str, content: bytes, limit: int) -> tuple[dict[str, Any], str]:
    """Return the tables of a TOML document, and its text.

    Raises SettingsError, with line and column if they are known.
    """
    text = _decode(name, content, limit)
    try:
        return loads(text), text
    except TooDeepError as error:
        raise SettingsError([f"{name}, line {error.line}: key with more than {MAX_DOTS} dots"]) from None
    except ValueError as error:
        meant = remedy(text, str(error))
        raise SettingsError([f"{name}: invalid TOML: {error}" + (f"; write {meant}" if meant else "")]) from None


def loads(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text; raises ValueError."""
    line = _line_of_deep_key(text)
    if line:
        raise TooDeepError(line)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a plain ValueError for an integer of thousands of digits
        problem, separator, place = str(error).rpartition(" (at ")
        raise ValueError(problem[:_LONGEST_ERROR] + separator + place[:_LONGEST_ERROR]) from None


def _decode(name: str, content: bytes, limit: int) -> str:
    if len(content) > limit:
        problem = f"larger than {limit // 1024} KiB; move large values, such as node.ca_bundle, to a file"
        raise SettingsError([f"{name}: {problem}"])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SettingsError([f"{name}, line {line}: invalid UTF-8"]) from None
    if text.startswith("\ufeff"):
        raise SettingsError([f"{name}: TOML does not allow a byte order mark; save the file as UTF-8 without one"])
    return text


def _line_of_deep_key(text: str) -> int:
    """Return the line of the first key with too many dots, 0 if there is none."""
    if not any(line.count(".") > MAX_DOTS for line in text.split("\n")):
        return 0
    dots = end = 0
    for token in _TOKEN.finditer(text):
        continues = token.start() == end and token.lastgroup != "other"
        end = token.end()
        dots = (dots if continues else 0) + (token.lastgroup == "dot")
        if dots > MAX_DOTS:
            return text.count("\n", 0, end) + 1
    return 0
