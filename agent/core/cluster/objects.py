"""The ConfigMap, or with a password the Secret, that carries the proxy variables into a namespace.  Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from agent.core.intent.intent import Intent
from agent.core.settings.workloads import Workload, parse_workload

#: The name of the well-known recipe, so that its references go on to work.
NAME = "proxy-environment-variables"
#: The field manager under which we write (server-side apply and patches alike).
MANAGER = "eks-proxy-agent"
DEFAULT_NAMESPACE = "kube-system"

#: Annotations: on pod templates, on workloads, on the ConfigMap, and on the Secret.
CHECKSUM = "eks-proxy-agent/checksum"
UNDO = "eks-proxy-agent/undo"
WORKLOADS = "eks-proxy-agent/workloads"
SALT = "eks-proxy-agent/salt"

VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY")

CONFIG_MAP, SECRET = "ConfigMap", "Secret"
#: Kind → its key in a container's envFrom list, and in `valueFrom` of an env entry.
REFERENCE = {CONFIG_MAP: "configMapRef", SECRET: "secretRef"}
KEY_REFERENCE = {CONFIG_MAP: "configMapKeyRef", SECRET: "secretKeyRef"}
_RESOURCE = {CONFIG_MAP: "configmaps", SECRET: "secrets"}


@attrs.frozen
class Source:
    """What the containers of one namespace refer to: `data` is variable → value, with the password in a Secret."""

    kind: str
    namespace: str
    data: Mapping[str, str] = attrs.field(repr=False)
    salt: str = attrs.field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.kind.lower()}/{NAME}"

    @property
    def path(self) -> str:
        """Where the API serves it."""
        return source_path(self.kind, self.namespace)

    @property
    def checksum(self) -> str:
        """A short name of the data.

        It stands on pods, which many may read: with the salt, which stands on the Secret only,
        nobody can try passwords against it.
        """
        text = "".join("{}={}\n".format(*pair) for pair in sorted(self.data.items())).encode("utf-8")
        return hashlib.blake2b(text, key=self.salt.encode("utf-8")[:64], digest_size=8).hexdigest()

    def manifest(self, workloads: Iterable[Workload]) -> dict[str, Any]:
        """The object as it is applied; it names the workloads, so that revert finds those that the settings forgot."""
        annotations = {WORKLOADS: ",".join(sorted(map(str, workloads)))}
        data = dict(sorted(self.data.items()))
        if self.kind == SECRET:
            annotations[SALT] = self.salt
            data = {key: base64.b64encode(value.encode("utf-8")).decode("ascii") for key, value in data.items()}
        found: dict[str, Any] = {"apiVersion": "v1", "kind": self.kind}
        found["metadata"] = {"name": NAME, "namespace": self.namespace, "annotations": annotations}
        found.update({"type": "Opaque"} if self.kind == SECRET else {})
        return {**found, "data": data}


def source_path(kind: str, namespace: str) -> str:
    """The path of the ConfigMap or Secret of a namespace."""
    return f"/api/v1/namespaces/{namespace}/{_RESOURCE[kind]}/{NAME}"


def all_sources_path(kind: str) -> str:
    """The path of the list of those of all namespaces."""
    return f"/api/v1/{_RESOURCE[kind]}?fieldSelector=metadata.name%3D{NAME}"


def source_of(intent: Intent, namespace: str, salt: str) -> Source:
    """The Source for an Intent: a Secret when the proxy has a password, and `salt` is used only then."""
    kind = SECRET if intent.credentials else CONFIG_MAP
    return Source(kind, namespace, dict(intent.variables(secret=True)), salt if kind == SECRET else "")


def read_source(found: Mapping[str, Any]) -> Source:
    """A Source from the cluster's own object: of its data what is ours, since others may keep keys of their own there.

    Bytes that are no UTF-8 and no base64 are kept as marks of difference.
    """
    metadata = found.get("metadata") or {}
    data = {str(key): str(value) for key, value in (found.get("data") or {}).items() if key in VARIABLES}
    if found.get("kind") == SECRET:
        data = {key: _decoded(value) for key, value in data.items()}
    salt = (metadata.get("annotations") or {}).get(SALT, "")
    return Source(str(found.get("kind")), str(metadata.get("namespace")), data, str(salt))


def recorded_workloads(found: Mapping[str, Any] | None) -> tuple[Workload, ...]:
    """The workloads that a ConfigMap or Secret of ours names."""
    annotations = ((found or {}).get("metadata") or {}).get("annotations") or {}
    found_names = map(_workload, str(annotations.get(WORKLOADS, "")).split(","))
    return tuple(workload for workload in found_names if workload)


def _workload(name: str) -> Workload | None:
    try:
        return parse_workload(name)
    except ValueError:  # somebody's edit; what cannot be read names nothing
        return None


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode("utf-8", "replace")
    except ValueError:
        return value
