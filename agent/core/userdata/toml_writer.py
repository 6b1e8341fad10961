"""Settings as a TOML text in ASCII: user data has no encoding that all readers undo.  Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.core.settings.schema import SECTIONS

_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def toml_of(values: Mapping[tuple[str, str], Any]) -> str:
    """Return the text of settings, section by section in the order of the schema.

    `values` are by section and key, as TOML gives them (Layered.raw).
    """
    tables = []
    for section in SECTIONS:
        lines = [f"{key} = {_value(value)}" for (table, key), value in values.items() if table == section]
        if lines:
            tables.append("\n".join([f"[{section}]", *lines, ""]))
    return "\n".join(tables)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    return json.dumps(value)  # a boolean or a number


def _escaped(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    return char if 0x20 <= code <= 0x7E else f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"
