"""bootstrap.sh and cfn-signal at boot."""

from __future__ import annotations

import json
from typing import Any, Callable

from tests.boot.harness.bed import Trial

SIGNAL = ["/opt/aws/bin/cfn-signal", "--exit-code", "{}", "--stack", "blue-nodes", "--resource", "NodeGroup"]


def signals(node: Trial) -> list[dict[str, Any]]:
    """Return every call of cfn-signal so far: argv and environment."""
    log = node.root / "var/log/cfn-signal.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_bootstrap_may_wait_for_kubelet_and_runs_once(trial: Callable[[str], Trial]) -> None:
    """bootstrap.sh may wait for docker and kubelet without a deadlock.

    Its environment has only the proxy, and a reboot does not run it again.
    """
    node = trial("bootstrap-ok")
    first = node.boot()
    assert first.unit("eks-proxy-agent-bootstrap")["ExecMainStatus"] == "0"
    log = node.root / "var/log/eks-bootstrap.log"
    arguments, *lines = log.read_text().strip().splitlines()
    assert arguments == "arguments: blue --container-runtime dockerd --service-ipv4-cidr 10.96.0.0/12"
    names = {line.partition("=")[0] for line in lines}
    proxies = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"}
    assert proxies <= names <= proxies | {"HOME", "LANG", "PATH", "PWD", "SHLVL", "_"}
    (signal,) = signals(node)
    assert signal["argv"] == [part.format(0) for part in SIGNAL] + ["--region", "eu-west-1"]
    assert signal["environment"]["HTTPS_PROXY"] == "http://svc-eks:Tr0ub4dor%263@proxy.example.test:3128"
    text = log.read_text()
    second = node.boot()
    assert second.unit("eks-proxy-agent-bootstrap")["ExecMainStatus"] == "0"
    assert log.read_text() == text
    assert len(signals(node)) == 1


def test_exit_code_of_bootstrap_is_signalled(trial: Callable[[str], Trial]) -> None:
    """If bootstrap.sh exits with 7, the bootstrap unit does too, and cfn-signal gets 7.

    A reboot repeats neither.
    """
    node = trial("bootstrap-fails")
    first = node.boot()
    assert first.unit("eks-proxy-agent-bootstrap")["ExecMainStatus"] == "7"
    assert "cannot reach the cluster" in first.messages("eks-proxy-agent-bootstrap")
    assert [signal["argv"] for signal in signals(node)] == [[p.format(7) for p in SIGNAL] + ["--region", "eu-west-1"]]
    second = node.boot()
    assert second.unit("eks-proxy-agent-bootstrap")["ExecMainStatus"] == "7"
    assert (node.root / "var/log/eks-bootstrap.log").read_text() == "called\n"
    assert len(signals(node)) == 1
