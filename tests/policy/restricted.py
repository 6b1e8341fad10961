"""The level "restricted" of the Pod Security Standards, for pods of Linux.

A reader of our own for the published table (kubernetes.io, Pod Security Standards); the admission
plugin itself is not packaged.  Its volume types are those that its source names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: The volume types that the level allows.
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"
}  # fmt: skip
_SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}


def violations(spec: dict[str, Any]) -> list[str]:
    """Return what the level forbids in the spec of a pod."""
    return [*_of_pod(spec), *(text for item in _containers(spec) for text in _of_container(spec, item))]


def _of_pod(spec: dict[str, Any]) -> Iterator[str]:
    yield from (f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name))
    for volume in spec.get("volumes") or []:
        kinds = set(volume) - {"name"}
        if not kinds <= VOLUMES or len(kinds) != 1:
            yield f"volume {volume['name']}: {', '.join(sorted(kinds))} is not an allowed type"
    if (spec.get("securityContext") or {}).get("sysctls"):
        yield "sysctls are set"


def _of_container(spec: dict[str, Any], item: dict[str, Any]) -> Iterator[str]:
    name, own, pod = item["name"], item.get("securityContext") or {}, spec.get("securityContext") or {}
    capabilities = own.get("capabilities") or {}
    rules = {
        "privileged": not own.get("privileged"),
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
        "capabilities.drop": "ALL" in (capabilities.get("drop") or []),
        "capabilities.add": set(capabilities.get("add") or []) <= {"NET_BIND_SERVICE"},
        "runAsNonRoot": own.get("runAsNonRoot", pod.get("runAsNonRoot")) is True,
        "runAsUser": own.get("runAsUser", pod.get("runAsUser")) != 0,
        "seccompProfile": (own.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type")
        in ("RuntimeDefault", "Localhost"),
        "seLinuxOptions": (own.get("seLinuxOptions") or pod.get("seLinuxOptions") or {}).get("type", "") in _SELINUX,
        "procMount": own.get("procMount", "Default") == "Default",
        "hostPort": not any(port.get("hostPort") for port in item.get("ports") or []),
    }
    yield from (f"container {name}: {rule}" for rule, is_kept in rules.items() if not is_kept)


def _containers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for group in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(group) or []
