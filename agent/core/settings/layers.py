"""Layers of settings, later wins: defaults < config.toml < config.d < user data < kept flags < flags.

Every layer is checked in full, so that a mistake is found even where another layer hides it, and
all mistakes are reported together: file, line where it can be found, key, value, what is allowed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from agent.core.net.proxy_url import quoted
from agent.core.settings.schema import SECTIONS, Settings
from agent.errors import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

USER_DATA = "user data"


@attrs.frozen
class Layer:
    """One source of settings: its name for people, its tables, and its text if it has lines to point at."""

    name: str
    data: Mapping[str, Any]
    text: str = attrs.field(default="", repr=False)


@attrs.frozen
class Layered:
    """The effective settings, and for each key that is not a default the layer that gave it."""

    settings: Settings
    origin: Mapping[tuple[str, str], str] = attrs.field(factory=dict)
    warnings: tuple[str, ...] = ()


def parse_toml(name: str, text: bytes) -> Layer:
    """Read one TOML document; raises SettingsError with line and column."""
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise SettingsError([f"{name}, line {line}: has a byte that is not UTF-8"]) from None
    if decoded.startswith("\ufeff"):
        raise SettingsError([f"{name}: begins with a byte order mark, which TOML has not; save it as UTF-8 without"])
    try:
        return Layer(name, tomllib.loads(decoded), decoded)
    except (ValueError, RecursionError) as error:  # a plain ValueError for an integer of thousands of digits
        raise SettingsError([f"{name}: is not TOML: {error}"]) from None


def flag_layer(flags: Iterable[str], proxy: str = "") -> Layer:
    """`--set SECTION.KEY=VALUE` and `--proxy URL` as a layer; VALUE is a TOML value or a bare string."""
    data: dict[str, dict[str, Any]] = {}
    problems = []
    for flag in flags:
        name, equals, value = flag.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and section and key):
            problems.append(f"--set {quoted(flag)}: write SECTION.KEY=VALUE, such as proxy.url=http://proxy:3128")
            continue
        data.setdefault(section, {})[key] = _flag_value(value.strip())
    if problems:
        raise SettingsError(problems)
    if proxy:
        data.setdefault("proxy", {})["url"] = proxy
    return Layer("flags", data)


def merge(layers: Sequence[Layer]) -> Layered:
    """Check all layers and put them on top of each other; raises SettingsError with every problem of every layer."""
    problems: list[str] = []
    warnings: list[str] = []
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    origin: dict[tuple[str, str], str] = {}
    for layer in layers:
        for section, table in layer.data.items():
            problem = _section_problem(layer, section, table)
            if problem:
                problems.append(problem)
                continue
            keys = attrs.fields_dict(SECTIONS[section])
            for key, value in table.items():
                if key not in keys:
                    problems.append(_problem(layer, section, key, "is unknown", ", ".join(keys)))
                    continue
                try:
                    values[section][key] = keys[key].metadata["parse"](value)
                except ValueError as error:
                    problems.append(_problem(layer, section, key, str(error), keys[key].metadata["allowed"]))
                    continue
                origin[section, key] = layer.name
    if problems:
        raise SettingsError(problems)
    settings = Settings(**{section: SECTIONS[section](**found) for section, found in values.items()})
    warnings += [entry.warning for entry in settings.proxy.no_proxy if entry.warning]
    return Layered(settings, origin, tuple("proxy.no_proxy: " + warning for warning in warnings))


def without_metadata(data: Mapping[str, Any]) -> dict[str, Any]:
    """What of flags can be kept for an instance: metadata.* is needed before the instance is known."""
    return {section: table for section, table in data.items() if section != "metadata"}


def _section_problem(layer: Layer, section: str, table: Any) -> str:
    if section not in SECTIONS:
        return _problem(layer, section, "", "is unknown", "the sections " + ", ".join(SECTIONS))
    if not isinstance(table, dict):
        return _problem(layer, section, "", "is no section", f"[{section}]")
    if section == "metadata" and layer.name.startswith(USER_DATA):
        return _problem(layer, section, "", "cannot come from user data, which is read with it", "it in config.toml")
    return ""


def _problem(layer: Layer, section: str, key: str, what: str, allowed: str) -> str:
    line = _line_of(layer.text, section, key)
    where = f"{layer.name}, line {line}" if line else layer.name
    return "{}: {} {} (allowed: {})".format(where, _printable(section + "." + key if key else section), what, allowed)


def _line_of(text: str, section: str, key: str) -> int:
    """The line of a key, else of its section, as far as plain TOML goes; 0 when it cannot be told.

    TOML readers keep no positions.
    """
    current = ""
    for number, line in enumerate(text.split("\n"), 1):
        header = re.match(r"\s*\[\s*\"?([^]\"]+?)\"?\s*\]", line)
        if header:
            current = header.group(1).strip()
            if not key and current.partition(".")[0] == section:
                return number
        elif (
            re.match(rf"\s*\"?{re.escape(key or section)}\"?\s*[.=]", line) and current == (section if key else "")
        ) or (key and not current and re.match(rf"\s*{re.escape(section)}\s*\.\s*{re.escape(key)}\s*=", line)):
            return number
    return _line_of(text, section, "") if key else 0


def _flag_value(value: str) -> Any:
    try:
        table = tomllib.loads("value = " + value)
    except (ValueError, RecursionError):
        return value
    return table["value"] if list(table) == ["value"] else value


def _printable(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9._-]{1,80}", text) else quoted(text)
