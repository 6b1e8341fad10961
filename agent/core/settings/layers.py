"""Layers of settings, and their merge.

A later layer wins: defaults < config.toml < config.d < user data < kept flags < flags.

Every layer is checked in full, so that a mistake is found even if a later layer overrides it.  All
mistakes are reported together, each with its file, its line (if known), its key, its value and what
is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent.core.net.proxy_url import quoted
from agent.core.record import field, fields_dict, record
from agent.core.settings.line_numbers import line_numbers, line_of
from agent.core.settings.schema import SECTIONS, Settings
from agent.core.settings.suggestions import Suggestions
from agent.core.settings.toml_text import FILE_LIMIT, loads, read
from agent.errors import SettingsError, shortlist

USER_DATA = "user data"


@record
class Layer:
    """One source of settings.

    `name` is for people; `text` is the TOML text, if there is one, for line numbers.  `dates`: of
    the flags that `apply` kept or will keep, by SECTION.KEY; None for any other layer.
    """

    name: str
    data: Mapping[str, Any]
    text: str = field(default="", repr=False)
    dates: Mapping[str, str] | None = None


@record
class Layered:
    """Effective settings, and for each key that was set the name of the layer that set it last.

    `raw` has the values of these keys as TOML gives them.
    """

    settings: Settings
    origin: Mapping[tuple[str, str], str] = field(factory=dict)
    warnings: tuple[str, ...] = ()
    raw: Mapping[tuple[str, str], Any] = field(factory=dict, repr=False, eq=False)


def parse_toml(name: str, text: bytes, limit: int = FILE_LIMIT) -> Layer:
    """Read one TOML document of at most `limit` bytes.

    Raises SettingsError, which names line and column.
    """
    tables, decoded = read(name, text, limit)
    return Layer(name, tables, decoded)


def flag_layer(flags: Iterable[str], proxy: str = "") -> Layer:
    """Return the flags `--set SECTION.KEY=VALUE` and `--proxy URL` as a layer.

    VALUE is a TOML value or a bare string.  Raises SettingsError that names every wrong flag.
    """
    data: dict[str, dict[str, Any]] = {}
    problems = []
    for flag in flags:
        name, equals, value = flag.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (equals and dot and section and key):
            problems.append(f"--set {quoted(flag)}: expected SECTION.KEY=VALUE, such as proxy.url=http://proxy:3128")
            continue
        data.setdefault(section, {})[key] = _flag_value(value.strip())
    if problems:
        raise SettingsError(problems)
    if proxy:
        data.setdefault("proxy", {})["url"] = proxy
    return Layer("flags", data)


def merge_all(layers: Sequence[Layer]) -> Layered:
    """Merge like `merge`, and check what a setting requires of others.

    `layers` are all of a node: another one may set what is missing.
    """
    layered = merge(layers)
    problems = list(missing(layers, layered.settings))
    if problems:
        raise SettingsError(problems)
    return layered


def missing(layers: Sequence[Layer], settings: Settings) -> Iterator[str]:
    """Yield a problem for each setting that these layers lack and another setting requires."""
    if settings.signal.stack and not settings.signal.resource:
        setter = next(layer for layer in reversed(layers) if "stack" in layer.data.get("signal", {}))
        allowed = fields_dict(SECTIONS["signal"])["resource"].metadata["allowed"]
        yield from _located(setter, [("signal", "stack", f"requires signal.resource (allowed: {allowed})")])


def merge(layers: Sequence[Layer]) -> Layered:
    """Check all layers and merge them, key by key.

    Raises SettingsError with every problem of every layer.
    """
    settings, origin, problems = _merge(layers)
    problems += _contradictions(settings, origin)
    if problems:
        raise SettingsError(problems)
    warnings = ["proxy.no_proxy: " + entry.warning for entry in settings.proxy.no_proxy if entry.warning]
    warnings += _overruled(layers)
    raw = {(section, key): layer.data[section][key] for layer in layers for section, key in _keys(layer)}
    return Layered(settings, origin, tuple(shortlist(warnings)), raw)


def _contradictions(settings: Settings, origin: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Yield what is wrong although each value is right."""
    keys = settings.proxy.credentials_keys
    if len(keys) > 1:
        places = " and ".join(f"proxy.{key} ({origin['proxy', key]})" for key in keys)
        yield f'{places}: only one of them may be set; keep one, and set each other to "", proxy.credentials_command to []'


