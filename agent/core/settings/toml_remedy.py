"""A remedy for the most common mistake in TOML: a value without quotes."""

from __future__ import annotations

import re
import sys
from typing import Any

from agent.core.net.proxy_url import quoted, quoted_proxy

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: `key = value`, or `key: value` as in YAML.
_LINE = re.compile(r"\s*(?P<key>[A-Za-z0-9_.-]{1,80})\s*[=:]\s*(?P<value>[^\s#][^#]*?)\s*(?:#.*)?")
_LIMIT = 400
#: Quotes, also those of a word processor, and brackets around a value.
_QUOTES = "\"'\u201c\u201d\u2018\u2019"
_AROUND = _QUOTES + "[]"


def remedy(text: str, error: str) -> str:
    """Return the line of an error of tomllib as it is meant, with quotes, or "".

    A value that may hold a password is not repeated.
    """
    place = re.search(r"\(at line ([0-9]+)", error)
    lines = text.split("\n")
    number = int(place.group(1)) if place else 0
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    match = _LINE.fullmatch(line.rstrip("\r")) if len(line) <= _LIMIT else None
    if match is None or "@" in line or _may_have_password(match.group("key"), match.group("value")):
        return ""
    value = _quoted(match.group("value"))
    better = f"{match.group('key')} = {value}"
    return better if value and _is_toml(better) and better != line.strip() else ""


def _may_have_password(key: str, value: str) -> bool:
    """Return True for the URL of a proxy in which the `@` may be mistyped."""
    words = [word.strip(_AROUND) for word in re.split(r"[\s,]+", value)]
    return key.rpartition(".")[2] in ("url", "https_url") and any(quoted_proxy(word) != quoted(word) for word in words)


def _quoted(value: str) -> str:
    """Return the value in quotes, each element of a list; "" if it holds other characters."""
    if value.startswith("["):
        words = [word.strip("\"' \t") for word in value.strip("[]").split(",") if word.strip()]
        quoted = [_string(word) for word in words]
        return f"[{', '.join(quoted)}]" if all(quoted) else ""
    return value if _is_toml("key = " + value) else _string(value.strip(_QUOTES))


def _string(text: str) -> str:
    return f'"{text}"' if re.fullmatch(r"[A-Za-z0-9._~:/*,%+-]+(?: [A-Za-z0-9._~:/*,%+-]+)*", text) else ""


def _is_toml(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except ValueError:
        return {}
