"""`cluster revert`: undo every apply, one object after the other."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from agent.cluster.pods import list_namespace
from agent.cluster.policy import is_deletable, policies_in
from agent.cluster.release import release_fields
from agent.cluster.rollouts import wait_for_rollout
from agent.cluster.writes import UNDO_REVERT, completed_steps_on_failure, delete, is_needed, patch_workload, report
from agent.core.cluster.admission import name_of, path_of
from agent.core.cluster.ca_policy import CA_NAME, mounts_ca
from agent.core.cluster.managed_fields import is_for_policy, is_ours, is_ours_alone, other_managers
from agent.core.cluster.objects import (
    CONFIG_MAP,
    MANAGER,
    NAME,
    SECRET,
    all_config_maps_path,
    all_sources_path,
    read_source,
    recorded_workloads,
    source_path,
)
from agent.core.cluster.patch import revert_patch
from agent.core.cluster.pod_state import has_ended
from agent.core.redact import redact
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, KubectlError
from agent.errors import CommandError


def revert(
    kubectl: Kubectl, workloads: Sequence[Workload], namespaces: Sequence[str], timeout: float, also: str = ""
) -> None:
    """Undo every apply.

    The pods come first, because they need the ConfigMap while they refer to it.  A Secret
    that the user may not see is treated as absent: without this permission the user cannot have
    created one.  `also` is a namespace that the settings of an earlier apply may have named.  With
    it, objects in other namespaces are reported but left: they may belong to other settings.
    `timeout` is the seconds for the rollout of each workload.
    """
    searched = tuple(dict.fromkeys((*namespaces, *filter(None, [also]))))
    objects = _sources_in(kubectl, searched, namespaces)
    recorded = [workload for _, obj in objects for workload in recorded_workloads(obj)]
    workloads = tuple(dict.fromkeys([*workloads, *recorded]))
    done: list[str] = []
    policies = policies_in(kubectl) if also else []
    with completed_steps_on_failure(done, UNDO_REVERT):
        _delete_policies(kubectl, policies, done)
        for workload in workloads:
            obj = kubectl.find(workload.path, workload.kind, f"reading {workload}")
            if obj is None:
                print(f"note: {workload}: not found in this cluster", file=sys.stderr)
                continue
            is_released = release_fields(kubectl, workload, obj)
            if patch_workload(kubectl, workload, revert_patch) or is_released:
                report(done, f"reverted {workload}")
                wait_for_rollout(kubectl, workload, timeout, UNDO_REVERT)
        for path, obj in objects:
            if not (is_ours_alone(obj) and is_needed(kubectl, obj, workloads, done)):
                _remove_source(kubectl, path, obj, done)
        remaining = _remaining_sources(kubectl, searched, done) if also else []
        remaining += _remove_ca(kubectl, done) if also else []
    if not done:
        print(f"nothing to do: the agent changed nothing in {', '.join(searched)}", file=sys.stderr)
    stays = [_PODS_KEEP] if policies and done else []
    for line in (*stays, *remaining, *_add_on_defaults(workloads)):
        print("note: " + redact(line), file=sys.stderr)


def _sources_in(kubectl: Kubectl, searched: Sequence[str], namespaces: Sequence[str]) -> list[tuple[str, Any]]:
    """Return path and object of each ConfigMap and Secret.

    Only a ConfigMap in one of `namespaces` must be readable.
    """
    objects = []
    for namespace in searched:
        for kind in (CONFIG_MAP, SECRET):
            path = source_path(kind, namespace)
            obj = kubectl.find(path, kind, allowed=kind == CONFIG_MAP and namespace in namespaces)
            objects += [(path, obj)] if obj else []
    return objects


def _delete_policies(kubectl: Kubectl, policies: Sequence[tuple[str, Any]], done: list[str]) -> None:
    for path, obj in policies:
        if is_deletable(obj):
            delete(kubectl, path, obj, name_of(obj), done)
        else:
            print(f"note: {name_of(obj)}: not deleted, because another field manager wrote it", file=sys.stderr)


_PODS_KEEP = "pods that got the variables from the policy keep them until they are replaced (kubectl rollout restart)"


def _remaining_sources(kubectl: Kubectl, searched: Sequence[str], done: list[str]) -> list[str]:
    """Delete what an apply with the policy created in other namespaces; return notes on the rest.

    The rest is of an apply with other settings.  Without permission to list, the note is the error.
    """
    notes = []
    for kind in (CONFIG_MAP, SECRET):
        try:
            listing = kubectl.get(all_sources_path(kind), f"{kind}List", f"listing {kind}s of other namespaces")
        except CommandError as error:  # revert is complete without it
            notes.append(str(error))
            continue
        for item in listing.get("items") or []:
            namespace, obj = item["metadata"]["namespace"], {**item, "kind": kind}
            if namespace in searched or not is_ours(item):
                continue
            if is_ours_alone(item) and is_for_policy(item):
                delete(kubectl, source_path(kind, namespace), obj, str(read_source(obj)), done)
                continue
            command = f"eks-proxy-agent cluster revert --namespace {namespace}"
            notes.append(f"{read_source(obj)}: not reverted; to revert it: {command}")
    return notes


def _remove_ca(kubectl: Kubectl, done: list[str]) -> list[str]:
    """Delete the ConfigMaps of the CA that no pod mounts; return notes on the others.

    Kubelet empties the volume of a running pod when its ConfigMap is deleted.
    """
    try:
        listing = kubectl.get(all_config_maps_path(CA_NAME), "ConfigMapList", f"listing the ConfigMaps {CA_NAME}")
    except KubectlError as error:
        return [str(error)] if error.reason != "Forbidden" else []
    notes = []
    for item in listing.get("items") or []:
        namespace, obj = item["metadata"]["namespace"], {**item, "kind": CONFIG_MAP}
        if other_managers(obj, ["f:data"]):
            continue
        pods = [pod for pod in list_namespace(kubectl, namespace) if mounts_ca(pod) and not has_ended(pod)]
        if pods:
            notes.append(
                f"{name_of(obj)}: kept, because {len(pods)} pods mount it; run this again when they are replaced"
            )
        else:
            delete(kubectl, path_of(obj), obj, name_of(obj), done)
    return notes


def _remove_source(kubectl: Kubectl, path: str, obj: Mapping[str, Any], done: list[str]) -> None:
    """Delete the object if it is ours alone; if others write it too, remove only our fields."""
    kind, metadata, name = str(obj["kind"]), obj["metadata"], str(read_source(obj))
    if is_ours_alone(obj):
        delete(kubectl, path, obj, name, done)
    elif any(entry.get("manager") == MANAGER for entry in metadata.get("managedFields") or []):
        bare = {"apiVersion": "v1", "kind": kind, "metadata": {"name": NAME, "namespace": metadata["namespace"]}}
        kubectl.apply(bare, f"removing the agent's fields from {name}", dry_run=False)
        text = f"removed the agent's fields from {name}"
        report(done, f"{text}; the other fields belong to field manager {_data_managers(obj)}")
    elif recorded_workloads(obj):  # an object of `render` that kubectl applied
        command = f"kubectl -n {metadata['namespace']} delete {kind.lower()} {NAME}"
        text = f"{name}: not deleted, because it belongs to field manager {_data_managers(obj)}"
        print(f"note: {text}; to delete it: {command}", file=sys.stderr)


def _data_managers(obj: Mapping[str, Any]) -> str:
    return ", ".join(f'"{writer.manager}"' for writer in other_managers(obj, ["f:data"]))


def _add_on_defaults(workloads: Sequence[Workload]) -> tuple[str, ...]:
    """Return a note on how to reset managed add-ons, if any of them is among the workloads."""
    add_ons = {"aws-node": "vpc-cni", "kube-proxy": "kube-proxy"}
    names = [workload.name for workload in workloads if workload.namespace == "kube-system"]
    found = " or ".join(add_ons[name] for name in names if name in add_ons)
    command = "aws eks update-addon --cluster-name NAME --addon-name ADD-ON --resolve-conflicts OVERWRITE"
    return (f"to reset a managed add-on ({found}) to its defaults: {command}",) if found else ()
