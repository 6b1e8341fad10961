"""A remedy for the most common mistake in TOML: a value without quotes."""

from __future__ import annotations

import re
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: `key = value`, or `key: value` as in YAML.
_LINE = re.compile(r"\s*(?P<key>[A-Za-z0-9_.-]{1,80})\s*[=:]\s*(?P<value>[^\s#][^#]*?)\s*(?:#.*)?")
_LIMIT = 400


def remedy(text: str, error: str) -> str:
    """Return the line of an error of tomllib as it is meant, with quotes, or "".

    A value that may hold a password is not repeated.
    """
    place = re.search(r"\(at line ([0-9]+)", error)
    lines = text.split("\n")
    number = int(place.group(1)) if place else 0
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    match = _LINE.fullmatch(line.rstrip("\r")) if len(line) <= _LIMIT else None
    if match is None or "@" in line:
        return ""
    value = _quoted(match.group("value"))
    better = f"{match.group('key')} = {value}"
    return better if value and _is_toml(better) and better != line.strip() else ""


def _quoted(value: str) -> str:
    """Return the value in quotes, each element of a list; "" if it holds other characters."""
    if value.startswith("["):
        words = [word.strip("\"' \t") for word in value.strip("[]").split(",") if word.strip()]
        quoted = [_string(word) for word in words]
        return f"[{', '.join(quoted)}]" if all(quoted) else ""
    return value if _is_toml("key = " + value) else _string(value.strip("\"'\u201c\u201d\u2018\u2019"))


def _string(text: str) -> str:
    return f'"{text}"' if re.fullmatch(r"[A-Za-z0-9._~:/*,%+-]+(?: [A-Za-z0-9._~:/*,%+-]+)*", text) else ""


def _is_toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except ValueError:
        return {}
