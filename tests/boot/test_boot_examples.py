"""The user data of packaging/examples, byte for byte, with real cloud-init.

Also an image that was set up by the shell recipe.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from tests.boot.harness import tree
from tests.boot.harness.bed import Trial
from tests.boot.harness.boot import Boot
from tests.boot.harness.command import run
from tests.boot.harness.prepare import BOOT_TESTS, UNITS

PROXY = "http://proxy.example.com:3128"
API_SERVER = "0123456789abcdef0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com"
RECIPE = "eks-proxy-recipe.service"


def docker(boot: Boot) -> dict[str, str]:
    """Return the environment of dockerd."""
    return boot.environment("docker") or {}


def lines(path: Path) -> list[str]:
    """Return the lines of a log of a stand-in."""
    return path.read_text().splitlines()


@pytest.mark.parametrize("name", ["settings", "apply"])
def test_user_data_of_a_few_lines_configures_the_node(trial: Callable[[str], Trial], name: str) -> None:
    """With the shortest forms, docker has the proxy and pulls through it."""
    boot = trial(f"example-{name}").boot()
    assert docker(boot)["HTTPS_PROXY"] == PROXY
    assert not [text for text in boot.messages("cloud-final") if "Failed" in text]


def test_settings_beside_a_nodeconfig_use_its_cluster(trial: Callable[[str], Trial]) -> None:
    """API server and service CIDR of the NodeConfig are in NO_PROXY without being set again."""
    bypass = docker(trial("example-settings-nodeconfig").boot())["NO_PROXY"].split(",")
    assert {API_SERVER, "172.20.0.0/16"} <= set(bypass)


@pytest.mark.parametrize("name", ["bootstrap", "cloudformation"])
def test_bootstrap_runs_once_behind_the_proxy_and_is_signalled(trial: Callable[[str], Trial], name: str) -> None:
    """bootstrap.sh gets its arguments and the proxy, and the stack gets its exit code.

    A reboot repeats neither.
    """
    node = trial(f"example-{name}")
    log = node.root / "var/log"
    boot = node.boot()
    assert API_SERVER in docker(boot)["NO_PROXY"].split(",")
    arguments, *environment = lines(log / "eks-bootstrap.log")
    assert arguments.split()[1:3] == ["my-cluster", "--apiserver-endpoint"]
    assert f"HTTPS_PROXY={PROXY}" in environment
    (signal,) = map(json.loads, lines(log / "cfn-signal.jsonl"))
    expected = "--exit-code 0 --stack my-nodes --resource NodeGroup --region eu-west-1"
    assert signal["argv"][1:] == expected.split()
    assert signal["environment"]["HTTPS_PROXY"] == PROXY
    again = node.boot()
    assert docker(again)["HTTPS_PROXY"] == PROXY
    assert len(lines(log / "cfn-signal.jsonl")) == 1
    assert lines(log / "eks-bootstrap.log") == [arguments, *environment]


def test_leftovers_of_the_shell_recipe_are_removed(trial: Callable[[str], Trial]) -> None:
    """After the recipe ran twice, the first boot of the agent leaves one proxy line per file.

    It leaves one drop-in, and logs what it removed.
    """
    node = trial("recipe-traces")
    tree.install(BOOT_TESTS / "recipe/tree", node.root)
    systemctl = ["systemctl", f"--root={node.root}"]
    run([*systemctl, "disable", *UNITS])
    run([*systemctl, "enable", RECIPE])
    for _ in range(2):
        node.boot(phase="")
    environment = node.root / "etc/environment"
    assert environment.read_text().count("\nHTTP_PROXY=") == 2

    run([*systemctl, "disable", RECIPE])
    run([*systemctl, "enable", *UNITS])
    gone = tuple(f"etc/systemd/system/{unit}.service.d/proxy.conf" for unit in ("docker", "kubelet"))
    node.case = replace(node.case, phase="configured", absent=gone, proxied=("docker", "containerd"))
    running = node.start(hold=True)
    running.wait_settled()
    drop_ins = running.show("docker", "DropInPaths").split()
    said = "\n".join(node.finish(running).messages("eks-proxy-agent"))
    assert drop_ins == ["/etc/systemd/system/docker.service.d/zz-eks-proxy.conf"]
    assert "/etc/environment: 12 lines of an earlier proxy setup are replaced" in said
    assert "yum.conf: 2 earlier proxy lines in [main] are replaced" in said
    assert "2 lines with the same proxy in [main:exclude] are removed" in said
    assert "[mirror] keeps its own proxy" in said
    assert [path for path in gone if f"file.removed file=/{path}" not in said] == []
