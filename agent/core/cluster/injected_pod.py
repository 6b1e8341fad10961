"""State of one pod whose variables the policy sets, and the workload that would replace it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.core.cluster.ca_policy import ca_variables
from agent.core.cluster.injection import INJECTED, SKIPPED, is_chosen, verdict
from agent.core.cluster.objects import VARIABLES
from agent.core.cluster.patch import containers, shown_group
from agent.core.cluster.pod_state import ENDING, OK, STALE, PodVerdict, has_ended, started
from agent.core.record import evolve, record
from agent.core.settings.workloads import Workload

OLDER, NEVER_INJECTED = "has older values", "was created without the variables"
WITHOUT_CA = "was created without the CA"


@record
class CaState:
    """ConfigMap of the CA in a namespace; `changed` is when its data changed (RFC 3339)."""

    is_present: bool = False
    changed: str = ""


NO_CA = CaState()


@record
class InjectedPod:
    """Verdict on a chosen pod, notes, and its workload."""

    verdict: PodVerdict
    notes: tuple[str, ...] = ()
    workload: Workload | None = None


def judge_injected_pod(
    pod: Mapping[str, Any],
    labels: Mapping[str, str],
    workloads: Sequence[Workload],
    env: Sequence[Mapping[str, Any]],
    ca: CaState = NO_CA,
) -> InjectedPod | None:
    """Return the state of a pod in a namespace with these labels; None if it is not chosen.

    `env` are the entries that a new pod would get, `ca` what its namespace has for the CA.
    """
    if not is_chosen(pod, labels, workloads):
        return None
    metadata, spec = pod["metadata"], pod["spec"]
    state = PodVerdict(str(metadata["namespace"]), str(metadata["name"]), str(spec.get("nodeName") or ""), OK)
    if has_ended(pod):
        return InjectedPod(evolve(state, state=ENDING))
    problems, notes = [], []
    for group, _, container in containers(spec):
        where = f"{shown_group(group)} {container['name']}"
        problem = _problem(pod, container, env)
        if problem == SKIPPED:
            notes.append(f"{where}: {SKIPPED}")
        elif problem:
            problems.append(f"{where}: {problem}")
        if ca.is_present and ca_variables(pod, container):
            problems.append(f"{where}: {WITHOUT_CA}")
    if problems:
        state = evolve(state, state=STALE, problems=tuple(problems))
    if ca.is_present and started(pod) and started(pod) < ca.changed:
        notes.append(f"a container started before the CA changed ({ca.changed}); it may still use the old one")
    return InjectedPod(state, tuple(notes), owner_of(pod))


def _problem(pod: Mapping[str, Any], container: Mapping[str, Any], env: Sequence[Mapping[str, Any]]) -> str:
    own = [entry for entry in container.get("env") or [] if entry["name"] in VARIABLES]
    if _bare(own) == _bare(env):
        return ""
    if not own:
        found = verdict(pod, container)
        return {INJECTED: NEVER_INJECTED, SKIPPED: SKIPPED}.get(found, "")
    # The policy writes all six, in this order, behind all others; anyone else hardly does.
    last = (container.get("env") or [])[-len(VARIABLES) :]
    return OLDER if [entry["name"] for entry in last] == list(VARIABLES) else ""


def _bare(env: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") or entry.get("valueFrom") for entry in env}


def owner_of(pod: Mapping[str, Any]) -> Workload | None:
    """Return the DaemonSet, Deployment or StatefulSet of a pod, or None."""
    metadata = pod["metadata"]
    for owner in metadata.get("ownerReferences") or []:
        kind, name = str(owner.get("kind")), str(owner.get("name"))
        suffix = "-" + str((metadata.get("labels") or {}).get("pod-template-hash"))
        if kind == "ReplicaSet" and name.endswith(suffix):
            return Workload(str(metadata["namespace"]), "Deployment", name[: -len(suffix)])
        if kind in ("DaemonSet", "StatefulSet"):
            return Workload(str(metadata["namespace"]), kind, name)
    return None


def probe_pod(namespace: str, workload: Workload | None) -> dict[str, Any]:
    """Return a pod for a dry run, which the policy has to change: one of this workload.

    It has the settings that the pod security standard "restricted" requires.
    """
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "probe", "image": "registry.k8s.io/pause:3.10", "securityContext": security}
    metadata: dict[str, Any] = {"generateName": "eks-proxy-agent-dry-run-", "namespace": namespace}
    if workload:
        kind, name = workload.kind, workload.name
        if kind == "Deployment":
            metadata["labels"] = {"pod-template-hash": "0"}
            kind, name = "ReplicaSet", f"{name}-0"
        uid = "00000000-0000-0000-0000-000000000000"
        metadata["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid}]
    spec = {"containers": [container], "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
