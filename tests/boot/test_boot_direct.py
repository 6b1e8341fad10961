"""What is reached without the proxy, found out at boot."""

from __future__ import annotations

import json
from typing import Callable

from tests.boot.harness.bed import Trial
from tests.boot.harness.services import Listener

EC2, S3, LOGS = (f"{service}.eu-west-1.amazonaws.com" for service in ("ec2", "s3", "logs"))


def entries(status: str) -> dict[str, str]:
    """NO_PROXY as status.json has it: entry and reason."""
    return {one["entry"]: one["reason"] for one in json.loads(status)["no_proxy"]}


def test_what_answers_is_direct_and_the_second_boot_asks_nothing_before_docker(trial: Callable[[str], Trial]) -> None:
    """The first boot asks once, before READY; the second asks what was not reached, and not before
    READY.

    What accepted is never asked again; what refused at first and accepts now becomes direct after
    READY.
    """
    node = trial("direct-auto")
    ec2 = Listener(node.bed.namespace, node.node.directory / "ec2", "192.0.2.41", 443)
    node.bed.namespace.add("192.0.2.42")
    logs = Listener(node.bed.namespace, node.node.directory / "logs", "192.0.2.43", 443, silent=True)
    try:
        first = node.boot()
        (asked,) = ec2.accepted()
        assert asked < first.active_at("eks-proxy-agent")
        s3 = Listener(node.bed.namespace, node.node.directory / "s3", "192.0.2.42", 443)
        ec2.stop()
        running = node.start(hold=True)
        running.wait_settled()
        running.wait_until("S3 to be found direct", "grep", S3, "/etc/eks-proxy-agent/node.env")
        status = running.run("cat", "/run/eks-proxy-agent/status.json")
        second = running.finish()
        assert min(s3.accepted()) > second.active_at("eks-proxy-agent")
        assert {name: reason for name, reason in entries(status).items() if reason.startswith("direct:")} == {
            EC2: "direct:ec2",
            S3: "direct:s3",
        }
    finally:
        for listener in (ec2, logs):
            listener.stop()
