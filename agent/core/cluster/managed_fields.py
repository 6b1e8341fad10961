"""Field managers of an object, read from metadata.managedFields.

Source: "Server-Side Apply", section "Field management", in the Kubernetes documentation; FieldsV1
in its API reference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.core.cluster.objects import MANAGER, OURS, WORKLOADS
from agent.core.record import record


@record
class FieldManager:
    """One writer of a field.

    `time` is RFC 3339 in UTC without fractions, as the API writes it: such texts sort by time.
    """

    time: str
    manager: str
    operation: str

    def __str__(self) -> str:
        return f'"{self.manager}" ({self.operation}, {self.time or "time unknown"})'


def managers(obj: Mapping[str, Any], path: Sequence[str]) -> tuple[FieldManager, ...]:
    """Return the managers of the field at `path` (such as f:spec, f:template), newest first."""
    matches = [manager for manager, fields in _entries(obj) if _has(fields, path)]
    return tuple(sorted(matches, key=lambda match: (match.time, match.manager, match.operation), reverse=True))


def other_managers(obj: Mapping[str, Any], path: Sequence[str]) -> tuple[FieldManager, ...]:
    """Return the managers of a field without ourselves, newest first."""
    return tuple(writer for writer in managers(obj, path) if writer.manager != MANAGER)


def is_ours(obj: Mapping[str, Any]) -> bool:
    """Return True if the agent made this ConfigMap or Secret."""
    return WORKLOADS in ((obj.get("metadata") or {}).get("annotations") or {})


def is_for_policy(obj: Mapping[str, Any]) -> bool:
    """Return True if an apply with the policy made this object: no template refers to it."""
    return OURS.items() <= ((obj.get("metadata") or {}).get("labels") or {}).items()


def is_ours_alone(obj: Mapping[str, Any]) -> bool:
    """Return True if the agent may delete the object: it made it, and no one else wrote data."""
    return is_ours(obj) and not other_managers(obj, ["f:data"])


def is_applied_by_us(obj: Mapping[str, Any]) -> bool:
    """Return True if an object has fields of our server-side apply."""
    return any(writer.manager == MANAGER and writer.operation == "Apply" for writer, _ in _entries(obj))


def container_path(group: str, name: str, *rest: str) -> list[str]:
    """Return the path of a container in the pod template of a workload, and of a field below it."""
    return ["f:spec", "f:template", "f:spec", "f:" + group, keyed_by_name(name), *rest]


def keyed_by_name(name: str) -> str:
    """Return the path element of an item in a list that is keyed by name."""
    return "k:" + json.dumps({"name": name}, separators=(",", ":"))


def data_changed(obj: Mapping[str, Any], *, by_us: bool) -> str:
    """Return when the data of a ConfigMap or Secret last changed, or "" if that is unknown.

    Without `by_us`, our own changes do not count.  Our own entry also gets a new time with each
    change of an annotation.
    """
    path = ["f:data"]
    return max((writer.time for writer in (managers if by_us else other_managers)(obj, path)), default="")


def _entries(obj: Mapping[str, Any]) -> Iterator[tuple[FieldManager, Mapping[str, Any]]]:
    for entry in (obj.get("metadata") or {}).get("managedFields") or []:
        time, manager, operation = (str(entry.get(key) or "") for key in ("time", "manager", "operation"))
        yield FieldManager(time, manager, operation), entry.get("fieldsV1") or {}


def _has(fields: Any, path: Sequence[str]) -> bool:
    for key in path:
        if not isinstance(fields, dict) or key not in fields:
            return False
        fields = fields[key]
    return True
