"""Parts of a MutatingAdmissionPolicy on pods: which pods and containers it chooses, and manifests.

Source: "Mutating Admission Policy" in the Kubernetes documentation.  Expressions are CEL; they are
run with the API server's admission code by `make policy-test`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.core.cluster.objects import NAME, OURS
from agent.core.settings.workloads import Workload

API_VERSION = "admissionregistration.k8s.io/v1"
POLICY_KIND, BINDING_KIND = "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"
#: Label of namespaces, and annotation of pods, with their values.
INJECT = "eks-proxy-agent/inject"
ENABLED, NEVER, ALWAYS = "enabled", "false", "always"
#: Annotation of the API object of a static pod, which kubelet already started.
MIRROR = "kubernetes.io/config.mirror"
#: Label that the API server gives every namespace.
NAMESPACE_NAME = "kubernetes.io/metadata.name"

Manifest = dict[str, Any]

_PODS = {
    "resourceRules": [
        {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "scope": "*"}
    ]
}
_ANNOTATION = f"object.metadata.?annotations[?'{INJECT}'].orValue('')"
# Other objects may hold the names: `env` would silently override them.
_NO_OTHER_SOURCE = (
    f"({_ANNOTATION} == '{ALWAYS}' || c.?envFrom.orValue([]).all(s, s.?prefix.orValue('') == '' &&"
    f" '{NAME}' in [s.?configMapRef.?name.orValue(''), s.?secretRef.?name.orValue('')]))"
)


def policy(
    name: str,
    workloads: Sequence[Workload],
    conditions: Sequence[Manifest],
    variables: Sequence[Manifest],
    operations: Sequence[str],
    param_kind: str = "",
) -> Manifest:
    """Return a policy that changes new pods by JSON patch operations, a CEL list in each text.

    `conditions` come after those of every policy: not opted out, and chosen in its namespace.  A
    failure of the policy never keeps a pod from being created.
    """
    # Not an ApplyConfiguration: that may not set atomic fields such as secretKeyRef.
    patch = {"patchType": "JSONPatch", "jsonPatch": {"expression": "\n+ ".join(operations)}}
    spec = {
        "failurePolicy": "Ignore",
        "reinvocationPolicy": "IfNeeded",
        **({"paramKind": {"apiVersion": "v1", "kind": param_kind}} if param_kind else {}),
        "matchConstraints": _PODS,
        "matchConditions": [*_choice(workloads), *conditions],
        "variables": list(variables),
        "mutations": [patch],
    }
    return {"apiVersion": API_VERSION, "kind": POLICY_KIND, "metadata": {"name": name, "labels": OURS}, "spec": spec}


def bindings(policy: str, workloads: Sequence[Workload], param: str = "", namespace: str = "") -> list[Manifest]:
    """Return a binding to the namespaces with the label, and one to those with named workloads.

    No namespace is in both, so a pod is changed once.  `param` is the name of the policy's
    parameter, in `namespace` or in the namespace of the pod; without it no pod is changed.
    """
    named = namespaces_of(workloads)
    terms = [{"key": INJECT, "operator": "In", "values": [ENABLED]}]
    terms += [{"key": NAMESPACE_NAME, "operator": "NotIn", "values": named}] if named else []
    reference = {"name": param, **({"namespace": namespace} if namespace else {}), "parameterNotFoundAction": "Allow"}
    spec = {"policyName": policy, **({"paramRef": reference} if param else {})}
    manifests = [_binding(policy, {**spec, "matchResources": _selected(terms)})]
    if named:
        terms = [{"key": NAMESPACE_NAME, "operator": "In", "values": named}]
        manifests.append(_binding(f"{policy}-workloads", {**spec, "matchResources": _selected(terms)}))
    return manifests


def path_of(manifest: Manifest) -> str:
    """Return the API path of a policy, a binding, or a ConfigMap."""
    metadata = manifest["metadata"]
    if manifest["kind"] == POLICY_KIND:
        return f"/apis/{API_VERSION}/mutatingadmissionpolicies/{metadata['name']}"
    if manifest["kind"] == BINDING_KIND:
        return f"/apis/{API_VERSION}/mutatingadmissionpolicybindings/{metadata['name']}"
    return f"/api/v1/namespaces/{metadata['namespace']}/configmaps/{metadata['name']}"


def name_of(obj: Mapping[str, Any]) -> str:
    """Return kind and name of an object for people."""
    metadata = obj["metadata"]
    namespace = f"{metadata['namespace']}/" if metadata.get("namespace") else ""
    return f"{namespace}{str(obj['kind']).lower()}/{metadata['name']}"


def namespaces_of(workloads: Sequence[Workload]) -> list[str]:
    """Return the namespaces in which only the named workloads are chosen."""
    return sorted({workload.namespace for workload in workloads})


def has_rules(obj: Mapping[str, Any], manifest: Manifest) -> bool:
    """Return True if an object of the cluster has the rules of a manifest.

    The API server adds defaults.
    """
    return _contains(obj.get("spec"), manifest["spec"])


def _contains(value: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return isinstance(value, dict) and all(_contains(value.get(key), item) for key, item in expected.items())
    if isinstance(expected, list) and isinstance(value, list) and len(value) == len(expected):
        return all(_contains(item, wanted) for item, wanted in zip(value, expected))
    return bool(value == expected)


def condition(name: str, expression: str) -> Manifest:
    """Return a match condition or a variable."""
    return {"name": name, "expression": expression}


def names(values: Sequence[str]) -> str:
    """Return a list of texts in CEL."""
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def chosen(*conditions: str) -> Manifest:
    """Return the variable `chosen`: the names of the containers that are changed.

    Each condition is a CEL expression on the container `c`.
    """
    every = "(object.spec.containers + object.spec.?initContainers.orValue([]))"
    terms = "\n  && ".join([_NO_OTHER_SOURCE, *conditions])
    return condition("chosen", f"{every}.filter(c,\n  {terms}\n).map(c, c.name)")


def set_in_containers(field: str, value: str) -> list[str]:
    """Return the JSON patch operations that set a field of every container in `chosen`."""
    return [
        f"object.spec.?{group}.orValue([]).transformList(i, c, c.name in variables.chosen,\n"
        f"  JSONPatch{{op: 'add', path: '/spec/{group}/' + string(i) + '/{field}', value: {value}}})"
        for group in ("containers", "initContainers")
    ]


def _binding(name: str, spec: Manifest) -> Manifest:
    return {"apiVersion": API_VERSION, "kind": BINDING_KIND, "metadata": {"name": name, "labels": OURS}, "spec": spec}


def _selected(terms: list[Manifest]) -> Manifest:
    return {"namespaceSelector": {"matchExpressions": terms}}


def _choice(workloads: Sequence[Workload]) -> list[Manifest]:
    conditions = [
        condition("not-opted-out", f"{_ANNOTATION} != '{NEVER}'"),
        condition("not-static", f"!('{MIRROR}' in object.metadata.?annotations.orValue({{}}))"),
    ]
    if workloads:
        conditions.append(condition("named-where-workloads-are-named", _is_named(workloads)))
    return conditions


def _is_named(workloads: Sequence[Workload]) -> str:
    """Return the expression that is true for pods of these workloads and in all other namespaces.

    The owner of a Deployment's pod is a ReplicaSet NAME-HASH; the pod has the hash as a label.
    """
    direct = sorted(f"{one.namespace}/{one.kind}/{one.name}" for one in workloads if one.kind != "Deployment")
    deployments = sorted(f"{one.namespace}/{one.name}" for one in workloads if one.kind == "Deployment")
    owners = [f"request.namespace + '/' + o.kind + '/' + o.name in {names(direct)}"] if direct else []
    if deployments:
        owners.append(
            f"o.kind == 'ReplicaSet' && {names(deployments)}.exists(w, request.namespace + '/' + o.name"
            " == w + '-' + object.metadata.?labels[?'pod-template-hash'].orValue(''))"
        )
    alternatives = " || ".join(f"({owner})" for owner in owners)
    return (
        f"!(request.namespace in {names(namespaces_of(workloads))})\n"
        f"|| object.metadata.?ownerReferences.orValue([]).exists(o, {alternatives})"
    )
