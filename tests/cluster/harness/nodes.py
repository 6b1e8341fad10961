"""Simulated nodes: a thread updates the API as kubelet does, so that rollouts complete."""

from __future__ import annotations

import datetime
import http.client
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .api import Api, ApiError
from .control_plane import ControlPlane

INTERVAL = 0.05  # seconds between two polls of the pods


class Nodes:
    """Node objects, and the work of their kubelets.

    Pods become Running and Ready, and pods marked for deletion are removed.  The thread starts with
    the first node and stops with close(), which raises the thread's own errors.
    """

    def __init__(self, control_plane: ControlPlane) -> None:
        """Begin without nodes."""
        self._control_plane = control_plane
        self._names: list[str] = []
        self._stuck: dict[str, str] = {}
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def add(self, *names: str) -> None:
        """Add nodes to the cluster, ready for pods."""
        api = self._control_plane.api()
        for name in names:
            api.create("/api/v1/nodes", _node(name))
            api.patch(f"/api/v1/nodes/{name}/status", {"status": _node_status()}, "strategic")
        self._names += names
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="nodes", daemon=True)
            self._thread.start()

    @contextmanager
    def stuck(self, prefix: str, message: str = "back-off 10s restarting failed container") -> Iterator[None]:
        """Let pods whose names have this prefix crash, unless they are already ready."""
        self._stuck[prefix] = message
        try:
            yield
        finally:
            del self._stuck[prefix]

    def close(self) -> None:
        """Stop the thread.  The node objects stay, without a kubelet."""
        if self._thread is not None:
            self._end.set()
            self._thread.join(30)
            self._thread = None
        if self._error is not None:
            raise self._error

    # --- the thread
    # ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        api = self._control_plane.api()
        while not self._end.wait(INTERVAL):
            try:
                for name in list(self._names):
                    for pod in api.get(f"/api/v1/pods?fieldSelector=spec.nodeName={name}&resourceVersion=0")["items"]:
                        self._keep(api, pod)
            except (http.client.HTTPException, OSError):
                continue  # a test stopped the API server; kubelet would retry too
            except BaseException as error:  # noqa: BLE001 - raised again by close()
                self._error = error
                return

    def _keep(self, api: Api, pod: dict[str, Any]) -> None:
        """Update one pod."""
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        try:
            if pod["metadata"].get("deletionTimestamp"):
                api.delete(path, grace=0)
                return
            if _is_ready(pod):
                return
            message = next((text for key, text in self._stuck.items() if pod["metadata"]["name"].startswith(key)), "")
            status = running_status(pod, message)
            if not message or pod["status"].get("phase") != "Running":
                api.patch(f"{path}/status", {"status": status}, "strategic")
        except ApiError as error:
            if error.status not in (404, 409, 429):  # deleted, changed, or too many requests: the next poll retries
                raise


def _is_ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _node(name: str) -> dict[str, Any]:
    labels = {
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "eks.amazonaws.com/nodegroup": "blue",
        "topology.kubernetes.io/region": "eu-west-1",
    }
    return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "labels": labels}}


def _node_status() -> dict[str, Any]:
    room = {"cpu": "64", "memory": "256Gi", "pods": "11000", "ephemeral-storage": "100Gi"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
    return {
        "capacity": room,
        "allocatable": room,
        "conditions": [{**ready, "lastHeartbeatTime": _now(), "lastTransitionTime": _now()}],
        "nodeInfo": {"kubeletVersion": "v1.20.2", "containerRuntimeVersion": "docker://20.10.24"},
    }


def running_status(pod: dict[str, Any], crash: str = "") -> dict[str, Any]:
    """Return the status that kubelet reports for a running pod.

    With `crash`, its containers exit as soon as they start, with this message.
    """
    spec, now, ready = pod["spec"], _now(), "False" if crash else "True"
    if crash:
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": crash}}
    else:
        state = {"running": {"startedAt": now}}
    done = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}
    conditions = {"Initialized": "True", "PodScheduled": "True", "ContainersReady": ready, "Ready": ready}
    return {
        "phase": "Running",
        "hostIP": "10.0.1.23",
        "podIP": "10.0.1.23",
        "podIPs": [{"ip": "10.0.1.23"}],
        "startTime": now,
        "conditions": [{"type": key, "status": value, "lastTransitionTime": now} for key, value in conditions.items()],
        "initContainerStatuses": _containers(spec.get("initContainers", ()), done, ready=True),
        "containerStatuses": _containers(spec["containers"], state, ready=not crash),
    }


def _containers(containers: Sequence[dict[str, Any]], state: dict[str, Any], *, ready: bool) -> list[dict[str, Any]]:
    return [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": f"docker-pullable://{container['image']}",
            "containerID": f"docker://{container['name']}",
            "ready": ready,
            "started": ready,
            "restartCount": 0,
            "state": state,
        }
        for container in containers
    ]
