"""Workloads in manifests that a person wrote, as YAML or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agent.core.cluster.shape import shape_problem
from agent.core.facts.node_config_yaml import documents_of
from agent.core.net.proxy_url import quoted
from agent.core.settings.workloads import KINDS, Workload
from agent.errors import FileError

#: Of one file; `kubectl get daemonsets -A -o yaml` of a large cluster has some ten thousand.
_VALUES = 200_000
_LIST = "List"


def workloads_in(path: str, content: bytes) -> dict[Workload, Mapping[str, Any]]:
    """Return the workloads in the content of a file.

    It has one or many documents, which are objects or lists of objects; other kinds are ignored.
    Raises AgentError that names the object and the field.
    """
    manifests: dict[Workload, Mapping[str, Any]] = {}
    for number, document in enumerate(documents_of(path, _decoded(path, content), _VALUES), start=1):
        for where, kind, obj in _objects(f"{path}: document {number}", document, ""):
            if kind not in KINDS.values():
                continue
            problem = shape_problem({**obj, "kind": kind}, kind)
            if problem:
                raise FileError(
                    f"{where}: {_shown(kind, obj)}: {problem}", hint="to write one: kubectl get ... -o yaml"
                )
            metadata = obj["metadata"]
            workload = Workload(metadata.get("namespace") or "default", kind, metadata["name"])
            manifests[workload] = {**obj, "kind": kind}
    return manifests


def _decoded(path: str, content: bytes) -> str:
    is_utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # PowerShell's redirection
    try:
        return content.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise FileError(f"{path}: invalid UTF-8") from None


def _objects(where: str, document: Any, kind: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield each object with its place and kind; `kind` is that of an object that names none."""
    if not isinstance(document, dict):
        raise FileError(f"{where}: not a Kubernetes object: expected a mapping")
    kind = document.get("kind") or kind
    if not kind or not isinstance(kind, str):
        raise FileError(f"{where}: not a Kubernetes object: it has no kind")
    if not kind.endswith(_LIST) or "items" not in document:
        yield where, kind, document
        return
    items = document["items"] or []
    if not isinstance(items, list):
        raise FileError(f"{where}: {quoted(kind)}: items: expected a list")
    for index, item in enumerate(items):
        yield from _objects(f"{where}: items[{index}]", item, kind[: -len(_LIST)])


def _shown(kind: str, obj: Mapping[str, Any]) -> str:
    """Return kind and name of an object, as far as it has a name."""
    metadata = obj.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{kind} {quoted(name)}" if isinstance(name, str) else kind
