"""`cluster verify` with the policy: its objects, templates, and the pods of all namespaces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from agent.cluster.inputs import ClusterInputs
from agent.cluster.pods import list_namespace
from agent.cluster.policy import chosen_namespaces
from agent.cluster.verdicts import NOT_FOUND, ObjectVerdict, check_source, summarize
from agent.core.cluster.admission import Manifest, has_rules, name_of, path_of
from agent.core.cluster.ca_policy import CA_KEY, ca_config_map, ca_policy, summary
from agent.core.cluster.injected_pod import NO_CA, CaState, InjectedPod, judge_injected_pod
from agent.core.cluster.injection import source_env
from agent.core.cluster.managed_fields import data_changed
from agent.core.cluster.objects import CONFIG_MAP, DEFAULT_NAMESPACE, SECRET, source_of
from agent.core.cluster.pod_state import PodVerdict
from agent.core.cluster.policy import proxy_policy
from agent.core.cluster.undo_annotation import Undo
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl


def verify_policy(kubectl: Kubectl, inputs: ClusterInputs) -> list[ObjectVerdict]:
    """Check every object and pod, with one page of pods in memory at a time."""
    is_secret = bool(inputs.intent.credentials)
    namespaces = chosen_namespaces(kubectl, inputs.workloads)
    kind, sources = (SECRET, [*namespaces]) if is_secret else (CONFIG_MAP, [DEFAULT_NAMESPACE])
    verdicts = [check_source(kubectl, inputs, kind, namespace)[0] for namespace in sources]
    verdicts += [_check_policy(kubectl, manifest) for manifest in proxy_policy(inputs.workloads, secret=is_secret)]
    verdicts += filter(None, (_check_template(kubectl, workload) for workload in inputs.workloads))
    verdicts += _check_ca(kubectl, inputs, namespaces) if inputs.ca else []
    verdicts += [_check_pods(kubectl, inputs, namespace, labels) for namespace, labels in namespaces.items()]
    return verdicts


def _check_ca(kubectl: Kubectl, inputs: ClusterInputs, namespaces: Iterable[str]) -> list[ObjectVerdict]:
    """Return the verdicts on the CA's policy, and on its ConfigMap in each namespace."""
    verdicts = [_check_policy(kubectl, manifest) for manifest in ca_policy(inputs.workloads)]
    for namespace in namespaces:
        manifest = ca_config_map(namespace, inputs.ca)
        obj = kubectl.find(path_of(manifest), CONFIG_MAP, f"reading {name_of(manifest)}")
        problems = [NOT_FOUND] if obj is None else []
        if obj is not None and (obj.get("data") or {}).get(CA_KEY) != inputs.ca:
            problems = [f"has other certificates than the settings: {summary((obj.get('data') or {}).get(CA_KEY, ''))}"]
        verdicts.append(ObjectVerdict(name_of(manifest), tuple(problems)))
    return verdicts


def _check_pods(kubectl: Kubectl, inputs: ClusterInputs, namespace: str, labels: Mapping[str, str]) -> ObjectVerdict:
    def judged() -> Iterator[tuple[PodVerdict, Sequence[str]]]:
        return ((pod.verdict, pod.notes) for pod in judged_pods(kubectl, inputs, namespace, labels))

    return ObjectVerdict(f"{namespace}/pods", (), summarize(f"{namespace}/pods", judged))


def judged_pods(
    kubectl: Kubectl, inputs: ClusterInputs, namespace: str, labels: Mapping[str, str]
) -> Iterator[InjectedPod]:
    """Yield the state of each pod of a namespace that the policy chooses."""
    env = source_env(source_of(inputs.intent, namespace, ""))
    ca = _ca_state(kubectl, namespace) if inputs.ca else NO_CA
    for pod in list_namespace(kubectl, namespace):
        judged = judge_injected_pod(pod, labels, inputs.workloads, env, ca)
        if judged:
            yield judged


def _ca_state(kubectl: Kubectl, namespace: str) -> CaState:
    manifest = ca_config_map(namespace, "")
    obj = kubectl.find(path_of(manifest), CONFIG_MAP, f"reading {name_of(manifest)}")
    return CaState(obj is not None, data_changed(obj or {}, by_us=True))


def _check_policy(kubectl: Kubectl, manifest: Manifest) -> ObjectVerdict:
    obj = kubectl.find(path_of(manifest), manifest["kind"], f"reading {name_of(manifest)}")
    problems: Sequence[str] = [NOT_FOUND] if obj is None else []
    if obj is not None and not has_rules(obj, manifest):
        problems = ["differs from that of this version and these settings"]
    return ObjectVerdict(name_of(manifest), tuple(problems))


def _check_template(kubectl: Kubectl, workload: Workload) -> ObjectVerdict | None:
    obj: Any = kubectl.find(workload.path, workload.kind, f"reading {workload}")
    if obj is None or not Undo.read(obj):
        return None
    return ObjectVerdict(
        str(workload), ("the template still has envFrom; to remove it: eks-proxy-agent cluster apply",)
    )
