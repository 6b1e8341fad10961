"""The company's CA in pods: a policy that mounts a ConfigMap of the pod's namespace.

The ConfigMap is the parameter of the policy's bindings: in a namespace without it, no pod gets a
mount or a variable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from agent.core.cluster import admission
from agent.core.cluster.admission import Manifest, condition, names
from agent.core.cluster.injection import has_known_sources
from agent.core.cluster.objects import CONFIG_MAP, OURS
from agent.core.settings.workloads import Workload

#: Name of the policy, of the ConfigMap and of the volume; key of the ConfigMap.
CA_NAME = "eks-proxy-agent-ca"
CA_KEY = "ca-bundle.pem"
#: Largest bundle, in bytes: etcd refuses an object over 1.5 MB, and the API a ConfigMap over 1 MiB.
MAX_BUNDLE = 900 * 1024
CA_DIRECTORY = "/etc/eks-proxy-agent-ca"
#: What OpenSSL and Go, curl, requests, the AWS SDKs, Node.js and git read.
CA_VARIABLES = (
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
)


def ca_policy(workloads: Sequence[Workload]) -> list[Manifest]:
    """Return the policy and its bindings."""
    policy = admission.policy(
        CA_NAME,
        workloads,
        [
            condition("has-bundle", f"'{CA_KEY}' in params.?data.orValue({{}})"),
            condition(
                "volume-name-is-free", f"object.spec.?volumes.orValue([]).all(v, {_IS_OURS} || v.name != {_NAME})"
            ),
        ],
        [admission.chosen(_HAS_NO_MOUNT, _LACKS_ONE)],
        [
            _ADD_VOLUME,
            *admission.set_in_containers("volumeMounts", f"c.?volumeMounts.orValue([]) + [{_MOUNT}]"),
            *admission.set_in_containers("env", f"c.?env.orValue([]) + {_ENV}"),
        ],
        CONFIG_MAP,
    )
    return [policy, *admission.bindings(CA_NAME, workloads, CA_NAME)]


def ca_config_map(namespace: str, bundle: str) -> Manifest:
    """Return the ConfigMap of a namespace; `bundle` is PEM."""
    metadata = {"name": CA_NAME, "namespace": namespace, "labels": OURS}
    return {"apiVersion": "v1", "kind": CONFIG_MAP, "metadata": metadata, "data": {CA_KEY: bundle}}


def ca_variables(pod: Mapping[str, Any], container: Mapping[str, Any]) -> list[str]:
    """Return the variables that a container of a chosen pod gets: the same rule in Python."""
    volumes = pod["spec"].get("volumes") or []
    is_free = all(v["name"] != CA_NAME or (v.get("configMap") or {}).get("name") == CA_NAME for v in volumes)
    is_mounted = any(mount["mountPath"] == CA_DIRECTORY for mount in container.get("volumeMounts") or [])
    if not is_free or is_mounted or not has_known_sources(pod, container):
        return []
    own = {entry["name"] for entry in container.get("env") or []}
    return [name for name in CA_VARIABLES if name not in own]


def mounts_ca(pod: Mapping[str, Any]) -> bool:
    """Return True if a pod has the volume of the CA."""
    volumes = pod["spec"].get("volumes") or []
    return any((volume.get("configMap") or {}).get("name") == CA_NAME for volume in volumes)


def summary(bundle: str) -> str:
    """Return how many certificates a bundle has, and a digest of it."""
    digest = hashlib.sha256(bundle.encode("utf-8")).hexdigest()
    return f"{bundle.count('-----BEGIN ')} certificates (sha256 {digest[:12]})"


_NAME = f"'{CA_NAME}'"
# After the policy has run once, a later container may still need the mount.
_IS_OURS = f"v.?configMap.?name.orValue('') == {_NAME}"
_HAS_NO_MOUNT = f"c.?volumeMounts.orValue([]).all(m, m.mountPath != '{CA_DIRECTORY}')"
_FREE = f"{names(CA_VARIABLES)}.filter(n, c.?env.orValue([]).all(e, e.name != n))"
_LACKS_ONE = f"size({_FREE}) > 0"
_ENV = f"{_FREE}.map(n, {{'name': n, 'value': '{CA_DIRECTORY}/{CA_KEY}'}})"
_MOUNT = f"{{'name': dyn({_NAME}), 'mountPath': dyn('{CA_DIRECTORY}'), 'readOnly': dyn(true)}}"
_VOLUME = f"{{'name': dyn({_NAME}), 'configMap': dyn({{'name': dyn({_NAME}), 'optional': dyn(true)}})}}"
_ADD_VOLUME = (
    f"(size(variables.chosen) > 0 && !object.spec.?volumes.orValue([]).exists(v, v.name == {_NAME})\n"
    f"  ? [JSONPatch{{op: 'add', path: '/spec/volumes', value: object.spec.?volumes.orValue([]) + [{_VOLUME}]}}]\n"
    "  : [])"
)
