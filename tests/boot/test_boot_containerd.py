"""containerd pulls for kubelet, by a call of the CRI, through Squid."""

from __future__ import annotations

from typing import Callable

import pytest

from tests.boot.harness import cri
from tests.boot.harness.bed import Trial
from tests.boot.harness.services import IMAGE, REGISTRY_NAME


@pytest.mark.parametrize("case", ["containerd-alone", "containerd-docker"])
def test_containerd_pulls_by_cri_through_the_proxy(trial: Callable[[str], Trial], case: str) -> None:
    """A pull as kubelet requests it goes through Squid, by containerd's own environment.

    That holds with docker on the node and without.
    """
    node = trial(case)
    running = node.start(hold=True)
    running.wait_settled()
    error = cri.pull(running, IMAGE)
    requests = [line for line in node.requests() if "containerd/" in line]
    status = running.run("eks-proxy-agent", "status", "--full").split()
    node.finish(running)
    assert error == ""
    assert any(f"http://{REGISTRY_NAME}/v2/" in line for line in requests), node.requests()
    units = {name: status[index + 1] for index, name in enumerate(status) if name.endswith(".service")}
    assert (units["containerd.service"], units["sandbox-image.service"]) == ("active", "absent")


def test_cri_pull_fails_without_a_proxy(trial: Callable[[str], Trial]) -> None:
    """The same pull on a node without a proxy fails, so the proxy makes the difference."""
    node = trial("containerd-unproxied")
    running = node.start(hold=True)
    running.wait_settled()
    error = cri.pull(running, IMAGE)
    node.finish(running)
    assert "failed to do request" in error or "no such host" in error or "dial tcp" in error
    assert node.requests() == []
