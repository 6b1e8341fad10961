"""Probes of direct endpoints at boot."""

from __future__ import annotations

import json
from typing import Callable

from tests.boot.harness.bed import Trial
from tests.boot.harness.services import Listener

EC2, S3, LOGS = (f"{service}.eu-west-1.amazonaws.com" for service in ("ec2", "s3", "logs"))


def entries(status: str) -> dict[str, str]:
    """Return NO_PROXY of status.json: entry and reason."""
    return {entry["entry"]: entry["reason"] for entry in json.loads(status)["no_proxy"]}


def test_endpoints_are_probed_once_before_ready(trial: Callable[[str], Trial]) -> None:
    """The first boot probes before READY=1, the second only after it, and only what was negative.

    An endpoint that accepted is never probed again; one that refused at first, and accepts now,
    becomes direct after READY=1.
    """
    node = trial("direct-auto")
    ec2 = Listener(node.bed.namespace, node.node.directory / "ec2", "192.0.2.41", 443)
    node.bed.namespace.add("192.0.2.42")
    logs = Listener(node.bed.namespace, node.node.directory / "logs", "192.0.2.43", 443, silent=True)
    try:
        first = node.boot()
        (probed,) = ec2.accepted()
        assert probed < first.active_at("eks-proxy-agent")
        s3 = Listener(node.bed.namespace, node.node.directory / "s3", "192.0.2.42", 443)
        ec2.stop()
        running = node.start(hold=True)
        running.wait_settled()
        running.wait_until("S3 to become direct", "grep", S3, "/etc/eks-proxy-agent/node.env")
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
