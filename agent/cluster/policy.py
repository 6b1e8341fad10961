"""The policy of the API server: found, compared, proved by a dry-run pod, deleted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from agent.cluster.inputs import ClusterInputs
from agent.core.cluster import mode as modes
from agent.core.cluster.admission import (
    BINDING_KIND,
    ENABLED,
    INJECT,
    POLICY_KIND,
    name_of,
    namespaces_of,
    path_of,
)
from agent.core.cluster.ca_policy import ca_policy
from agent.core.cluster.injected_pod import probe_pod
from agent.core.cluster.injection import has_env, source_env
from agent.core.cluster.managed_fields import other_managers
from agent.core.cluster.mode import InjectionMode, choose_mode, serves_policies
from agent.core.cluster.objects import CHECKSUM, MANAGER, Source
from agent.core.cluster.policy import POLICY, proxy_policy
from agent.core.record import record
from agent.core.settings.workloads import DEFAULT_WORKLOADS, Workload
from agent.edges.kubectl import Kubectl, KubectlError, retry
from agent.errors import AgentError, UsageError

#: Seconds for the API server to put a policy into force, and between two dry runs.
PATIENCE, PAUSE = 10.0, 0.5
#: Every policy and binding that the agent may have written, bindings first.
ALL_MANIFESTS = sorted(
    [*proxy_policy(DEFAULT_WORKLOADS, secret=False), *ca_policy(DEFAULT_WORKLOADS)],
    key=lambda obj: obj["kind"] != BINDING_KIND,
)
_DOING = f"reading the {POLICY_KIND} {POLICY}"


def find_mode(kubectl: Kubectl, inputs: ClusterInputs) -> InjectionMode:
    """Return how pods get the variables, by cluster.injection and by what the cluster has.

    Raises AgentError if the setting requires the policy, and the cluster does not allow it.
    """
    setting = inputs.settings.cluster.injection
    if inputs.is_limited and setting == modes.POLICY:
        raise UsageError('--namespace is not possible with cluster.injection = "policy": a policy is cluster-wide')
    has_env_from = setting == modes.AUTO and any(_has_our_env_from(kubectl, workload) for workload in inputs.workloads)
    if setting == modes.ENV_FROM or has_env_from:
        problem, has_policy = "", False
    elif inputs.is_limited:
        problem, has_policy = "--namespace limits the command, and a policy is cluster-wide", False
    else:
        problem, has_policy = _look(kubectl)
    try:
        return choose_mode(setting, has_env_from=has_env_from, has_policy=has_policy, problem=problem)
    except ValueError as error:
        hint = 'to change the templates instead: cluster.injection = "envFrom"'
        raise AgentError(f'cluster.injection = "policy": {error}', hint=hint) from None


def _has_our_env_from(kubectl: Kubectl, workload: Workload) -> bool:
    obj = kubectl.find(workload.path, workload.kind, f"reading {workload}") or {"spec": {"template": {}}}
    return CHECKSUM in ((obj["spec"]["template"].get("metadata") or {}).get("annotations") or {})


def _is_served(kubectl: Kubectl) -> bool:
    resources = kubectl.find(modes.RESOURCES_PATH, "APIResourceList", "reading the API's resources", allowed=False)
    return serves_policies(resources)


def _look(kubectl: Kubectl) -> tuple[str, bool]:
    """Return why the policy cannot be used, or "", and whether it exists."""
    try:
        if not _is_served(kubectl):
            return modes.NOT_SERVED, False
        return "", kubectl.find(path_of(proxy_policy((), secret=False)[0]), POLICY_KIND, _DOING) is not None
    except KubectlError as error:
        if error.reason != "Forbidden":
            raise
        return error.hint, False


def chosen_namespaces(kubectl: Kubectl, workloads: Sequence[Workload]) -> dict[str, Mapping[str, str]]:
    """Return the labels of each namespace in which the policy chooses pods.

    Raises KubectlError without permission to list namespaces.
    """
    path = f"/api/v1/namespaces?labelSelector={quote(f'{INJECT}={ENABLED}')}"
    listing = kubectl.get(path, "NamespaceList", "listing the namespaces with the label")
    labelled = {item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in listing.get("items") or []}
    return {**{name: {} for name in namespaces_of(workloads)}, **labelled}


def write_policy(kubectl: Kubectl, manifest: Mapping[str, Any], *, dry_run: bool) -> Any:
    """Apply a policy or a binding, and return it; fields of other managers are not forced."""
    name = name_of(manifest)
    doing = f"{'dry run: applying' if dry_run else 'applying'} {name}"
    try:
        return retry(lambda: kubectl.apply(manifest, doing, dry_run=dry_run))
    except KubectlError as error:
        if error.reason != "ApplyConflict":
            raise
        raise AgentError(
            f"{name}: belongs to another field manager; it was not changed\n{error.stderr.split('Please review')[0]}",
            hint=f"to take it over: kubectl apply --server-side --force-conflicts --field-manager={MANAGER}",
        ) from None


def policies_in(kubectl: Kubectl) -> list[tuple[str, Any]]:
    """Return path and object of our policies and bindings in the cluster, bindings first.

    Missing permission counts as absent: without it the user cannot have created them.
    """
    found: list[tuple[str, Any]] = []
    if not _is_served(kubectl):
        return found
    for manifest in ALL_MANIFESTS:
        path = path_of(manifest)
        obj = kubectl.find(path, manifest["kind"], f"reading {name_of(manifest)}", allowed=False)
        found += [(path, obj)] if obj else []
    return found


def is_deletable(obj: Mapping[str, Any]) -> bool:
    """Return True if only the agent has written the spec of a policy or binding."""
    return not other_managers(obj, ["f:spec"])


def deletable_policies(kubectl: Kubectl, prefix: str = "") -> list[tuple[str, Any]]:
    """Return those of policies_in that are ours alone, and whose names have this prefix."""
    return [
        (path, obj)
        for path, obj in policies_in(kubectl)
        if obj["metadata"]["name"].startswith(prefix) and is_deletable(obj)
    ]


@record
class Proof:
    """Result of a dry-run pod: the problem, or ""; without `is_certain` no pod could be tried."""

    problem: str = ""
    is_certain: bool = True


def prove(kubectl: Kubectl, source: Source, workloads: Sequence[Workload]) -> Proof:
    """Return whether a dry-run pod gets the variables within PATIENCE.

    Kubernetes 1.34 and 1.35 may accept the objects and ignore them: the feature is off by default.
    """
    target = workloads[0] if workloads else None
    namespace = target.namespace if target else next(iter(chosen_namespaces(kubectl, workloads)), "")
    if not namespace:
        return Proof()  # no pod is chosen
    pod, env = probe_pod(namespace, target), source_env(source)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if has_env(kubectl.dry_run_create(pod, f"dry run: creating a pod in {namespace}"), env):
                return Proof()
        except KubectlError as error:
            return Proof(f"no pod can be created as a dry run: {error.hint or error}", is_certain=False)
        if time.monotonic() >= deadline:
            return Proof(f"a dry-run pod in {namespace} did not get the variables within {PATIENCE:g} s")
        time.sleep(PAUSE)
