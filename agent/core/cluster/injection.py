"""The rule of the policy (policy.py) in Python: what it does to a pod.

`make policy-test` compares both on many pods; the API server's verdicts are in
tests/cluster/policy-cases.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.core.cluster.admission import ALWAYS, ENABLED, INJECT, MIRROR, NEVER, namespaces_of
from agent.core.cluster.objects import KEY_REFERENCE, NAME, REFERENCE, SECRET, VARIABLES, Source
from agent.core.cluster.patch import containers
from agent.core.settings.workloads import Workload

#: What happens to a container.  In the last case its envFrom may hold the variables.
INJECTED, OWN, SKIPPED = "injected", "own env", "skipped: envFrom"
_LOWER = frozenset(name.lower() for name in VARIABLES)


def source_env(source: Source) -> list[dict[str, Any]]:
    """Return the env entries that a container gets; none if a value is absent: all six, or none."""
    if source.kind == SECRET:
        key = KEY_REFERENCE[SECRET]
        return [{"name": n, "valueFrom": {key: {"name": NAME, "key": n, "optional": True}}} for n in VARIABLES]
    if not all(name in source.data for name in VARIABLES):
        return []
    return [{"name": name, "value": source.data[name]} for name in VARIABLES]


def is_chosen(pod: Mapping[str, Any], labels: Mapping[str, str], workloads: Sequence[Workload]) -> bool:
    """Return True if the policy applies to a pod, in a namespace that has these labels."""
    annotations = _annotations(pod)
    if annotations.get(INJECT) == NEVER or MIRROR in annotations:
        return False
    if pod["metadata"]["namespace"] in namespaces_of(workloads):
        return any(_is_of(pod, workload) for workload in workloads)
    return labels.get(INJECT) == ENABLED


def verdict(pod: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    """Return what happens to a container of a chosen pod."""
    if any(_ascii_lower(str(entry["name"])) in _LOWER for entry in container.get("env") or []):
        return OWN
    return INJECTED if has_known_sources(pod, container) else SKIPPED


def has_known_sources(pod: Mapping[str, Any], container: Mapping[str, Any]) -> bool:
    """Return True if a container has no envFrom of others, or its pod is annotated with ALWAYS."""
    is_forced = _annotations(pod).get(INJECT) == ALWAYS
    return is_forced or all(_is_ours(entry) for entry in container.get("envFrom") or [])


def injected_env(
    pod: Mapping[str, Any], labels: Mapping[str, str], workloads: Sequence[Workload], env: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str], list[Any]]:
    """Return (group, container) → env of a new pod after admission; `env` is that of source_env."""
    is_active = is_chosen(pod, labels, workloads)
    return {
        (group, str(container["name"])): [
            *(container.get("env") or []),
            *(env if is_active and verdict(pod, container) == INJECTED else []),
        ]
        for group, _, container in containers(pod["spec"])
    }


def has_env(pod: Mapping[str, Any], env: Sequence[Mapping[str, Any]]) -> bool:
    """Return True if each container of a pod has these env entries."""
    return all(entry in (container.get("env") or []) for _, _, container in containers(pod["spec"]) for entry in env)


def _annotations(pod: Mapping[str, Any]) -> Mapping[str, str]:
    return pod["metadata"].get("annotations") or {}


def _is_ours(entry: Mapping[str, Any]) -> bool:
    names = [(entry.get(key) or {}).get("name") for key in REFERENCE.values()]
    return not entry.get("prefix") and NAME in names


def _is_of(pod: Mapping[str, Any], workload: Workload) -> bool:
    """Return True if a workload owns a pod, by the name of its ReplicaSet for a Deployment."""
    if pod["metadata"]["namespace"] != workload.namespace:
        return False
    kind, name = workload.kind, workload.name
    if kind == "Deployment":
        labels = pod["metadata"].get("labels") or {}
        kind, name = "ReplicaSet", f"{name}-{labels.get('pod-template-hash') or ''}"
    owners = pod["metadata"].get("ownerReferences") or []
    return any(owner.get("kind") == kind and owner.get("name") == name for owner in owners)


def _ascii_lower(text: str) -> str:
    """Return the text with A-Z in lower case, as CEL's lowerAscii does: other letters stay."""
    return "".join(chr(ord(letter) + 32) if "A" <= letter <= "Z" else letter for letter in text)
