"""The pods of a workload, page by page, and which of them still need a ConfigMap or Secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from agent.core.cluster.patch import containers, needs, template_spec
from agent.core.cluster.pod_state import has_ended, selector_text
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl

#: Pods in one answer: a page of full pods is a few megabytes.
PAGE = 500


def pods(kubectl: Kubectl, workload: Workload, found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Page after page (Kubernetes API concepts, "Retrieving large results sets in chunks"); raises reason Expired (410)."""
    selector = selector_text(found["spec"]["selector"])
    path = f"/api/v1/namespaces/{workload.namespace}/pods?limit={PAGE}&labelSelector={quote(selector)}"
    token = ""
    while True:
        page = kubectl.get(
            path + ("&continue=" + quote(token, safe="") if token else ""), f"listing the pods of {workload}"
        )
        yield from page.get("items") or []
        token = (page.get("metadata") or {}).get("continue") or ""
        if not token:
            return


def in_need(kubectl: Kubectl, workload: Workload, kind: str) -> str:
    """What of a workload could not start without our ConfigMap or Secret, for people; empty for nothing.

    That is its template, when our note of what we did to it is gone, or a pod of the old one: such
    pods stay with OnDelete, a partition, or while it is paused.
    """
    found = kubectl.find(workload.path, f"reading {workload}")
    if found is None:
        return ""
    if _needs(template_spec(found), kind):
        return f"the template of {workload}"
    users = (one for one in pods(kubectl, workload, found) if not has_ended(one) and _needs(one["spec"], kind))
    return next(("pod {} of {}".format(one["metadata"]["name"], workload) for one in users), "")


def _needs(pod_spec: Mapping[str, Any], kind: str) -> bool:
    return any(needs(container, kind) for _, _, container in containers(pod_spec))
