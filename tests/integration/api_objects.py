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

from agent.core.cluster.shape import shape_problem
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, KubectlError

NAME = "proxy-environment-variables"
NOT_FOUND = "Error from server (NotFound): not found"
FORBIDDEN = 'Error from server (Forbidden): User "u" cannot get resource "x" in API group ""'
OUTDATED = "Error from server (Conflict): the object has been modified"
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

    `failures`: texts and errors.  The next request that has such a text fails once.
    """

    def __init__(self) -> None:
        super().__init__("no-kubectl")
        self.objects: dict[str, dict[str, Any]] = {}
        self.failures: list[tuple[str, str]] = []
        self.requests: list[str] = []
        self.pages = 500
        self.replaces_pods = True
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

    def _replace_pods(self, obj: dict[str, Any]) -> None:
        metadata, template = obj["metadata"], copy.deepcopy(obj["spec"]["template"])
        pod = {
            "kind": "Pod",
            "metadata": {**template["metadata"], "namespace": metadata["namespace"], "name": metadata["name"] + "-0"},
            "spec": {**template["spec"], "nodeName": "node-1"},
            "status": {"phase": "Running", "containerStatuses": [{"state": {"running": {"startedAt": TIME}}}]},
        }
        self.objects[f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}-0"] = pod

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
        if parts.path in ("/api/v1/configmaps", "/api/v1/secrets"):
            kind = parts.path.rpartition("/")[2]
            items = [obj for key, obj in self.objects.items() if key.endswith(f"/{kind}/{NAME}")]
            kinds = {"configmaps": "ConfigMapList", "secrets": "SecretList"}
            return {"kind": kinds[kind], "items": [copy.deepcopy({**obj, "kind": ""}) for obj in items]}
        if path not in self.objects:
            raise KubectlError(doing or "reading " + path, NOT_FOUND)
        return copy.deepcopy(self.objects[path])

    def _pods(self, path: str, query: Mapping[str, str]) -> Any:
        labels = dict(term.split("=") for term in query["labelSelector"].split(","))
        pods = [
            obj
            for key, obj in sorted(self.objects.items())
            if key.startswith(path + "/") and labels.items() <= obj["metadata"]["labels"].items()
        ]
        begin = int(query.get("continue", 0))
        end = begin + min(self.pages, int(query["limit"]))
        metadata = {"continue": str(end)} if end < len(pods) else {}
        return {"kind": "PodList", "metadata": metadata, "items": copy.deepcopy(pods[begin:end])}

    def apply(self, manifest: Mapping[str, Any], doing: str, *, dry_run: bool) -> Any:
        """Apply on the server's side: the fields become ours, those of others stay."""
        kind, metadata = str(manifest["kind"]), manifest["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/{kind.lower()}s/{NAME}"
        self._request("apply", path, dry_run=dry_run)
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

    def delete(self, path: str, uid: str, doing: str) -> None:
        """Delete an object with this uid."""
        self._request("delete", path)
        assert self.objects[path]["metadata"]["uid"] == uid
        del self.objects[path]

    def server(self) -> str:
        """Return the URL of the kubeconfig."""
        return self.server_url


def decoded(secret: Mapping[str, Any]) -> dict[str, str]:
    """Return the data of a Secret."""
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
