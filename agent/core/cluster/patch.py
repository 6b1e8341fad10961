"""The JSON patches (RFC 6902) that give a workload's containers the variables, and take them back.  Pure.

envFrom is an atomic list: a strategic merge or a forced server-side apply would drop the owner's
entries.  So each list is replaced as a whole, guarded by a `test` of what was read; the API server
(evanphx/json-patch) takes a `test` against null for "is absent".  The API's normal form is used
throughout: it stores an empty list or map as none at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from agent.core.cluster.objects import CHECKSUM, KEY_REFERENCE, NAME, REFERENCE, UNDO, VARIABLES, Source
from agent.core.cluster.undo_annotation import Removed, Undo

Op = dict[str, Any]
GROUPS = ("initContainers", "containers")
_TEMPLATE = ("spec", "template")


@attrs.frozen
class Beaten:
    """An `env` entry of a container's own, which beats envFrom; `secret` when its value holds a password."""

    group: str
    container: str
    variable: str
    secret: bool

    @property
    def where(self) -> str:
        return f"{shown_group(self.group)} {self.container}"


@attrs.frozen
class Patch:
    """Operations, none when all is as wanted already, and what beats envFrom after them."""

    ops: tuple[Op, ...]
    beaten: tuple[Beaten, ...] = ()


def shown_group(group: str) -> str:
    """`container` or `init container`."""
    return "init container" if group == "initContainers" else "container"


