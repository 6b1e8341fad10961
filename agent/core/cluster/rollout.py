"""Progress of a rollout, by the fields that `kubectl rollout status` reads.

Source: kubectl/pkg/polymorphichelpers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.record import evolve, record


@record
class Rollout:
    """State of a rollout.

    `done`: all pods have the current template and are available.  `failed`: waiting longer is of no
    use.  `by_hand`: the update strategy of the workload leaves it to a person to delete the pods.
    """

    done: bool
    text: str
    failed: bool = False
    by_hand: bool = False


def rollout(obj: Mapping[str, Any]) -> Rollout:
    """Return the state of a DaemonSet, Deployment or StatefulSet as the API returned it."""
    status, spec = obj.get("status") or {}, obj["spec"]
    if _number(status, "observedGeneration") < _number(obj.get("metadata") or {}, "generation"):
        return Rollout(False, "waiting for the controller to observe the change")
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return Rollout(True, "the update strategy is OnDelete; delete the pods to replace them", by_hand=True)
    if spec.get("paused"):
        return Rollout(True, "the rollout is paused; to replace the pods: kubectl rollout resume", by_hand=True)
    if obj.get("kind") == "DaemonSet":
        return _counted(status, "desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    if obj.get("kind") == "StatefulSet":
        return _stateful_set(spec, status)
    return _deployment(spec, status)


def desired_pods(obj: Mapping[str, Any]) -> int:
    """Return the number of pods that a workload should have.

    The controller counts those of a DaemonSet; for other workloads the operator sets the number.
    """
    if obj.get("kind") == "DaemonSet":
        return _number(obj.get("status") or {}, "desiredNumberScheduled")
    return _replicas(obj["spec"])


def _replicas(spec: Mapping[str, Any]) -> int:
    replicas = spec.get("replicas")
    return 1 if replicas is None else int(replicas)


def _number(table: Mapping[str, Any], key: str) -> int:
    return int(table.get(key) or 0)


def _deployment(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Rollout:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return Rollout(False, f"progress deadline exceeded: {condition.get('message') or ''}", failed=True)
    old = _number(status, "replicas") - _number(status, "updatedReplicas")
    counts = {**status, "desired": _replicas(spec)}
    counted = _counted(counts, "desired", "updatedReplicas", "availableReplicas")
    text = f"{counted.text}, {max(0, old)} old pending termination"
    return evolve(counted, done=counted.done and old <= 0, text=text)


def _stateful_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Rollout:
    partition = _number((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}, "partition")
    desired = _replicas(spec)
    if partition:
        text = f"the partition is {partition}; pods with a lower ordinal are replaced only when you lower it"
        updated, needed = _number(status, "updatedReplicas"), max(0, desired - partition)
        return Rollout(updated >= needed, f"{updated} of {needed} pods updated; {text}", by_hand=True)
    # At the end of a rollout the controller makes both revisions equal, and no longer counts any
    # pod as updated.
    if status.get("updateRevision") == status.get("currentRevision"):
        ready = _number(status, "readyReplicas")
        return Rollout(ready >= desired, f"{desired} of {desired} pods updated, {ready} available")
    counts = {**status, "desired": desired}
    return evolve(_counted(counts, "desired", "updatedReplicas", "readyReplicas"), done=False)


def _counted(status: Mapping[str, Any], desired_key: str, updated_key: str, available_key: str) -> Rollout:
    desired, updated, available = (_number(status, key) for key in (desired_key, updated_key, available_key))
    text = f"{updated} of {desired} pods updated, {available} available"
    return Rollout(updated >= desired and available >= desired, text)
