"""The objects of a cluster in memory, in the place of kubectl.

It knows what `cluster` requests, and no more; tests/cluster has a real API server.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonpatch

from agent.core.cluster.ca_policy import CA_DIRECTORY, ca_variables
from agent.core.cluster.injection import injected_env, source_env
from agent.core.cluster.injection import is_chosen as is_chosen_by_policy
from agent.core.cluster.objects import read_source
from agent.core.cluster.patch import containers
from agent.core.cluster.shape import shape_problem
from agent.core.settings.workloads import DEFAULT_WORKLOADS, Workload
from agent.edges.kubectl import Kubectl, KubectlError

NAME = "proxy-environment-variables"
NOT_FOUND = "Error from server (NotFound): not found"
FORBIDDEN = 'Error from server (Forbidden): User "u" cannot get resource "x" in API group ""'
OUTDATED = "Error from server (Conflict): the object has been modified"
_POLICIES = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies"
_BINDINGS = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings"
TIME = "2026-01-01T00:00:00Z"


def daemon_set(name: str, *containers: dict[str, Any], namespace: str = "kube-system", **spec: Any) -> dict[str, Any]:
    """Return a DaemonSet whose rollout is complete, with one pod."""
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": list(containers) or [{"name": name}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template, **spec},
        "status": {
            "observedGeneration": 1,
            **dict.fromkeys(("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"), 1),
        },
    }


class Api(Kubectl):
    """A cluster with aws-node and kube-proxy, whose controllers replace pods at once.

    `failures`: texts and errors.  The next request that has such a text fails once.  `policies`:
    what the API server knows of policies: nothing ("absent"), their objects alone ("off"), or all
    of it ("on"), by the same rule in Python.
    """

    def __init__(self) -> None:
        super().__init__("no-kubectl")
        self.objects: dict[str, dict[str, Any]] = {}
        self.failures: list[tuple[str, str]] = []
        self.requests: list[str] = []
        self.pages = 500
        self.replaces_pods = True
        self.policies = "absent"
        self.server_url = ""
        self.add(daemon_set("aws-node", {"name": "aws-node"}, {"name": "agent"}))
        self.add(daemon_set("kube-proxy"))
        service = {"kind": "Service", "metadata": {"name": "kubernetes", "namespace": "default"}}
        self.objects["/api/v1/namespaces/default/services/kubernetes"] = {
            **service,
            "spec": {"clusterIP": "172.20.0.1"},
        }

    def add(self, obj: dict[str, Any]) -> None:
        """Add a workload and its pod."""
        metadata = obj["metadata"]
        kind = obj["kind"].lower()
        self.objects[f"/apis/apps/v1/namespaces/{metadata['namespace']}/{kind}s/{metadata['name']}"] = obj
        self._replace_pods(obj)

    def workload(self, name: str, namespace: str = "kube-system") -> dict[str, Any]:
        """Return a DaemonSet."""
        return self.objects[f"/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}"]

    def pod(self, name: str, namespace: str = "kube-system") -> dict[str, Any]:
        """Return the pod of a DaemonSet."""
        return self.objects[f"/api/v1/namespaces/{namespace}/pods/{name}-0"]

    def source(self, kind: str = "configmaps", namespace: str = "kube-system") -> dict[str, Any] | None:
        """Return the ConfigMap or Secret."""
        return self.objects.get(f"/api/v1/namespaces/{namespace}/{kind}/{NAME}")

    def add_namespace(self, name: str, **labels: str) -> None:
        """Add a namespace."""
        self.objects[f"/api/v1/namespaces/{name}"] = {
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {key.replace("_", "/"): value for key, value in labels.items()}},
        }

    def admitted(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Return a new pod after the policy, if there is one in force."""
        pod = self._with_ca(pod)
        source = self.source() or self.source("secrets", pod["metadata"]["namespace"])
        policy = self.objects.get(f"{_POLICIES}/eks-proxy-agent")
        if self.policies != "on" or policy is None or source is None:
            return pod
        labels = self.objects.get(f"/api/v1/namespaces/{pod['metadata']['namespace']}", {"metadata": {}})["metadata"]
        env = injected_env(pod, labels.get("labels", {}), DEFAULT_WORKLOADS, source_env(read_source(source)))
        after = copy.deepcopy(pod)
        for group, _, container in containers(after["spec"]):
            container["env"] = env[group, container["name"]]
        return after

    def _with_ca(self, pod: dict[str, Any]) -> dict[str, Any]:
        namespace = pod["metadata"]["namespace"]
        config_map = f"/api/v1/namespaces/{namespace}/configmaps/eks-proxy-agent-ca"
        labels = self.objects.get(f"/api/v1/namespaces/{namespace}", {"metadata": {}})["metadata"].get("labels", {})
        is_chosen = is_chosen_by_policy(pod, labels, DEFAULT_WORKLOADS)
        in_force = self.policies == "on" and f"{_POLICIES}/eks-proxy-agent-ca" in self.objects
        if not (is_chosen and in_force and config_map in self.objects):
            return pod
        after = copy.deepcopy(pod)
        for _, _, container in containers(after["spec"]):
            variables = [{"name": name, "value": "x"} for name in ca_variables(pod, container)]
            container["env"] = [*container.get("env", []), *variables]
            container["volumeMounts"] = [{"name": "eks-proxy-agent-ca", "mountPath": CA_DIRECTORY}]
        after["spec"]["volumes"] = [{"name": "eks-proxy-agent-ca", "configMap": {"name": "eks-proxy-agent-ca"}}]
        return after

    def _replace_pods(self, obj: dict[str, Any]) -> None:
        metadata, template = obj["metadata"], copy.deepcopy(obj["spec"]["template"])
        owner = {"kind": obj["kind"], "name": metadata["name"]}
        place = {"namespace": metadata["namespace"], "name": metadata["name"] + "-0", "ownerReferences": [owner]}
        pod = {
            "kind": "Pod",
            "metadata": {**template["metadata"], **place},
            "spec": {**template["spec"], "nodeName": "node-1"},
            "status": {"phase": "Running", "containerStatuses": [{"state": {"running": {"startedAt": TIME}}}]},
        }
        self.objects[f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}-0"] = self.admitted(pod)

    # --- what kubectl does

    def _request(self, verb: str, where: str, *, dry_run: bool = False) -> None:
        request = f"{verb} {where}{' (dry run)' if dry_run else ''}"
        self.requests.append(request)
        for number, (part, error) in enumerate(self.failures):
            if part in request:
                del self.failures[number]
                raise KubectlError(request, error)

    def writes(self) -> list[str]:
        """Return the requests that changed something."""
        return [text for text in self.requests if not text.startswith("get ") and "(dry run)" not in text]

    def get(self, path: str, kind: str, doing: str = "") -> Any:
        """Return an object, or a page of pods, or all ConfigMaps or Secrets of our name."""
        obj = self._get(path, doing)
        assert obj["kind"] == kind
        assert shape_problem(obj, kind) == ""
        return obj

    def _get(self, path: str, doing: str) -> Any:
        self._request("get", path)
        parts = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path.endswith("/pods"):
            return self._pods(parts.path, query)
        if parts.path == "/api/v1/namespaces":
            key, _, value = query["labelSelector"].partition("=")
            spaces = [obj for obj in self.objects.values() if obj["kind"] == "Namespace"]
            items = [obj for obj in spaces if obj["metadata"]["labels"].get(key) == value]
            return {"kind": "NamespaceList", "items": copy.deepcopy(items)}
        if path == "/apis/admissionregistration.k8s.io/v1":
            names = ["mutatingwebhookconfigurations", *(["mutatingadmissionpolicies"] * (self.policies != "absent"))]
            return {"kind": "APIResourceList", "resources": [{"name": name} for name in names]}
        if parts.path in ("/api/v1/configmaps", "/api/v1/secrets"):
            kind, name = parts.path.rpartition("/")[2], query["fieldSelector"].rpartition("=")[2]
            items = [obj for key, obj in self.objects.items() if key.endswith(f"/{kind}/{name}")]
            kinds = {"configmaps": "ConfigMapList", "secrets": "SecretList"}
            return {"kind": kinds[kind], "items": [copy.deepcopy({**obj, "kind": ""}) for obj in items]}
        if path not in self.objects:
            raise KubectlError(doing or "reading " + path, NOT_FOUND)
        return copy.deepcopy(self.objects[path])

    def _pods(self, path: str, query: Mapping[str, str]) -> Any:
        labels = dict(term.split("=") for term in filter(None, query.get("labelSelector", "").split(",")))
        pods = [
            obj
            for key, obj in sorted(self.objects.items())
            if key.startswith(path + "/") and labels.items() <= obj["metadata"].get("labels", {}).items()
        ]
        begin = int(query.get("continue", 0))
        end = begin + min(self.pages, int(query["limit"]))
        metadata = {"continue": str(end)} if end < len(pods) else {}
        return {"kind": "PodList", "metadata": metadata, "items": copy.deepcopy(pods[begin:end])}

    def apply(self, manifest: Mapping[str, Any], doing: str, *, dry_run: bool) -> Any:
        """Apply on the server's side: the fields become ours, those of others stay."""
        kind, metadata = str(manifest["kind"]), manifest["metadata"]
        path = object_path(kind, metadata)
        self._request("apply", path, dry_run=dry_run)
        if "spec" in manifest:
            stored = {**copy.deepcopy(dict(manifest)), "metadata": {**metadata, "uid": f"uid-{metadata['name']}"}}
            if not dry_run:
                self.objects[path] = stored
            return copy.deepcopy(stored)
        before = self.objects.get(path)
        after: dict[str, Any] = copy.deepcopy(before or {})
        others = [entry for entry in self._managers(before) if entry["manager"] != "eks-proxy-agent"]
        theirs = {key for entry in others for key in entry["fieldsV1"].get("f:data", {})}
        data = {key: value for key, value in after.get("data", {}).items() if "f:" + key in theirs}
        after.update(copy.deepcopy(dict(manifest)))
        after["data"] = {**data, **manifest.get("data", {})}
        ours = {"f:data": {"f:" + key: {} for key in manifest.get("data", {})}}
        entry = {"manager": "eks-proxy-agent", "operation": "Apply", "time": TIME, "fieldsV1": ours}
        managers = [*others, entry] if manifest.get("data") else others
        after["metadata"] = {**metadata, "uid": f"uid-{kind}", "managedFields": managers}
        if not dry_run:
            self.objects[path] = copy.deepcopy(after)
        return after

    @staticmethod
    def _managers(obj: Mapping[str, Any] | None) -> list[Any]:
        return list(((obj or {}).get("metadata") or {}).get("managedFields") or [])

    def patch(self, workload: Workload, patch: str, doing: str, *, dry_run: bool) -> Any:
        """Apply a JSON patch, and replace the pod of the workload."""
        self._request("patch", str(workload), dry_run=dry_run)
        obj = copy.deepcopy(self.objects[workload.path])
        for op in json.loads(patch):
            if op["op"] != "test":
                obj = jsonpatch.apply_patch(obj, [op])
        if not dry_run:
            self.objects[workload.path] = obj
            if self.replaces_pods:
                self._replace_pods(obj)
        return copy.deepcopy(obj)

    def try_create(self, manifest: Mapping[str, Any], doing: str) -> None:
        """Accept every object."""
        self._request("create", str(manifest["spec"]["clusterIP"]), dry_run=True)

    def dry_run_create(self, manifest: Mapping[str, Any], doing: str) -> Any:
        """Return a pod as it would be created."""
        self._request("create", f"{manifest['metadata']['namespace']}/pod", dry_run=True)
        return self.admitted(copy.deepcopy(dict(manifest)))

    def restart(self, workload: Workload, doing: str) -> None:
        """Replace the pods of a workload."""
        self._request("restart", str(workload))
        self._replace_pods(self.objects[workload.path])

    def delete(self, path: str, uid: str, doing: str) -> None:
        """Delete an object with this uid."""
        self._request("delete", path)
        assert self.objects[path]["metadata"]["uid"] == uid
        del self.objects[path]

    def server(self) -> str:
        """Return the URL of the kubeconfig."""
        return self.server_url


def object_path(kind: str, metadata: Mapping[str, Any]) -> str:
    """Return the API path of an object that `apply` writes."""
    if kind.startswith("MutatingAdmission"):
        plural = {"MutatingAdmissionPolicy": _POLICIES, "MutatingAdmissionPolicyBinding": _BINDINGS}
        return f"{plural[kind]}/{metadata['name']}"
    return f"/api/v1/namespaces/{metadata['namespace']}/{kind.lower()}s/{metadata['name']}"


def decoded(secret: Mapping[str, Any]) -> dict[str, str]:
    """Return the data of a Secret."""
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