def containers(pod_spec: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """Every container of a pod's spec with its group and index."""
    for group in GROUPS:
        for index, container in enumerate(pod_spec.get(group) or []):
            yield group, index, container


def template_spec(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The pod spec of a workload's template."""
    spec: Mapping[str, Any] = found["spec"]["template"]["spec"]
    return spec


def refers(container: Mapping[str, Any], kind: str) -> bool:
    """Whether a container takes all variables of our ConfigMap or Secret."""
    return any(_is_ours(entry, kind) for entry in container.get("envFrom") or [])


def needs(container: Mapping[str, Any], kind: str) -> bool:
    """Whether a container does not start without our ConfigMap or Secret; an owner's own reference may be optional."""
    whole = [entry.get(REFERENCE[kind]) or {} for entry in container.get("envFrom") or []]
    keys = [(entry.get("valueFrom") or {}).get(KEY_REFERENCE[kind]) or {} for entry in container.get("env") or []]
    return any(one.get("name") == NAME and not one.get("optional") for one in whole + keys)


def overruled(pod_spec: Mapping[str, Any], kind: str) -> list[tuple[str, str, str]]:
    """What stands after our reference in envFrom, where the last one wins, and may hold one of the variables.

    Each as group, container, and its name for people.
    """
    return [
        (group, str(container["name"]), _shown(entry))
        for group, _, container in containers(pod_spec)
        for entry in _after_ours(container.get("envFrom") or [], kind)
    ]


def beaten(pod_spec: Mapping[str, Any], kind: str) -> tuple[Beaten, ...]:
    """What beats envFrom in the containers of a pod spec."""
    return tuple(
        Beaten(group, str(container["name"]), str(entry["name"]), _has_password(entry))
        for group, _, container in containers(pod_spec)
        for entry in container.get("env") or []
        if _beats(entry, kind)
    )


def apply_patch(found: Mapping[str, Any], source: Source, *, take_over: bool) -> Patch:
    """What makes every container refer to `source`; with `take_over` also what takes away the env that beats it.

    An entry with a password is left where it is: to be able to give it back we would have to write
    it down.
    """
    undo = Undo.read(found).only({_id(group, container) for group, _, container in containers(template_spec(found))})
    ops: list[Op] = []
    for group, index, container in containers(template_spec(found)):
        here = [*_TEMPLATE, "spec", group, str(index)]
        name = _id(group, container)
        wanted, ours = _with_ours(container.get("envFrom") or [], source.kind, undo.env_from.get(name, ""))
        edits = _edit(found, [*here, "envFrom"], wanted)
        undo = undo.given(name, ours)
        if take_over:
            env = container.get("env") or []
            gone = [at for at, entry in enumerate(env) if _beats(entry, source.kind) and not _has_password(entry)]
            undo = undo.removed(Removed(name, at, env[at]) for at in gone)
            edits += _edit(found, [*here, "env"], [entry for at, entry in enumerate(env) if at not in gone])
        ops += _named(here, container, edits)
    ops += _edit(found, [*_TEMPLATE, "metadata", "annotations", CHECKSUM], source.checksum)
    annotations = ["metadata", "annotations"]
    ops += _edit(found, [*annotations, UNDO], undo.text()) if undo else _without_key(found, annotations, UNDO)
    left = [one for one in beaten(template_spec(found), source.kind) if one.secret or not take_over]
    return Patch(tuple(ops), tuple(left))


def revert_patch(found: Mapping[str, Any]) -> Patch:
    """What takes back exactly what `apply_patch` did; references and env that the owner wrote stay."""
    undo = Undo.read(found)
    ops: list[Op] = []
    for group, index, container in containers(template_spec(found)):
        here = [*_TEMPLATE, "spec", group, str(index)]
        name, edits = _id(group, container), []
        if name in undo.env_from:
            edits += _edit(found, [*here, "envFrom"], _without(container.get("envFrom") or [], undo.env_from[name]))
        edits += _edit(found, [*here, "env"], undo.restored(name, container.get("env") or []))
        ops += _named(here, container, edits)
    ops += _without_key(found, [*_TEMPLATE, "metadata", "annotations"], CHECKSUM)
    ops += _without_key(found, ["metadata", "annotations"], UNDO)
    return Patch(tuple(ops))


def _id(group: str, container: Mapping[str, Any]) -> str:
    return "{}/{}".format(group, container["name"])


def _is_ours(entry: Mapping[str, Any], kind: str) -> bool:
    reference = entry.get(REFERENCE[kind]) or {}
    return reference.get("name") == NAME and not entry.get("prefix")


def _with_ours(current: Sequence[Mapping[str, Any]], kind: str, mine: str) -> tuple[Sequence[Mapping[str, Any]], str]:
    """The list with our entry last, where it wins, and the kind of it that is ours, empty when the owner's does.

    `mine` is the kind that we added before; it goes when the proxy got or lost its password.
    """
    kept = current if mine in ("", kind) else _without(current, mine)
    if any(_is_ours(entry, kind) for entry in kept):
        if not _after_ours(kept, kind):
            return kept, mine if mine == kind else ""
        kept = _without(kept, kind) if mine == kind else kept
    return [*kept, {REFERENCE[kind]: {"name": NAME}}], kind


def _without(current: Sequence[Mapping[str, Any]], kind: str) -> Sequence[Mapping[str, Any]]:
    """The list without the last reference of this kind: an owner's of the same kind stands before ours."""
    last = _last(current, kind)
    return [entry for at, entry in enumerate(current) if at != last]


def _last(current: Sequence[Mapping[str, Any]], kind: str) -> int:
    return max((at for at, entry in enumerate(current) if _is_ours(entry, kind)), default=-1)


def _after_ours(current: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    last = _last(current, kind)
    later = current[last + 1 :] if last >= 0 else []
    return [entry for entry in later if any(name.startswith(entry.get("prefix") or "") for name in VARIABLES)]


def _shown(entry: Mapping[str, Any]) -> str:
    kind = next((one for one in REFERENCE.values() if one in entry), "")
    return "{} {}".format(kind, (entry.get(kind) or {}).get("name", ""))


def _beats(entry: Mapping[str, Any], kind: str) -> bool:
    """Whether an env entry sets a proxy variable to anything but the same key of our ConfigMap or Secret."""
    if entry.get("name") not in VARIABLES:
        return False
    reference = (entry.get("valueFrom") or {}).get(KEY_REFERENCE[kind]) or {}
    return not (reference.get("name") == NAME and reference.get("key") == entry.get("name"))


def _has_password(entry: Mapping[str, Any]) -> bool:
    return "@" in str(entry.get("value", ""))


def _named(here: Sequence[str], container: Mapping[str, Any], edits: list[Op]) -> list[Op]:
    """The edits of a container, if any, and before them a test that it is this container."""
    return [{"op": "test", "path": pointer([*here, "name"]), "value": container["name"]}, *edits] if edits else []


def _edit(found: Any, path: Sequence[str], value: Any) -> list[Op]:
    """What makes `path` be `value`; None and empty lists mean absent.  Parents that are missing are made.

    No operation when it is so already.
    """
    parent = found
    for depth, key in enumerate(path[:-1]):
        child = parent[int(key)] if isinstance(parent, list) else parent.get(key)
        if child is None or child == {}:
            if not value:
                return []
            for rest in reversed(path[depth + 1 :]):
                value = {rest: value}
            return [
                _absent(path[: depth + 1], child),
                {"op": "add", "path": pointer(path[: depth + 1]), "value": value},
            ]
        parent = child
    old = parent.get(path[-1])
    if (old or None) == (value or None):
        return []
    where = pointer(path)
    if not value:
        return [{"op": "test", "path": where, "value": old}, {"op": "remove", "path": where}]
    verb = "add" if old is None else "replace"
    return [{"op": "test", "path": where, "value": old}, {"op": verb, "path": where, "value": value}]


def _absent(path: Sequence[str], child: Any) -> Op:
    return {"op": "test", "path": pointer(path), "value": child}


def _without_key(found: Mapping[str, Any], path: Sequence[str], key: str) -> list[Op]:
    """What removes a key of a map, and the map itself with its last key."""
    table: Any | None = found
    for part in path:
        table = (table or {}).get(part)
    return _edit(found, path if table and set(table) == {key} else [*path, key], None)


def pointer(path: Sequence[str]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def patch_text(patch: Patch) -> str:
    """The patch as kubectl reads it, one operation a line."""
    return "[\n{}\n]\n".format(",\n".join(json.dumps(op, sort_keys=True) for op in patch.ops))
