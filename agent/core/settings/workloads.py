"""The cluster's workloads that take the proxy variables: DaemonSets, Deployments and StatefulSets, by namespace and name."""

from __future__ import annotations

import re
from typing import Any

import attrs

from agent.core.net.proxy_url import quoted

#: Spelling of the owner's → kind of the API (all of them apps/v1).
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


@attrs.frozen(order=True)
class Workload:
    """One object whose pods take the variables; `kind` as the API spells it."""

    namespace: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.kind.lower()}/{self.name}"

    @property
    def path(self) -> str:
        """Where the API serves it."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/{self.kind.lower()}s/{self.name}"


DEFAULT_WORKLOADS = (
    Workload("kube-system", "DaemonSet", "aws-node"),
    Workload("kube-system", "DaemonSet", "kube-proxy"),
)


def parse_workload(value: Any) -> Workload:
    """Read `kube-system/daemonset/aws-node`; raises ValueError that says what is wrong."""
    if not isinstance(value, str):
        raise ValueError("is no string")
    namespace, _, rest = value.partition("/")
    kind, _, name = rest.partition("/")
    if not re.fullmatch(_NAME, namespace) or not re.fullmatch(_NAME, name):
        raise ValueError(f"{quoted(value)} is no NAMESPACE/KIND/NAME")
    if kind.lower() not in KINDS:
        raise ValueError(f"{quoted(value)} has a kind that is none of daemonset, deployment, statefulset")
    return Workload(namespace, KINDS[kind.lower()], name)
