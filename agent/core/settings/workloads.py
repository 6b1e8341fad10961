"""Workloads of the cluster that get the proxy variables: DaemonSets, Deployments, StatefulSets."""

from __future__ import annotations

import re
from typing import Any

from agent.core.net.proxy_url import quoted
from agent.core.record import record
from agent.core.settings.parsers import typed

#: Kind as the operator may spell it → kind of the API (all of them apps/v1).
KINDS = {
    "daemonset": "DaemonSet",
    "ds": "DaemonSet",
    "deployment": "Deployment",
    "deploy": "Deployment",
    "statefulset": "StatefulSet",
    "sts": "StatefulSet",
}

# RFC 1123, as the API server checks names.
_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"


@record
class Workload:
    """Object whose pods get the variables; `kind` as the API spells it."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.kind.lower()}/{self.name}"

    @property
    def path(self) -> str:
        """Return its path in the Kubernetes API."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/{self.kind.lower()}s/{self.name}"


DEFAULT_WORKLOADS = (
    Workload("kube-system", "DaemonSet", "aws-node"),
    Workload("kube-system", "DaemonSet", "kube-proxy"),
)


def parse_workload(value: Any) -> Workload:
    """Read `kube-system/daemonset/aws-node`; raises ValueError that says what is wrong."""
    text = str(typed(value, str))
    namespace, _, rest = text.partition("/")
    kind, _, name = rest.partition("/")
    if not re.fullmatch(_NAME, namespace) or not re.fullmatch(_NAME, name):
        raise ValueError(f"expected NAMESPACE/KIND/NAME, got {quoted(text)}")
    if kind.lower() not in KINDS:
        raise ValueError(f"unknown KIND in {quoted(text)}; expected daemonset, deployment or statefulset")
    return Workload(namespace, KINDS[kind.lower()], name)
