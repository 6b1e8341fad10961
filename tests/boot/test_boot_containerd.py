"""containerd pulls for kubelet: by a call of the CRI, through Squid."""

from __future__ import annotations

from typing import Callable

import pytest

from tests.boot.harness import cri
from tests.boot.harness.bed import Trial
from tests.boot.harness.services import IMAGE, REGISTRY_NAME


@pytest.mark.parametrize("case", ["containerd-alone", "containerd-docker"])
def test_containerd_pulls_by_cri_what_only_the_proxy_can_reach(trial: Callable[[str], Trial], case: str) -> None:
    """A pull as kubelet asks for it goes through Squid by containerd's own environment, with docker
    beside it or not.
    """
    node = trial(case)
    running = node.start(hold=True)
    running.wait_settled()
    said = cri.pull(running, IMAGE)
    requests = [line for line in node.requests() if "containerd/" in line]
    status = running.run("eks-proxy-agent", "status", "--full").split()
    node.finish(running)
    assert said == ""
    assert any(f"http://{REGISTRY_NAME}/v2/" in line for line in requests), node.requests()
    units = {name: status[at + 1] for at, name in enumerate(status) if name.endswith(".service")}
    assert (units["containerd.service"], units["sandbox-image.service"]) == ("active", "absent")


def test_without_the_agent_a_cri_pull_fails(trial: Callable[[str], Trial]) -> None:
    """The same pull on a node that has no proxy reaches nobody: it is the proxy that makes the
    difference.
    """
    node = trial("containerd-unproxied")
    running = node.start(hold=True)
    running.wait_settled()
    said = cri.pull(running, IMAGE)
    node.finish(running)
    assert "failed to do request" in said or "no such host" in said or "dial tcp" in said
    assert node.requests() == []
