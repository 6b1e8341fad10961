"""Nodes on which other places than the agent's files decide about the proxy."""

from __future__ import annotations

import json
from typing import Any, Callable

from tests.boot.harness.bed import Trial
from tests.boot.harness.daemon import AGENT
from tests.boot.harness.node import Running
from tests.boot.harness.services import IMAGE

DAEMON_JSON = "/etc/docker/daemon.json"


def failures(running: Running) -> list[dict[str, Any]]:
    """Return the findings of `check` that are not ok."""
    output = running.run("eks-proxy-agent", "check", "--json", "--only", "files", "--only", "elsewhere", check=False)
    return [finding for finding in json.loads(output)["findings"] if finding["state"] in ("warn", "fail")]


def test_an_open_quote_of_others_does_not_hold_up_docker(trial: Callable[[str], Trial]) -> None:
    """The file stays as it is; docker, containerd and kubelet start with the proxy of node.env."""
    node = trial("environment-open-quote")
    running = node.start(hold=True)
    running.wait_settled()
    assert running.run("cat", "/run/eks-proxy-agent/ready") == ""
    status = running.show(AGENT, "StatusText")
    (finding,) = failures(running)
    node.finish(running)
    assert status.startswith("degraded: /etc/environment: line 2: the quote of its value is not closed")
    assert (finding["group"], finding["name"], finding["state"]) == ("files", "/etc/environment", "fail")


def pull(running: Running) -> str:
    """Let dockerd pull an image, through its API: Debian 13 has the client in another package."""
    url = f"http://docker/images/create?fromImage={IMAGE}"
    return running.run("curl", "--silent", "--unix-socket", "/run/docker.sock", "--request", "POST", url)


def test_docker_prefers_its_own_proxies(trial: Callable[[str], Trial]) -> None:
    """With `proxies` in daemon.json a pull fails, and `check` says why; without them it works."""
    node = trial("docker-own-proxies")
    running = node.start(hold=True)
    running.wait_settled()
    assert "127.0.0.1:9: connect: connection refused" in pull(running)
    warned = f"journalctl --quiet --unit={AGENT} --output=cat EKS_PROXY_EVENT=unit.warning | grep -F {DAEMON_JSON}"
    running.wait_until("the journal to name daemon.json", "sh", "-c", warned)
    before = failures(running)
    running.run("sed", "-i", '/"proxies"/d; s/5000"],/5000"]/', DAEMON_JSON)
    after = failures(running)
    running.run("systemctl", "restart", "docker")
    assert "Downloaded newer image" in pull(running)
    node.finish(running)
    (finding,) = before
    assert (finding["name"], finding["state"], after) == (DAEMON_JSON, "fail", [])
    assert '"proxies" sets HTTP_PROXY to http://127.0.0.1:9' in finding["text"]
