"""What differs between two states of an object, told by container; never a value of a Secret.  Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from agent.core.cluster.objects import SALT, SECRET
from agent.core.cluster.patch import GROUPS, shown_group

#: What the API server keeps for itself.
_SERVERS_OWN = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_NAMES = ("name", "namespace")
_GENERATION = "deprecated.daemonset.template.generation"
MASK = "***"
_ABSENT = object()


@attrs.frozen
class FieldChange:
    """`where` is the part of the object, `field` what of it; a text of None stands for "absent"."""

    where: str
    field: str
    before: str | None
    after: str | None


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> tuple[FieldChange, ...]:
    """All that differs, in the order of the fields' names; `before` or `after` is None for no object."""
    kind = (before or after or {}).get("kind")
    left, right = (_own(found) if found is not None else {} for found in (before, after))
    return tuple(_change(path, old, new, secret=kind == SECRET) for path, old, new in _differences((), left, right))


def _own(found: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in (found.get("metadata") or {}).items() if key not in _SERVERS_OWN + _NAMES}
    annotations = {key: value for key, value in (metadata.pop("annotations", None) or {}).items() if key != _GENERATION}
    metadata.update({"annotations": annotations} if annotations else {})
    own = {key: value for key, value in found.items() if key not in ("status", "kind", "apiVersion", "metadata")}
    return {**own, **({"metadata": metadata} if metadata else {})}


def _differences(path: tuple[str, ...], old: Any, new: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if old == new:
        return
    old, new = _by_name(old, new)
    tables = [one for one in (old, new) if one is not _ABSENT]
    whole = len(tables) == 1 and path[3:4] and path[3] in GROUPS  # a container or entry that came or went
    if all(isinstance(one, dict) for one in tables) and not whole:
        keys = dict.fromkeys(key for one in tables for key in sorted(one))
        if keys:
            for key in keys:
                left, right = (one.get(key, _ABSENT) if one is not _ABSENT else _ABSENT for one in (old, new))
                yield from _differences((*path, key), left, right)
            return
    if all(isinstance(one, list) for one in tables):
        left, right = (one if one is not _ABSENT else [] for one in (old, new))
        yield from ((path, item, _ABSENT) for item in left if item not in right)
        yield from ((path, _ABSENT, item) for item in right if item not in left)
        if any(item not in right for item in left) or any(item not in left for item in right):
            return
    yield path, old, new


def _by_name(old: Any, new: Any) -> tuple[Any, Any]:
    """Lists of named things (containers, env) as tables by name."""
    tables = []
    for one in (old, new):
        names = [item.get("name") if isinstance(item, dict) else None for item in one] if isinstance(one, list) else []
        named = bool(names) and None not in names and len(set(names)) == len(names)
        tables.append({name: {**item} for name, item in zip(names, one)} if named else one)
    kinds = {type(one) for one in tables if one is not _ABSENT}
    return (tables[0], tables[1]) if kinds == {dict} else (old, new)


def _change(path: tuple[str, ...], old: Any, new: Any, *, secret: bool) -> FieldChange:
    where, rest = _part(path)
    hidden = secret and (
        path[:1] == ("data",) or path[-1:] == (SALT,)
    )  # with the salt a checksum lets passwords be tried
    if path[-1:] and path[-1].lower() == "no_proxy" and not hidden and isinstance(old, str) and isinstance(new, str):
        left, right = old.split(","), new.split(",")
        out, into = ([one for one in a if one not in b] for a, b in ((left, right), (right, left)))
        if out or into:  # else another order: the whole of it
            return FieldChange(where, " ".join([*rest, "entries"]), ",".join(out) or None, ",".join(into) or None)
    before, after = (None if one is _ABSENT else _shown(one, hidden=hidden) for one in (old, new))
    return FieldChange(where, " ".join(rest), before, after)


def _part(path: Sequence[str]) -> tuple[str, list[str]]:
    rest = list(path)
    if rest[:3] == ["spec", "template", "spec"] and len(rest) > 4 and rest[3] in GROUPS:
        return f"{shown_group(rest[3])} {rest[4]}", rest[5:] or ["(all of it)"]
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
            return "{} {}".format(kind, inner["name"])
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
