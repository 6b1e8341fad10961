"""Worlds and pods of the policy test: a table by hand, and pods that hypothesis makes.

A world is what an API server has (policies, namespaces, ConfigMaps); each of its pods is created in
it.  Every name of a case is unique in its world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from hypothesis import strategies as st

from agent.core.cluster.admission import INJECT, MIRROR, NAMESPACE_NAME
from agent.core.cluster.ca_policy import CA_DIRECTORY, CA_NAME, CA_VARIABLES, ca_config_map, ca_policy
from agent.core.cluster.objects import CONFIG_MAP, NAME, VARIABLES, Source
from agent.core.cluster.policy import proxy_policy
from agent.core.settings.workloads import DEFAULT_WORKLOADS, Workload

DATA = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://proxy.example.com:3128"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,.svc,10.0.0.0/16"),
}
WORKLOADS = (
    *DEFAULT_WORKLOADS,
    Workload("kube-system", "Deployment", "ebs-csi-controller"),
    Workload("kube-system", "StatefulSet", "store"),
)
#: Namespace → its labels, without the one that the API server sets.
NAMESPACES: dict[str, dict[str, str]] = {
    "team": {INJECT: "enabled"},
    "plain": {},
    "other-value": {INJECT: "true"},
    "kube-system": {},
}
#: The CEL that a new policy may use on an API server 1.36 (it accepts what 1.35 understands).
VERSION = "1.35"
OURS = {"configMapRef": {"name": NAME}}
OUR_SECRET = {"secretRef": {"name": NAME}}
THEIRS = {"configMapRef": {"name": "theirs"}}

Pod = dict[str, Any]


@attrs.frozen
class World:
    """What the API server has; `data` is that of the ConfigMap in kube-system, or None."""

    data: Mapping[str, str] | None
    is_secret: bool = False
    workloads: Sequence[Workload] = WORKLOADS
    namespaces: Mapping[str, Mapping[str, str]] = attrs.field(factory=lambda: NAMESPACES)

    def source(self) -> Source:
        """Return the ConfigMap or Secret as the agent sees it."""
        return Source("Secret" if self.is_secret else CONFIG_MAP, "kube-system", dict(self.data or {}))

    def policies(self) -> list[dict[str, Any]]:
        """Return the policy and its bindings."""
        return proxy_policy(self.workloads, secret=self.is_secret)

    def objects(self) -> list[dict[str, Any]]:
        """Return all manifests."""
        manifests = self.policies()
        for name, labels in self.namespaces.items():
            metadata = {"name": name, "labels": {NAMESPACE_NAME: name, **labels}}
            manifests.append({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        if self.data is not None and not self.is_secret:
            manifests.append(self.config_map())
        return [*manifests, *_SENTINEL]

    def config_map(self) -> dict[str, Any]:
        """Return the ConfigMap in kube-system."""
        metadata = {"name": NAME, "namespace": "kube-system"}
        return {"apiVersion": "v1", "kind": CONFIG_MAP, "metadata": metadata, "data": dict(self.data or {})}


# A policy on one pod: when it is changed, all policies are in force.
_SENTINEL = [
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": "sentinel"},
        "spec": {
            "reinvocationPolicy": "Never",
            "matchConstraints": {
                "resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
                ]
            },
            "matchConditions": [{"name": "sentinel", "expression": "object.metadata.?name.orValue('') == 'sentinel'"}],
            "mutations": [
                {
                    "patchType": "JSONPatch",
                    "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/spec/hostname', value: 'sentinel'}]"},
                }
            ],
        },
    },
    {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": "sentinel"},
        "spec": {"policyName": "sentinel"},
    },
]
SENTINEL_POD = {"metadata": {"name": "sentinel", "namespace": "plain"}, "spec": {"containers": []}}


def container(name: str = "main", **fields: Any) -> dict[str, Any]:
    """Return a container."""
    return {"name": name, "image": "registry.example.com/x:1", **fields}


def env(*names: str) -> list[dict[str, Any]]:
    """Return env entries with a value of their own."""
    return [{"name": name, "value": "own"} for name in names]


def pod(
    *containers: dict[str, Any],
    init: Sequence[dict[str, Any]] = (),
    namespace: str = "team",
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    owner: tuple[str, str] | None = None,
) -> Pod:
    """Return a pod; without containers, one that sets no env."""
    metadata: dict[str, Any] = {"generateName": "x-", "namespace": namespace}
    metadata.update({"annotations": dict(annotations)} if annotations else {})
    metadata.update({"labels": dict(labels)} if labels else {})
    if owner:
        reference = {"apiVersion": "apps/v1", "kind": owner[0], "name": owner[1], "uid": "1", "controller": True}
        metadata["ownerReferences"] = [reference]
    spec: dict[str, Any] = {"containers": list(containers) or [container()]}
    return {"metadata": metadata, "spec": {**spec, **({"initContainers": list(init)} if init else {})}}


def _annotated(value: str, *containers: dict[str, Any]) -> Pod:
    return pod(*containers, annotations={INJECT: value})


def _named(kind: str, name: str, **labels: str) -> Pod:
    return pod(namespace="kube-system", owner=(kind, name), labels=labels)


def _with_volumes(item: Pod, *volumes: dict[str, Any]) -> Pod:
    return {**item, "spec": {**item["spec"], "volumes": list(volumes)}}


_HASH = {"pod-template-hash": "5d9f"}
_SECURITY: dict[str, Any] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
_POD_SECURITY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def restricted_pod(**metadata: Any) -> Pod:
    """Return a pod that the level "restricted" of the Pod Security Standards admits."""
    item = pod(container(securityContext=_SECURITY), init=[container("init", securityContext=_SECURITY)], **metadata)
    return {**item, "spec": {**item["spec"], "securityContext": _POD_SECURITY}}


#: Name → pod: the table of the rule.
PODS: dict[str, Pod] = {
    "the namespace has the label": pod(),
    "the namespace has no label": pod(namespace="plain"),
    "the label has another value": pod(namespace="other-value"),
    "the pod opts out": _annotated("false"),
    "the annotation has the value of the label": _annotated("enabled"),
    "the annotation of a pod does not opt in its namespace": pod(namespace="plain", annotations={INJECT: "always"}),
    "other annotations": pod(annotations={"a": "b"}),
    "a static pod": pod(annotations={MIRROR: "hash"}),
    "env without a proxy": pod(container(env=env("A", "HTTP_PROXY_URL", "PROXY"))),
    "env that refers to others keeps its order": pod(
        container(env=[{"name": "B", "value": "$(A)"}, {"name": "A", "value": "a"}])
    ),
    "env from a field": pod(container(env=[{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}])),
    "the same env twice": pod(container(env=[*env("A"), {"name": "A", "value": "2"}])),
    **{f"own {name}": pod(container(env=env(name))) for name in VARIABLES},
    "own name in mixed case": pod(container(env=env("Https_Proxy"))),
    "own name without a value": pod(container(env=[{"name": "NO_PROXY"}])),
    "own value from a Secret": pod(
        container(env=[{"name": "https_proxy", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}])
    ),
    "one of two containers sets its own": pod(container("a", env=env("no_proxy")), container("b")),
    "our envFrom": pod(container(envFrom=[OURS])),
    "our envFrom of a Secret": pod(container(envFrom=[OUR_SECRET])),
    "our envFrom twice": pod(container(envFrom=[OURS, OUR_SECRET])),
    "our envFrom with an empty prefix": pod(container(envFrom=[{"prefix": "", **OURS}])),
    "our envFrom with a prefix": pod(container(envFrom=[{"prefix": "X_", **OURS}])),
    "envFrom of others": pod(container(envFrom=[THEIRS])),
    "envFrom of others and ours": pod(container(envFrom=[THEIRS, OURS])),
    "envFrom of a Secret of others": pod(container(envFrom=[{"secretRef": {"name": "theirs", "optional": True}}])),
    "envFrom without a name": pod(container(envFrom=[{"configMapRef": {}}])),
    "envFrom of others in one of two containers": pod(container("a", envFrom=[THEIRS]), container("b")),
    "envFrom of others, always": _annotated("always", container(envFrom=[THEIRS])),
    "own env, always": _annotated("always", container(env=env("HTTP_PROXY"))),
    "init containers": pod(container(), init=[container("init")]),
    "an init container sets its own": pod(container(), init=[container("a", env=env("http_proxy")), container("b")]),
    "a sidecar": pod(container(), init=[container("mesh", restartPolicy="Always", envFrom=[THEIRS])]),
    "the same port twice": pod(container(ports=[{"containerPort": 80}, {"containerPort": 80, "name": "x"}])),
    "a restricted pod": restricted_pod(),
    "50 containers": pod(*(container(f"c{i}") for i in range(50))),
    "50 containers with 60 variables, and 10 init containers": pod(
        *(container(f"c{i}", env=env(*(f"V{j}" for j in range(60)))) for i in range(50)),
        init=[container(f"i{i}", env=env(*(f"V{j}" for j in range(60)))) for i in range(10)],
    ),
    "aws-node": _named("DaemonSet", "aws-node"),
    "kube-proxy": _named("DaemonSet", "kube-proxy"),
    "a DaemonSet that is not named": _named("DaemonSet", "node-local-dns"),
    "a StatefulSet": _named("StatefulSet", "store"),
    "a StatefulSet with the name of a DaemonSet": _named("StatefulSet", "aws-node"),
    "a Deployment": _named("ReplicaSet", "ebs-csi-controller-5d9f", **_HASH),
    "a Deployment with a longer name": _named("ReplicaSet", "ebs-csi-controller-x-5d9f", **_HASH),
    "a ReplicaSet without a hash": _named("ReplicaSet", "ebs-csi-controller-5d9f"),
    "a pod of kube-system without an owner": pod(namespace="kube-system"),
    "aws-node with its own env": pod(
        container(env=env("HTTPS_PROXY")), namespace="kube-system", owner=("DaemonSet", "aws-node")
    ),
    "aws-node opts out": pod(namespace="kube-system", owner=("DaemonSet", "aws-node"), annotations={INJECT: "false"}),
    "aws-node in another namespace": pod(namespace="plain", owner=("DaemonSet", "aws-node")),
}

#: Name → world; each has all pods of the table.
WORLDS: dict[str, World] = {
    "values": World(DATA),
    "a namespace of named workloads has the label": World(
        DATA, namespaces={**NAMESPACES, "kube-system": {INJECT: "enabled"}}
    ),
    "no workloads are named": World(DATA, workloads=()),
    "no ConfigMap": World(None),
    "an empty ConfigMap": World({}),
    "a ConfigMap without no_proxy": World({name: DATA[name] for name in DATA if name != "no_proxy"}),
    "a password": World(DATA, is_secret=True),
}


# --- the CA

#: Pods of the CA's policy; the namespace "team" has the ConfigMap, "bare" has none.
CA_PODS: dict[str, Pod] = {
    "a pod": pod(init=[container("init")]),
    "a namespace without the ConfigMap": pod(namespace="bare"),
    "a namespace without the label": pod(namespace="plain"),
    "the pod opts out": _annotated("false"),
    "one variable of its own": pod(container(env=env("SSL_CERT_FILE", "A"))),
    "all variables of its own": pod(container(env=env(*CA_VARIABLES))),
    "in lower case it is another variable": pod(container(env=env("ssl_cert_file"))),
    "envFrom of others": pod(container("a", envFrom=[THEIRS]), container("b")),
    "envFrom of others, always": _annotated("always", container(envFrom=[THEIRS])),
    "other volumes and mounts": _with_volumes(
        pod(container(volumeMounts=[{"name": "v", "mountPath": "/v"}])), {"name": "v", "emptyDir": {}}
    ),
    "a volume with our name": _with_volumes(pod(), {"name": CA_NAME, "emptyDir": {}}),
    "our volume of an operator": _with_volumes(
        pod(container("a"), container("b", volumeMounts=[{"name": CA_NAME, "mountPath": CA_DIRECTORY}])),
        {"name": CA_NAME, "configMap": {"name": CA_NAME}},
    ),
    "the mount path is in use": pod(container(volumeMounts=[{"name": "v", "mountPath": CA_DIRECTORY}])),
    "a restricted pod": restricted_pod(),
    "50 containers with 60 variables": pod(
        *(container(f"c{i}", env=env(*(f"V{j}" for j in range(60)))) for i in range(50))
    ),
}


def ca_objects() -> list[dict[str, Any]]:
    """Return the manifests of the CA's policy, its namespaces and its ConfigMap."""
    namespaces = {"team": {INJECT: "enabled"}, "bare": {INJECT: "enabled"}, "plain": {}}
    manifests = [*ca_policy(WORKLOADS), ca_config_map("team", "PEM")]
    for name, labels in namespaces.items():
        metadata = {"name": name, "labels": {NAMESPACE_NAME: name, **labels}}
        manifests.append({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    return [*manifests, *_SENTINEL]


# --- pods that hypothesis makes

_ENV_NAMES = st.sampled_from(
    [*VARIABLES, "Http_Proxy", "NO_proxy", "HTTP_PROXY_", "A", "B", "http-proxy", "http_proxy\u0130"]
)
_ENVS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"name": _ENV_NAMES}, optional={"value": st.text(max_size=3)}),
        st.builds(lambda name: {"name": name, "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}, _ENV_NAMES),
    ),
    max_size=3,
)
_SOURCES = st.lists(
    st.builds(
        lambda prefix, key, name: {**({"prefix": prefix} if prefix else {}), key: {"name": name} if name else {}},
        st.sampled_from(["", "", "X_"]),
        st.sampled_from(["configMapRef", "secretRef"]),
        st.sampled_from([NAME, NAME, "theirs", ""]),
    ),
    max_size=2,
)


@st.composite
def pods(draw: st.DrawFn) -> Pod:
    """Return any pod as far as the rule reads it."""
    count, inits = draw(st.integers(1, 3)), draw(st.integers(0, 2))

    def one(name: str) -> dict[str, Any]:
        fields = draw(st.fixed_dictionaries({}, optional={"env": _ENVS, "envFrom": _SOURCES}))
        return container(name, **{key: value for key, value in fields.items() if value})

    owners = [("DaemonSet", "aws-node"), ("ReplicaSet", "ebs-csi-controller-5d9f"), ("Job", "aws-node"), None]
    return pod(
        *(one(f"c{i}") for i in range(count)),
        init=[one(f"i{i}") for i in range(inits)],
        namespace=draw(st.sampled_from(["team", "team", "plain", "kube-system"])),
        annotations=draw(
            st.dictionaries(
                st.sampled_from([INJECT, INJECT, MIRROR, "a"]), st.sampled_from(["false", "always", "true"]), max_size=2
            )
        ),
        labels=draw(st.sampled_from([{}, _HASH, {"pod-template-hash": "x"}])),
        owner=draw(st.sampled_from(owners)),
    )
