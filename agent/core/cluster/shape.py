"""Shape of the objects that the agent reads, whether a person or the API server wrote them.

Only fields that the agent reads are checked; later code relies on their types.  As in the API, a
field that is null counts as absent.  Source: Kubernetes API reference, v1 and apps/v1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agent.core.cluster.admission import BINDING_KIND, POLICY_KIND
from agent.core.cluster.objects import CONFIG_MAP, KEY_REFERENCE, REFERENCE, SECRET
from agent.core.net.proxy_url import quoted

# A shape is a type, [shape of each item], or a table of fields.  A key that ends with "!" is
# required, and "*" stands for all keys.
_STRINGS = {"*": str}
_METADATA = {
    "name": str,
    "namespace": str,
    "uid": str,
    "annotations": _STRINGS,
    "labels": _STRINGS,
    "ownerReferences": [{"kind": str, "name": str}],
    "creationTimestamp": str,
    "deletionTimestamp": str,
    "generation": int,
    "managedFields": [{"manager": str, "operation": str, "time": str, "fieldsV1": {}}],
}
#: The API server names each object that it stores.
_STORED = {"name!": str, "namespace!": str}
_REFERENCE = {"name": str, "key": str, "optional": bool}
_CONTAINER = {
    "name!": str,
    "volumeMounts": [{"mountPath!": str}],
    "envFrom": [{"prefix": str, **dict.fromkeys(REFERENCE.values(), _REFERENCE)}],
    "env": [{"name!": str, "value": str, "valueFrom": dict.fromkeys(KEY_REFERENCE.values(), _REFERENCE)}],
}
_POD_SPEC = {
    "nodeName": str,
    "containers": [_CONTAINER],
    "initContainers": [_CONTAINER],
    "volumes": [{"name!": str, "configMap": {"name": str}}],
}
_STATUSES = [{"state": {"running": {"startedAt": str}}}]
_COUNTS = (
    "observedGeneration desiredNumberScheduled updatedNumberScheduled numberAvailable"
    " replicas updatedReplicas availableReplicas readyReplicas"
)
_WORKLOAD = {
    "metadata!": {**_METADATA, "name!": str},
    "spec!": {
        "template!": {"metadata": {"annotations": _STRINGS}, "spec!": _POD_SPEC},
        "replicas": int,
        "paused": bool,
        "updateStrategy": {"type": str, "rollingUpdate": {"partition": int}},
        "selector!": {
            "matchLabels": _STRINGS,
            "matchExpressions": [{"key!": str, "operator!": str, "values": [str]}],
        },
    },
    "status": {
        **dict.fromkeys(_COUNTS.split(), int),
        "updateRevision": str,
        "currentRevision": str,
        "conditions": [{"type": str, "reason": str, "message": str}],
    },
}
_SOURCE = {"metadata!": {**_METADATA, **_STORED, "uid!": str}, "data": _STRINGS}
_CLUSTER_OBJECT = {"metadata!": {**_METADATA, "name!": str, "uid!": str}, "spec!": {}}
_POD = {
    "metadata!": {**_METADATA, **_STORED},
    "spec!": _POD_SPEC,
    "status": {"phase": str, "containerStatuses": _STATUSES, "initContainerStatuses": _STATUSES},
}
_SHAPES: Mapping[str, Any] = {
    "DaemonSet": _WORKLOAD,
    "Deployment": _WORKLOAD,
    "StatefulSet": _WORKLOAD,
    CONFIG_MAP: _SOURCE,
    SECRET: _SOURCE,
    "Pod": _POD,
    "Namespace": {"metadata!": {**_METADATA, "name!": str}},
    POLICY_KIND: _CLUSTER_OBJECT,
    BINDING_KIND: _CLUSTER_OBJECT,
    "APIResourceList": {"resources": [{"name!": str}]},
    "Service": {"spec": {"clusterIP": str, "clusterIPs": [str]}},
    "ServiceCIDR": {"spec": {"cidrs": [str]}},
}
_LIST = "List"
_NAMES = {
    dict: "a mapping",
    list: "a list",
    str: "a string",
    int: "an integer",
    bool: "true or false",
    float: "a decimal number",
}


def shape_problem(obj: Any, kind: str) -> str:
    """Return the first field of an object (or of a list such as PodList) with a wrong type, or "".

    The text has no value, which may be secret.
    """
    if kind.endswith(_LIST) and kind not in _SHAPES:
        item = _SHAPES.get(kind[: -len(_LIST)], {})
        return _problem(obj, {"kind!": str, "items": [item], "metadata": {"continue": str}}, "")
    return _problem(obj, {"kind!": str, **_SHAPES.get(kind, {})}, "")


def _problem(value: Any, shape: Any, path: str) -> str:
    expected = shape if isinstance(shape, type) else type(shape)
    if type(value) is not expected:  # isinstance would take True for an integer
        found = "null" if value is None else _NAMES.get(type(value), type(value).__name__)
        return f"{path or 'object'}: expected {_NAMES[expected]}, not {found}"
    problems: Iterable[str] = ()
    if isinstance(value, list):
        problems = (_problem(item, shape[0], f"{path}[{index}]") for index, item in enumerate(value))
    elif isinstance(value, dict):
        problems = (_problem_below(value, key, shape[key], path) for key in shape)
    return next(filter(None, problems), "")


def _problem_below(table: Mapping[Any, Any], key: str, shape: Any, path: str) -> str:
    """Return the problem of one field of a table, or of all of its fields for the key "*"."""
    name = key.rstrip("!")
    where = f"{path}.{name}" if path else name
    if key == "*":
        problems = (
            _problem(table[name], shape, f"{path}[{quoted(str(name))}]") for name in table if table[name] is not None
        )
        return next(filter(None, problems), "")
    if table.get(name) is None:
        return f"{where}: missing" if name != key else ""
    return _problem(table[name], shape, where)
