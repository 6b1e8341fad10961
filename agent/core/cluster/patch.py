"""JSON patches (RFC 6902) that give a workload's containers the variables, and that revert this.

envFrom is an atomic list: a strategic merge or a forced server-side apply would drop the operator's
entries.  So each list is replaced as a whole, after a `test` of what was read.  The API server
(evanphx/json-patch) accepts a `test` against null for an absent value.  Values are in the API's
normal form: it stores an empty list or map as absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.core.cluster.objects import CHECKSUM, KEY_REFERENCE, NAME, REFERENCE, UNDO, VARIABLES, Source
from agent.core.cluster.undo_annotation import RemovedEnv, Undo
from agent.core.record import record

Op = dict[str, Any]
GROUPS = ("initContainers", "containers")
_TEMPLATE = ("spec", "template")


@record
class EnvOverride:
    """Container's own `env` entry that overrides envFrom.

    `secret` is True if its value contains a password.
    """

    group: str
    container: str
    variable: str
    secret: bool

    @property
    def where(self) -> str:
        return f"{shown_group(self.group)} {self.container}"


@record
class Patch:
    """Operations, none if nothing has to change, and the env that overrides envFrom after them."""

    ops: tuple[Op, ...]
    env_overrides: tuple[EnvOverride, ...] = ()


def shown_group(group: str) -> str:
    """Return `container` or `init container`."""
    return "init container" if group == "initContainers" else "container"


def containers(pod_spec: Mapping[str, Any]) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """Yield the group, index and container of every container of a pod spec."""
    for group in GROUPS:
        for index, container in enumerate(pod_spec.get(group) or []):
            yield group, index, container


def template_spec(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the pod spec in the template of a workload."""
    spec: Mapping[str, Any] = obj["spec"]["template"]["spec"]
    return spec


def has_reference(container: Mapping[str, Any], kind: str) -> bool:
    """Return True if a container takes all variables of our ConfigMap or Secret."""
    return any(_is_ours(entry, kind) for entry in container.get("envFrom") or [])


def requires_source(container: Mapping[str, Any], kind: str) -> bool:
    """Return True if a container cannot start without our ConfigMap or Secret.

    A reference that the operator wrote may be optional.
    """
    whole = [entry.get(REFERENCE[kind]) or {} for entry in container.get("envFrom") or []]
    keys = [(entry.get("valueFrom") or {}).get(KEY_REFERENCE[kind]) or {} for entry in container.get("env") or []]
    return any(reference.get("name") == NAME and not reference.get("optional") for reference in whole + keys)


def later_references(pod_spec: Mapping[str, Any], kind: str) -> list[tuple[str, str, str]]:
    """Return the envFrom entries after ours that may hold one of the variables.

    The last entry of envFrom wins.  Each is returned as its group, container, and name for people.
    """
    return [
        (group, str(container["name"]), _shown(entry))
        for group, _, container in containers(pod_spec)
        for entry in _after_ours(container.get("envFrom") or [], kind)
    ]


def env_overrides(pod_spec: Mapping[str, Any], kind: str) -> tuple[EnvOverride, ...]:
    """Return the env entries of a pod spec that override envFrom."""
    return tuple(
        EnvOverride(group, str(container["name"]), str(entry["name"]), _has_password(entry))
        for group, _, container in containers(pod_spec)
        for entry in container.get("env") or []
        if _is_override(entry, kind)
    )


def apply_patch(obj: Mapping[str, Any], source: Source, *, take_over: bool) -> Patch:
    """Return the patch that makes every container of a workload refer to `source`.

    With `take_over` it also removes the env that overrides `source`.  An entry with a password
    stays: to restore it, revert would need the password in the annotation.
    """
    undo = Undo.read(obj).only({_id(group, container) for group, _, container in containers(template_spec(obj))})
    ops: list[Op] = []
    for group, position, container in containers(template_spec(obj)):
        path = [*_TEMPLATE, "spec", group, str(position)]
        name = _id(group, container)
        env_from, our_kind = _with_ours(container.get("envFrom") or [], source.kind, undo.env_from.get(name, ""))
        edits = _edit(obj, [*path, "envFrom"], env_from)
        undo = undo.with_reference(name, our_kind)
        if take_over:
            env = container.get("env") or []
            removable = [_is_override(entry, source.kind) and not _has_password(entry) for entry in env]
            undo = undo.with_removed(RemovedEnv(name, i, entry) for i, entry in enumerate(env) if removable[i])
            edits += _edit(obj, [*path, "env"], [entry for i, entry in enumerate(env) if not removable[i]])
        ops += _guarded(path, container, edits)
    ops += _edit(obj, [*_TEMPLATE, "metadata", "annotations", CHECKSUM], source.checksum)
    annotations = ["metadata", "annotations"]
    ops += _edit(obj, [*annotations, UNDO], undo.text()) if undo else _without_key(obj, annotations, UNDO)
    overrides = env_overrides(template_spec(obj), source.kind)
    return Patch(tuple(ops), tuple(override for override in overrides if override.secret or not take_over))