def _overruled(layers: Sequence[Layer]) -> Iterator[str]:
    """Yield a warning for each setting that a flag of an earlier `apply` overrules for ever."""
    for index, kept in enumerate(layers):
        for section, key in _keys(kept) if kept.dates is not None else ():
            if section == "metadata":  # not kept, see without_metadata
                continue
            with_key = [layer for layer in layers if key in layer.data.get(section, {})]
            before = [layer for layer in layers[:index] if layer in with_key]
            if not before or with_key[-1] is not kept or before[-1].data[section][key] == kept.data[section][key]:
                continue
            name = f"{section}.{key}"
            line = line_of(line_numbers(before[-1].text), section, key)
            place = f"{before[-1].name}, line {line}," if line else before[-1].name
            date = kept.dates.get(name) if kept.dates else None
            kept_on = f"kept by apply on {date}" if date else "kept by apply (date unknown)"
            yield f"{name} of {place} is overruled by a flag {kept_on}; to drop it: eks-proxy-agent apply --forget {name}"


def merge_usable(layers: Sequence[Layer]) -> Settings:
    """Merge what is right in these layers, for what must be done although settings are wrong."""
    return _merge(layers)[0]


def _merge(layers: Sequence[Layer]) -> tuple[Settings, dict[tuple[str, str], str], list[str]]:
    """Return the settings without the wrong values, the origin of each, and the problems."""
    problems: list[str] = []
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    origin: dict[tuple[str, str], str] = {}
    suggestions = Suggestions()
    for layer in layers:
        problems += _located(layer, list(_read(layer, values, origin, suggestions)))
    settings = Settings(**{section: SECTIONS[section](**table) for section, table in values.items()})
    return settings, origin, problems


def _keys(layer: Layer) -> Iterator[tuple[str, str]]:
    return ((section, key) for section, table in layer.data.items() for key in table)


def names_of(data: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return SECTION.KEY of each setting."""
    return tuple(f"{section}.{key}" for section, table in data.items() for key in table)


def without_metadata(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that can be kept for an instance: all but metadata.*.

    Those are needed before the instance is known.
    """
    return {section: table for section, table in data.items() if section != "metadata"}


def _read(
    layer: Layer,
    values: Mapping[str, dict[str, Any]],
    origin: dict[tuple[str, str], str],
    suggestions: Suggestions,
) -> Iterator[tuple[str, str, str]]:
    """Put a layer's settings into `values` and `origin`.

    Yields section, key and problem of each mistake.
    """
    for section, table in layer.data.items():
        problem = _section_problem(layer, section, table, suggestions)
        if problem:
            yield section, "", problem
            continue
        fields = fields_dict(SECTIONS[section])
        for key, value in table.items():
            if key not in fields:
                yield section, key, "unknown key" + _remedy(suggestions.for_key(section, key), ", ".join(fields))
                continue
            metadata = fields[key].metadata
            try:
                values[section][key] = metadata["parse"](value)
            except ValueError as error:
                yield section, key, f"{error} (allowed: {metadata['allowed']})"
                continue
            origin[section, key] = layer.name


def _section_problem(layer: Layer, section: str, table: Any, suggestions: Suggestions) -> str:
    if section in SECTIONS:
        if not isinstance(table, dict):
            return f"not a section; write [{section}]"
        if section == "metadata" and layer.name.startswith(USER_DATA):
            return "not allowed in user data, which is read with these settings; set them in config.toml"
        return ""
    names = ", ".join(SECTIONS)
    if isinstance(table, dict):
        return "unknown section" + _remedy(suggestions.for_section(section), names)
    return "unknown key" + _remedy(suggestions.for_top_level_key(section), "the sections " + names)


def _remedy(suggestion: str, allowed: str) -> str:
    return f"; did you mean {suggestion}?" if suggestion else f" (allowed: {allowed})"


def _located(layer: Layer, mistakes: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return a line of text for each mistake (section, key, problem) of a layer, with its place."""
    lines = line_numbers(layer.text) if mistakes else {}
    located: list[str] = []
    for section, key, problem in mistakes:
        line = line_of(lines, section, key)
        source = f"{layer.name}, line {line}" if line else layer.name
        name = _printable(f"{section}.{key}" if key else section)
        located.append(f"{source}: {name}: {problem}")
    return located


def _flag_value(value: str) -> Any:
    try:
        table = loads("value = " + value)
    except ValueError:
        return value
    return table["value"] if list(table) == ["value"] else value


def _printable(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9._-]{1,80}", text) else quoted(text)
