"""Who wrote what of an object: metadata.managedFields, read for people.  Pure.

Source: "Server-Side Apply", section "Field management", in the Kubernetes documentation; FieldsV1
in its API reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from agent.core.cluster.objects import MANAGER, WORKLOADS


@attrs.frozen(order=True)
class Owner:
    """`time` is RFC 3339 in UTC without fractions, as the API writes it: such texts sort by time."""

    time: str
    manager: str
    operation: str

    def __str__(self) -> str:
        return '"{}" ({}, {})'.format(self.manager, self.operation, self.time or "time unknown")


def owners(found: Mapping[str, Any], path: Sequence[str]) -> tuple[Owner, ...]:
    """The managers of the field at `path` (such as f:spec, f:template), newest first."""
    matches = [owner for owner, fields in _entries(found) if _has(fields, path)]
    return tuple(sorted(matches, reverse=True))


def others(found: Mapping[str, Any], path: Sequence[str]) -> tuple[Owner, ...]:
    """The managers of a field but for us."""
    return tuple(owner for owner in owners(found, path) if owner.manager != MANAGER)


def is_ours(found: Mapping[str, Any]) -> bool:
    """Whether a ConfigMap or Secret is of our making."""
    return WORKLOADS in ((found.get("metadata") or {}).get("annotations") or {})


def is_ours_alone(found: Mapping[str, Any]) -> bool:
    """Whether we wrote its data and nobody else did: then it is ours to delete."""
    return is_ours(found) and not others(found, ["f:data"])


def container_path(group: str, name: str, *rest: str) -> list[str]:
    """The path of a container in a workload's pod template, and of what is below."""
    return ["f:spec", "f:template", "f:spec", "f:" + group, named(name), *rest]


def named(name: str) -> str:
    """An element of a list that is keyed by name."""
    return "k:" + json.dumps({"name": name}, separators=(",", ":"))


def data_changed(found: Mapping[str, Any], *, by_us: bool) -> str:
    """When somebody last changed the data of a ConfigMap or Secret, we included or not; empty when that is not known.

    Our own entry gets a new time with each change of an annotation as well.
    """
    path = ["f:data"]
    return max((one.time for one in (owners if by_us else others)(found, path)), default="")


def _entries(found: Mapping[str, Any]) -> Iterator[tuple[Owner, Mapping[str, Any]]]:
    for entry in (found.get("metadata") or {}).get("managedFields") or []:
        owner = Owner(str(entry.get("time", "")), str(entry.get("manager", "")), str(entry.get("operation", "")))
        yield owner, entry.get("fieldsV1") or {}


def _has(fields: Any, path: Sequence[str]) -> bool:
    for key in path:
        if not isinstance(fields, dict) or key not in fields:
            return False
        fields = fields[key]
    return True