def revert_patch(obj: Mapping[str, Any]) -> Patch:
    """Return the patch that undoes exactly what `apply_patch` did.

    References and env that the operator wrote stay.
    """
    undo = Undo.read(obj)
    ops: list[Op] = []
    for group, position, container in containers(template_spec(obj)):
        path = [*_TEMPLATE, "spec", group, str(position)]
        name, edits = _id(group, container), []
        if name in undo.env_from:
            edits += _edit(obj, [*path, "envFrom"], _without(container.get("envFrom") or [], undo.env_from[name]))
        edits += _edit(obj, [*path, "env"], undo.restore(name, container.get("env") or []))
        ops += _guarded(path, container, edits)
    ops += _without_key(obj, [*_TEMPLATE, "metadata", "annotations"], CHECKSUM)
    ops += _without_key(obj, ["metadata", "annotations"], UNDO)
    return Patch(tuple(ops))


def _id(group: str, container: Mapping[str, Any]) -> str:
    return f"{group}/{container['name']}"


def _is_ours(entry: Mapping[str, Any], kind: str) -> bool:
    reference = entry.get(REFERENCE[kind]) or {}
    return reference.get("name") == NAME and not entry.get("prefix")


def _with_ours(
    current: Sequence[Mapping[str, Any]], kind: str, previous: str
) -> tuple[Sequence[Mapping[str, Any]], str]:
    """Return the list with our entry last, where it wins, and the kind of our entry.

    The kind is "" if an entry that the operator wrote is sufficient.  `previous` is the kind that
    we added before; that entry goes when the proxy got or lost its password.
    """
    kept = current if previous in ("", kind) else _without(current, previous)
    if any(_is_ours(entry, kind) for entry in kept):
        if not _after_ours(kept, kind):
            return kept, previous if previous == kind else ""
        kept = _without(kept, kind) if previous == kind else kept
    return [*kept, {REFERENCE[kind]: {"name": NAME}}], kind


def _without(current: Sequence[Mapping[str, Any]], kind: str) -> Sequence[Mapping[str, Any]]:
    """Return the list without our reference of this kind, the last: the operator's come before."""
    last = _last(current, kind)
    return [entry for i, entry in enumerate(current) if i != last]


def _last(current: Sequence[Mapping[str, Any]], kind: str) -> int:
    return max((i for i, entry in enumerate(current) if _is_ours(entry, kind)), default=-1)


def _after_ours(current: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    last = _last(current, kind)
    later = current[last + 1 :] if last >= 0 else []
    return [entry for entry in later if any(name.startswith(entry.get("prefix") or "") for name in VARIABLES)]


def _shown(entry: Mapping[str, Any]) -> str:
    key = next((key for key in REFERENCE.values() if key in entry), "")
    return f"{key} {(entry.get(key) or {}).get('name') or ''}"


def _is_override(entry: Mapping[str, Any], kind: str) -> bool:
    """Return True if an env entry sets a proxy variable from anywhere but our object.

    A reference to the same key of our ConfigMap or Secret has the same value.
    """
    if entry.get("name") not in VARIABLES:
        return False
    reference = (entry.get("valueFrom") or {}).get(KEY_REFERENCE[kind]) or {}
    return not (reference.get("name") == NAME and reference.get("key") == entry.get("name"))


def _has_password(entry: Mapping[str, Any]) -> bool:
    return "@" in str(entry.get("value", ""))


def _guarded(path: Sequence[str], container: Mapping[str, Any], edits: list[Op]) -> list[Op]:
    """Return the edits of a container, if any, after a test that it is still this container."""
    return [{"op": "test", "path": pointer([*path, "name"]), "value": container["name"]}, *edits] if edits else []


def _edit(obj: Any, path: Sequence[str], value: Any) -> list[Op]:
    """Return the operations that set `path` to `value`, none if it has that value already.

    None and empty lists mean absent.  Missing parents are created.
    """
    parent = obj
    for depth, key in enumerate(path[:-1]):
        child = parent[int(key)] if isinstance(parent, list) else parent.get(key)
        if child is None or child == {}:
            if not value:
                return []
            for rest in reversed(path[depth + 1 :]):
                value = {rest: value}
            where = pointer(path[: depth + 1])
            return [{"op": "test", "path": where, "value": child}, {"op": "add", "path": where, "value": value}]
        parent = child
    old = parent.get(path[-1])
    if (old or None) == (value or None):
        return []
    where = pointer(path)
    if not value:
        return [{"op": "test", "path": where, "value": old}, {"op": "remove", "path": where}]
    verb = "add" if old is None else "replace"
    return [{"op": "test", "path": where, "value": old}, {"op": verb, "path": where, "value": value}]


def _without_key(obj: Mapping[str, Any], path: Sequence[str], key: str) -> list[Op]:
    """Return the operations that remove a key of a map, and the map itself with its last key."""
    table: Any | None = obj
    for part in path:
        table = (table or {}).get(part)
    return _edit(obj, path if table and set(table) == {key} else [*path, key], None)


def pointer(path: Sequence[str]) -> str:
    """Return a JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def patch_text(patch: Patch) -> str:
    """Return the patch as kubectl reads it, one operation a line."""
    return "[\n{}\n]\n".format(",\n".join(json.dumps(op, sort_keys=True) for op in patch.ops))
