"""Pods of a workload, page by page, and those that need a ConfigMap or Secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from agent.core.cluster.patch import containers, requires_source, template_spec
from agent.core.cluster.pod_state import has_ended, selector_text
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl

#: Pods in one response: a full page is a few megabytes.
PAGE = 500


def list_pods(kubectl: Kubectl, workload: Workload, obj: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the pods of a workload, whose object is `obj`, page after page.

    Raises KubectlError; its reason is Expired if the list is too old to continue (410).  Source:
    Kubernetes API concepts, "Retrieving large results sets in chunks".
    """
    selector = selector_text(obj["spec"]["selector"])
    path = f"/api/v1/namespaces/{workload.namespace}/pods?limit={PAGE}&labelSelector={quote(selector)}"
    return _pages(kubectl, path, f"listing the pods of {workload}")


def list_namespace(kubectl: Kubectl, namespace: str) -> Iterator[Mapping[str, Any]]:
    """Yield the pods of a namespace, page after page; raises KubectlError as list_pods does."""
    return _pages(kubectl, f"/api/v1/namespaces/{namespace}/pods?limit={PAGE}", f"listing the pods of {namespace}")


def _pages(kubectl: Kubectl, path: str, doing: str) -> Iterator[Mapping[str, Any]]:
    token = ""
    while True:
        page_path = path + ("&continue=" + quote(token, safe="") if token else "")
        page = kubectl.get(page_path, "PodList", doing)
        yield from page.get("items") or []
        token = (page.get("metadata") or {}).get("continue") or ""
        if not token:
            return


def find_dependent(kubectl: Kubectl, workload: Workload, kind: str) -> str:
    """Return the part of a workload that cannot start without our ConfigMap or Secret, or "".

    It is the template, if our annotation with our changes to it is gone, or a pod of an old
    template: such pods remain with OnDelete, with a partition, or while the rollout is paused.
    """
    obj = kubectl.find(workload.path, workload.kind, f"reading {workload}")
    if obj is None:
        return ""
    if _is_required(template_spec(obj), kind):
        return f"the template of {workload}"
    dependents = (
        pod for pod in list_pods(kubectl, workload, obj) if not has_ended(pod) and _is_required(pod["spec"], kind)
    )
    return next((f"pod {pod['metadata']['name']} of {workload}" for pod in dependents), "")


def _is_required(pod_spec: Mapping[str, Any], kind: str) -> bool:
    return any(requires_source(container, kind) for _, _, container in containers(pod_spec))
