"""How far a rollout is: what `kubectl rollout status` looks at (its source: kubectl/pkg/polymorphichelpers).  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class Rollout:
    """`done`: all pods are of the current template and available.  `failed`: waiting longer is of no use.

    `by_hand`: the workload's update strategy leaves it to a person to delete the pods.
    """

    done: bool
    text: str
    failed: bool = False
    by_hand: bool = False


def rollout(found: Mapping[str, Any]) -> Rollout:
    """The state of a DaemonSet, Deployment or StatefulSet as the API gives it."""
    status, spec = found.get("status") or {}, found["spec"]
    if int(status.get("observedGeneration", 0)) < int((found.get("metadata") or {}).get("generation", 0)):
        return Rollout(False, "waiting for the controller to notice")
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return Rollout(True, "its update strategy is OnDelete: a pod changes when you delete it", by_hand=True)
    if spec.get("paused"):
        return Rollout(True, "it is paused: its pods change after kubectl rollout resume", by_hand=True)
    if found.get("kind") == "DaemonSet":
        return _counted(status, "desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")
    if found.get("kind") == "StatefulSet":
        return _stateful_set(spec, status)
    return _deployment(spec, status)


def wanted_pods(found: Mapping[str, Any]) -> int:
    """How many pods a workload is to have: a DaemonSet's are counted by its controller, the others' by their owner."""
    if found.get("kind") == "DaemonSet":
        return int((found.get("status") or {}).get("desiredNumberScheduled", 0))
    return int(found["spec"].get("replicas", 1))


def _deployment(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Rollout:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return Rollout(
                False, "exceeded its progress deadline: {}".format(condition.get("message", "")), failed=True
            )
    old = int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))
    wanted = {**status, "wanted": spec.get("replicas", 1)}
    found = _counted(wanted, "wanted", "updatedReplicas", "availableReplicas")
    return attrs.evolve(found, done=found.done and old <= 0, text=f"{found.text}, {max(0, old)} old left")


def _stateful_set(spec: Mapping[str, Any], status: Mapping[str, Any]) -> Rollout:
    partition = int(((spec.get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition") or 0)
    wanted = int(spec.get("replicas", 1))
    if partition:
        text = f"its partition is {partition}: pods below that number stay as they are until you lower it"
        updated, needed = int(status.get("updatedReplicas", 0)), max(0, wanted - partition)
        return Rollout(updated >= needed, f"{updated} of {needed} updated; {text}", by_hand=True)
    # In a finished rollout the controller makes both revisions one, and counts no pod as updated
    # any more.
    if status.get("updateRevision") == status.get("currentRevision"):
        ready = int(status.get("readyReplicas", 0))
        return Rollout(ready >= wanted, f"{wanted} of {wanted} pods updated, {ready} available")
    return attrs.evolve(_counted({**status, "w": wanted}, "w", "updatedReplicas", "readyReplicas"), done=False)


def _counted(status: Mapping[str, Any], wanted: str, updated: str, available: str) -> Rollout:
    total, new, up = (int(status.get(key, 0)) for key in (wanted, updated, available))
    return Rollout(new >= total and up >= total, f"{new} of {total} pods updated, {up} available")
