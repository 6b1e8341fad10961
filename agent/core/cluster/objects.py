"""ConfigMap, or Secret if there is a password, that holds the proxy variables of a namespace."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from agent.core.intent.intent import Intent
from agent.core.record import field, record
from agent.core.settings.workloads import Workload, parse_workload

#: The name that the well-known recipe uses, so that its references keep working.
NAME = "proxy-environment-variables"
#: The field manager of all our writes (server-side apply and patches alike).
MANAGER = "eks-proxy-agent"
#: Labels of what the policy needs, so that kubectl can delete all of it.
OURS = {"app.kubernetes.io/managed-by": MANAGER}
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
#: Kind → its name in API paths.
RESOURCE = {CONFIG_MAP: "configmaps", SECRET: "secrets"}


@record
class Source:
    """ConfigMap or Secret to which the containers of one namespace refer.

    `data` maps variables to values; in a Secret these contain the password.
    """

    kind: str
    namespace: str
    data: Mapping[str, str] = field(repr=False)
    salt: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.kind.lower()}/{NAME}"

    @property
    def checksum(self) -> str:
        """Short digest of the data.

        It is an annotation of pods, which many users may read.  The salt is only on the Secret, so
        that no one can test passwords against the digest.
        """
        text = "".join(f"{name}={value}\n" for name, value in sorted(self.data.items())).encode("utf-8")
        return hashlib.blake2b(text, key=self.salt.encode("utf-8")[:64], digest_size=8).hexdigest()

    def manifest(self, workloads: Iterable[Workload], labels: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the object to apply.

        It lists the workloads, so that revert also finds those that are no longer in the settings.
        That of a policy has the labels OURS.
        """
        annotations = {WORKLOADS: ",".join(sorted(map(str, workloads)))}
        data = dict(sorted(self.data.items()))
        if self.kind == SECRET:
            annotations[SALT] = self.salt
            data = {key: base64.b64encode(value.encode("utf-8")).decode("ascii") for key, value in data.items()}
        manifest: dict[str, Any] = {"apiVersion": "v1", "kind": self.kind}
        manifest["metadata"] = {"name": NAME, "namespace": self.namespace, "annotations": annotations}
        manifest["metadata"].update({"labels": dict(labels)} if labels else {})
        manifest.update({"type": "Opaque"} if self.kind == SECRET else {})
        return {**manifest, "data": data}


def source_path(kind: str, namespace: str) -> str:
    """Return the API path of the ConfigMap or Secret of a namespace."""
    return f"/api/v1/namespaces/{namespace}/{RESOURCE[kind]}/{NAME}"


def all_sources_path(kind: str) -> str:
    """Return the API path that lists the ConfigMaps or Secrets of all namespaces."""
    return f"/api/v1/{RESOURCE[kind]}?fieldSelector=metadata.name%3D{NAME}"


def all_config_maps_path(name: str) -> str:
    """Return the API path that lists the ConfigMaps of this name in all namespaces."""
    return f"/api/v1/{RESOURCE[CONFIG_MAP]}?fieldSelector=metadata.name%3D{name}"


def source_of(intent: Intent, namespace: str, salt: str) -> Source:
    """Return the Source of an Intent: a Secret if the proxy has a password.

    Only a Secret uses `salt`.
    """
    kind = SECRET if intent.credentials else CONFIG_MAP
    return Source(kind, namespace, dict(intent.variables(secret=True)), salt if kind == SECRET else "")


def read_source(obj: Mapping[str, Any]) -> Source:
    """Return the Source of an object of the cluster.

    Its data has only the proxy variables, because others may keep keys of their own in the object.
    A value that is not base64 is kept, and invalid UTF-8 is replaced: both differ from any valid
    value.
    """
    metadata = obj.get("metadata") or {}
    data = {key: str(value or "") for key, value in (obj.get("data") or {}).items() if key in VARIABLES}
    if obj.get("kind") == SECRET:
        data = {key: _decoded(value) for key, value in data.items()}
    salt = (metadata.get("annotations") or {}).get(SALT)
    return Source(str(obj.get("kind")), str(metadata.get("namespace")), data, str(salt or ""))


def recorded_workloads(obj: Mapping[str, Any] | None) -> tuple[Workload, ...]:
    """Return the workloads that our ConfigMap or Secret lists."""
    annotations = ((obj or {}).get("metadata") or {}).get("annotations") or {}
    workloads = map(_workload, str(annotations.get(WORKLOADS) or "").split(","))
    return tuple(workload for workload in workloads if workload)


def _workload(name: str) -> Workload | None:
    try:
        return parse_workload(name)
    except ValueError:  # the annotation was edited; an unreadable name is ignored
        return None


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode("utf-8", "replace")
    except ValueError:
        return value
