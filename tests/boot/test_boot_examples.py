"""packaging/examples, each form of user data byte for byte as it stands there, with real cloud-init."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable, Dict, List

import pytest

from tests.boot.harness.bed import Trial
from tests.boot.harness.boot import Boot

PROXY = "http://proxy.example.com:3128"
API_SERVER = "0123456789abcdef0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com"


def docker(boot: Boot) -> Dict[str, str]:
    """The environment that dockerd runs with."""
    return boot.environment("docker") or {}


def lines(path: Path) -> List[str]:
    """The lines of a log that a stand-in of the node wrote."""
    return path.read_text().splitlines()


@pytest.mark.parametrize("name", ["settings", "apply"])
def test_user_data_of_a_few_lines_configures_the_node(trial: Callable[[str], Trial], name: str) -> None:
    """The shortest forms end in a node whose docker has the proxy and pulls through it."""
    boot = trial(f"example-{name}").boot()
    assert docker(boot)["HTTPS_PROXY"] == PROXY
    assert not [text for text in boot.messages("cloud-final") if "Failed" in text]


def test_settings_beside_a_nodeconfig_know_its_cluster(trial: Callable[[str], Trial]) -> None:
    """What the NodeConfig says of the API server and the service CIDR is in NO_PROXY, and need not be said twice."""
    bypass = docker(trial("example-settings-nodeconfig").boot())["NO_PROXY"].split(",")
    assert {API_SERVER, "172.20.0.0/16"} <= set(bypass)


@pytest.mark.parametrize("name", ["bootstrap", "cloudformation"])
def test_bootstrap_runs_once_behind_the_proxy_and_is_signalled(trial: Callable[[str], Trial], name: str) -> None:
    """bootstrap.sh gets its arguments and the proxy, the stack gets its exit code, and a reboot repeats neither."""
    node = trial(f"example-{name}")
    log = node.root / "var/log"
    boot = node.boot()
    assert API_SERVER in docker(boot)["NO_PROXY"].split(",")
    arguments, *environment = lines(log / "eks-bootstrap.log")
    assert arguments.split()[1:3] == ["my-cluster", "--apiserver-endpoint"]
    assert f"HTTPS_PROXY={PROXY}" in environment
    (signal,) = map(json.loads, lines(log / "cfn-signal.jsonl"))
    told = "--exit-code 0 --stack my-nodes --resource NodeGroup --region eu-west-1"
    assert signal["argv"][1:] == told.split()
    assert signal["environment"]["HTTPS_PROXY"] == PROXY
    again = node.boot()
    assert docker(again)["HTTPS_PROXY"] == PROXY
    assert len(lines(log / "cfn-signal.jsonl")) == 1
    assert lines(log / "eks-bootstrap.log") == [arguments, *environment]
