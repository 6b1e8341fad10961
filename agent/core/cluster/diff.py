"""Differences between two states of an object, by container; values of a Secret are masked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.core.cluster.objects import SALT, SECRET
from agent.core.cluster.patch import GROUPS, shown_group
from agent.core.record import record

#: Fields that the API server writes.
_SERVER_FIELDS = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_NAMES = ("name", "namespace")
_GENERATION = "deprecated.daemonset.template.generation"
MASK = "***"
_ABSENT = object()


@record
class FieldChange:
    """Change of one field.

    `where` is the part of the object, `field` the field in it.  A text of None means "absent".
    """

    where: str
    field: str
    before: str | None
    after: str | None


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> tuple[FieldChange, ...]:
    """Return all differences in the order of the field names; None stands for no object."""
    kind = (before or after or {}).get("kind")
    old_fields, new_fields = (_fields(obj) if obj is not None else {} for obj in (before, after))
    differences = _differences((), old_fields, new_fields)
    return tuple(_change(path, old, new, secret=kind == SECRET) for path, old, new in differences)


def _fields(obj: Mapping[str, Any]) -> dict[str, Any]:
    ignored = _SERVER_FIELDS + _NAMES
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key not in ignored}
    annotations = {key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key != _GENERATION}
    metadata.update({"annotations": annotations} if annotations else {})
    fields = {key: value for key, value in obj.items() if key not in ("status", "kind", "apiVersion", "metadata")}
    return {**fields, **({"metadata": metadata} if metadata else {})}


def _differences(path: tuple[str, ...], old: Any, new: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if old == new:
        return
    old, new = _by_name(old, new)
    present = [value for value in (old, new) if value is not _ABSENT]
    whole = len(present) == 1 and path[3:4] and path[3] in GROUPS  # an added or removed container or entry
    if all(isinstance(value, dict) for value in present) and not whole:
        keys = dict.fromkeys(key for table in present for key in sorted(table))
        if keys:
            for key in keys:
                old_value, new_value = (
                    table.get(key, _ABSENT) if table is not _ABSENT else _ABSENT for table in (old, new)
                )
                yield from _differences((*path, key), old_value, new_value)
            return
    if all(isinstance(value, list) for value in present):
        old_items, new_items = (items if items is not _ABSENT else [] for items in (old, new))
        removed = [item for item in old_items if item not in new_items]
        added = [item for item in new_items if item not in old_items]
        yield from ((path, item, _ABSENT) for item in removed)
        yield from ((path, _ABSENT, item) for item in added)
        if removed or added:
            return
    yield path, old, new


def _by_name(old: Any, new: Any) -> tuple[Any, Any]:
    """Return lists of named items (containers, env) as tables by name, other values as they are."""
    tables = []
    for value in (old, new):
        names = (
            [item.get("name") if isinstance(item, dict) else None for item in value] if isinstance(value, list) else []
        )
        is_named = bool(names) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
        tables.append({name: {**item} for name, item in zip(names, value)} if is_named else value)
    kinds = {type(table) for table in tables if table is not _ABSENT}
    return (tables[0], tables[1]) if kinds == {dict} else (old, new)


def _change(path: tuple[str, ...], old: Any, new: Any, *, secret: bool) -> FieldChange:
    where, rest = _part(path)
    # With the salt, anyone could test passwords against a checksum.
    hidden = secret and (path[:1] == ("data",) or path[-1:] == (SALT,))
    if path[-1:] and path[-1].lower() == "no_proxy" and not hidden and isinstance(old, str) and isinstance(new, str):
        old_entries, new_entries = old.split(","), new.split(",")
        removed = [entry for entry in old_entries if entry not in new_entries]
        added = [entry for entry in new_entries if entry not in old_entries]
        if removed or added:  # else only the order differs: show both values
            return FieldChange(where, " ".join([*rest, "entries"]), ",".join(removed) or None, ",".join(added) or None)
    before, after = (None if value is _ABSENT else _shown(value, hidden=hidden) for value in (old, new))
    return FieldChange(where, " ".join(rest), before, after)


def _part(path: Sequence[str]) -> tuple[str, list[str]]:
    rest = list(path)
    if rest[:3] == ["spec", "template", "spec"] and len(rest) > 4 and rest[3] in GROUPS:
        return f"{shown_group(rest[3])} {rest[4]}", rest[5:] or ["(all fields)"]
    if rest[:2] == ["spec", "template"]:
        rest, where = rest[2:], "pod template"
    else:
        where = ""
    if rest[:2] == ["metadata", "annotations"]:
        rest = ["annotation", *rest[2:]]
    return where, rest


def _shown(value: Any, *, hidden: bool) -> str:
    if hidden:
        return MASK
    if isinstance(value, dict) and set(value) == {"name", "value"}:  # an env entry, whose name is in the path
        return str(value["value"])
    if isinstance(value, dict) and len(value) == 1:  # {"configMapRef": {"name": "x"}}
        kind, inner = next(iter(value.items()))
        if isinstance(inner, dict) and set(inner) == {"name"}:
            return f"{kind} {inner['name']}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
