"""Pods that are older than the values: named, and with --rollout replaced by their workloads."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from agent.cluster.inputs import ClusterInputs
from agent.cluster.pods import list_pods
from agent.cluster.policy import chosen_namespaces
from agent.cluster.rollouts import wait_for_rollout
from agent.cluster.verdicts import check_source
from agent.cluster.verify_policy import judged_pods
from agent.cluster.writes import UNDO_APPLY
from agent.core.cluster.mode import InjectionMode
from agent.core.cluster.objects import CONFIG_MAP, SECRET
from agent.core.cluster.pod_state import STALE, judge_pod
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, KubectlError

#: Names in one note.
_NAMES = 5


class OlderPods:
    """Number of older pods by workload, and names of those that no workload would replace."""

    def __init__(self, others: Iterable[str] = ()) -> None:
        self.workloads: dict[Workload, int] = {}
        self.others = list(others)

    def add(self, workload: Workload | None, name: str) -> None:
        if workload is None:
            self.others.append(name)
        else:
            self.workloads[workload] = self.workloads.get(workload, 0) + 1


def older_pods(kubectl: Kubectl, inputs: ClusterInputs, mode: InjectionMode) -> OlderPods:
    """Return the pods whose containers do not have the present values.

    Raises KubectlError.
    """
    pods = OlderPods()
    for workload, name in (_by_policy if mode.is_policy else _by_env_from)(kubectl, inputs):
        pods.add(workload, name)
    return pods


def _by_policy(kubectl: Kubectl, inputs: ClusterInputs) -> Iterator[tuple[Workload | None, str]]:
    for namespace, labels in chosen_namespaces(kubectl, inputs.workloads).items():
        for pod in judged_pods(kubectl, inputs, namespace, labels):
            if pod.verdict.state == STALE:
                yield pod.workload, f"{namespace}/{pod.verdict.name}"


def _by_env_from(kubectl: Kubectl, inputs: ClusterInputs) -> Iterator[tuple[Workload | None, str]]:
    kind = SECRET if inputs.intent.credentials else CONFIG_MAP
    for workload in inputs.workloads:
        _, expected = check_source(kubectl, inputs, kind, workload.namespace)
        obj = kubectl.get(workload.path, workload.kind, f"reading {workload}")
        for pod in list_pods(kubectl, workload, obj):
            if judge_pod(pod, expected).state == STALE:
                yield workload, f"{workload.namespace}/{pod['metadata']['name']}"


def print_older_pods(kubectl: Kubectl, inputs: ClusterInputs, mode: InjectionMode) -> None:
    """Print which pods keep older values: the policy changes new pods only."""
    if not mode.is_policy:
        return  # apply itself replaces them
    try:
        pods = older_pods(kubectl, inputs, mode)
    except KubectlError as error:
        if error.reason != "Forbidden":
            raise
        print(f"note: pods that are older than the values are not listed: {error.hint}", file=sys.stderr)
        return
    _print(pods)


def restart_older_pods(kubectl: Kubectl, inputs: ClusterInputs, mode: InjectionMode, timeout: float) -> None:
    """Restart one workload after the other; raises AgentError if a rollout fails."""
    pods = older_pods(kubectl, inputs, mode)
    for workload in pods.workloads:
        kubectl.restart(workload, f"restarting {workload}")
        print(f"restarted {workload}", flush=True)
        wait_for_rollout(kubectl, workload, timeout, UNDO_APPLY)
    _print(OlderPods(others=pods.others))


def _print(pods: OlderPods) -> None:
    if pods.workloads:
        names = [f"{workload} ({count})" for workload, count in pods.workloads.items()]
        command = "to replace them: eks-proxy-agent cluster apply --rollout"
        print(f"note: pods that are older than the values: {_listed(names)}; {command}", file=sys.stderr)
    if pods.others:
        text = "note: pods that are older than the values, and that no workload replaces"
        print(f"{text}: {_listed(pods.others)}", file=sys.stderr)


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more} more (cluster verify lists them)" if more > 0 else "")
