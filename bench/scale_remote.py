"""Work with a remote side for scale.py: `check` through a proxy, and `cluster` with many objects.

Only the work of this program is measured.  The proxy is a thread of the process that waits for the
measured one, and the API server is the one of the integration tests, in memory.
"""

from __future__ import annotations

import contextlib
import io
import json
import socketserver
import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Callable

from agent.checks import proxy
from agent.cluster.apply import apply_plan
from agent.cluster.inputs import ClusterInputs
from agent.cluster.plan import make_plan
from agent.cluster.verify import verify
from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent.intent import Intent, compose
from agent.core.net.proxy_url import ProxyUrl
from agent.core.settings.layers import merge, parse_toml
from agent.core.settings.schema import Settings
from agent.core.settings.workloads import Workload
from tests.integration.api_objects import Api, daemon_set

NAMESPACE = "kube-system"
FACTS = Facts("i-0123456789abcdef0", "", ("10.0.0.0/16",), (), "eu-central-1", "amazonaws.com", "aws")


class _Refusing(socketserver.StreamRequestHandler):
    """A proxy that refuses every tunnel."""

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads, request_queue_size = True, 512


def check_endpoints(size: int) -> Callable[[], object]:
    """Return the group `proxy` of `check` for so many endpoints, which the proxy refuses."""
    server = _Server(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    names = json.dumps([f"h{number}.example.com:443" for number in range(size)])
    settings = _settings(f"[check]\nendpoints = {names}\n", server.server_address[1])
    resolved = SimpleNamespace(facts=FACTS, inputs=SimpleNamespace(cluster_info=ClusterInfo()))
    node = SimpleNamespace(settings=settings, intent=_intent(settings), resolved=resolved, is_from_status=False)

    def work() -> None:
        findings = list(proxy.check(node))  # type: ignore[arg-type]
        assert all("denied" in finding.text or "403" in finding.text for finding in findings), findings

    return work


def cluster_apply(size: int) -> Callable[[], object]:
    """Return `cluster apply` to so many workloads."""
    api, inputs = _cluster(size)
    return lambda: _apply(api, inputs)


def cluster_verify(size: int) -> Callable[[], object]:
    """Return `cluster verify` of so many workloads, each with one pod."""
    api, inputs = _cluster(size)
    _apply(api, inputs)
    return lambda: verify(api, inputs)


def verify_pods(size: int) -> Callable[[], object]:
    """Return `cluster verify` of one workload with so many pods, in pages."""
    api, inputs = _cluster(1)
    _apply(api, inputs)
    api.copies = size
    return lambda: verify(api, inputs)


class _ManyObjects(Api):
    """The API server of the tests, with a list of pods that takes no search.

    `copies`: how often the pod of a workload is in its list.
    """

    copies = 1

    def _pods(self, path: str, query: Mapping[str, str]) -> Any:
        pod = self.objects[f"{path}/{query['labelSelector'].partition('=')[2]}-0"]
        begin, limit = int(query.get("continue", 0)), int(query["limit"])
        end = min(begin + limit, self.copies)
        page = {"kind": "PodList", "metadata": {"continue": str(end)} if end < self.copies else {}}
        text = json.dumps({**page, "items": [pod] * (end - begin)})
        return json.loads(text)  # each pod is an object of its own, as from kubectl


def _cluster(size: int) -> tuple[_ManyObjects, ClusterInputs]:
    api = _ManyObjects()
    workloads = tuple(Workload(NAMESPACE, "DaemonSet", f"app{number}") for number in range(size))
    for workload in workloads:
        api.add(daemon_set(workload.name))
    settings = _settings("")
    return api, ClusterInputs(settings, _intent(settings), (NAMESPACE,), workloads, (), ())


def _apply(api: Api, inputs: ClusterInputs) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        apply_plan(api, make_plan(api, inputs, take_over=False), take_over=False, timeout=1)


def _settings(text: str, port: int = 3128) -> Settings:
    proxy_url = f'[proxy]\nurl = "{ProxyUrl("http", "127.0.0.1", port)}"\n'
    return merge([parse_toml("bench", (proxy_url + text).encode())]).settings


def _intent(settings: Settings) -> Intent:
    intent = compose(settings, FACTS, ClusterInfo())
    assert intent
    return intent
