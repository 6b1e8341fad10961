"""Nodes of Amazon Linux 2023: nodeadm starts before cloud-init; NodeConfig names the cluster."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.boot.harness import case as cases
from tests.boot.harness import page
from tests.boot.harness.bed import Bed, Trial
from tests.boot.harness.namespace import SECURE
from tests.boot.harness.prepare import BOOT_TESTS
from tests.boot.harness.services import Registry
from tests.boot.harness.tls import NAME, Authority
from tests.boot.test_boot_bootstrap import SIGNAL, signals
from tests.clients.harness.libraries import go_program

NODEADM = BOOT_TESTS / "programs/nodeadm/main.go"
CONTROL = "etc/systemd/system/nodeadm-config.service.d/zzz-control.conf"
HIDES = "NO_PROXY in spec.instance.environment.default lacks 169.254.169.254"
BOOTSTRAP = "eks-proxy-agent-bootstrap"
REMEDY = "delete HTTPS_PROXY, NO_PROXY there: the agent sets these variables"


@pytest.fixture(scope="module")
def authority(bed: Bed) -> Iterator[Authority]:
    """The CA of an https server that only Squid resolves; it stands for the EC2 API."""
    directory = bed.session.work / "nodeadm"
    directory.mkdir()
    made = Authority(directory / "world", "World CA")
    made.issue(NAME)
    pair = f"  tls: {{certificate: {made.directory}/{NAME}.pem, key: {made.directory}/{NAME}.key}}"
    server = Registry(bed.namespace, directory / "ec2", SECURE, 443, pair)
    yield made
    server.stop()


@pytest.fixture
def node_of(bed: Bed, authority: Authority) -> Iterator[Callable[..., Trial]]:
    """Make a node of a case, with the CA and the stand-in for nodeadm."""
    made: list[Trial] = []

    def make(name: str, **differently: Any) -> Trial:
        node = bed.trial(replace(cases.load(name), **differently))
        made.append(node)
        shutil.copy(authority.certificate, node.root / "etc/secure-ca.pem")
        shutil.copy(go_program(NODEADM), node.root / "usr/local/bin/nodeadm")
        return node

    yield make
    for node in made:
        node.close()


def requests_of(node: Trial) -> dict[str, str]:
    """Return the last request of each user agent in Squid's log of this boot."""
    return {line.rpartition(' "')[2].rstrip('"'): line for line in node.requests()}


def results(node: Trial) -> list[str]:
    """Return what the stand-in printed in this boot, once for each unit."""
    journal = Path(node.node.directory).glob("probe-*/journal.jsonl")
    lines = [line for path in journal for line in path.read_text().splitlines()]
    texts = [str(json.loads(line).get("MESSAGE")) for line in lines]
    return [text for text in texts if text.startswith("nodeadm ")]


def test_nodeadm_calls_through_squid_on_the_first_boot(node_of: Callable[..., Trial]) -> None:
    """nodeadm's call, before cloud-init, uses the proxy of a MIME part.

    NodeConfigs are merged, and a proxy in them is reported.
    """
    node = node_of("nodeadm-parts")
    boot = node.boot()
    asked = requests_of(node)
    assert {name for name in asked if " 200 " in asked[name]} >= {"nodeadm-config", "nodeadm-run", "sandbox-image"}
    assert boot.active_at("nodeadm-config") < boot.active_at("cloud-init")
    (warning,) = boot.status()["warnings"]
    assert warning.startswith('NodeConfig sets "HTTP_PROXY" for "containerd" in spec.instance.environment')
    assert any(warning in text.replace("\\", "") for text in boot.messages("eks-proxy-agent"))


def test_invalid_node_config_keeps_the_last_good_values(node_of: Callable[..., Trial]) -> None:
    """Invalid YAML is reported with its line.

    docker, containerd and nodeadm keep the values of the boot before.
    """
    node = node_of("nodeadm-broken")
    node.boot()
    boot = node.boot(phase="degraded")
    assert requests_of(node)["nodeadm-config"].startswith("CONNECT secure.example.test:443 200")
    assert "NodeConfig (user data): line 7, column 1: invalid YAML" in boot.status()["error"]
    assert any("node.degraded" in text and "line 7, column 1" in text for text in boot.messages("eks-proxy-agent"))


@pytest.mark.parametrize("has_agent", [True, False], ids=["with the agent", "without"])
def test_node_config_that_works_without_the_agent_works_with_it(node_of: Callable[..., Trial], has_agent: bool) -> None:
    """nodeadm reaches the metadata service directly, and the EC2 API through Squid.

    The NO_PROXY of its NodeConfig lacks the metadata service; plain http has no proxy.
    """
    without = {"agent": False, "phase": "", "active": ("nodeadm-config", "nodeadm-run")}
    node = node_of("nodeadm-default", **({} if has_agent else without))
    boot = node.boot()
    assert results(node) == ["nodeadm joined: i-0a1b2c3d4e5f60718"] * 2
    assert [line for line in node.requests() if "169.254" in line] == []
    assert any(line.startswith("CONNECT secure.example.test:443 200") for line in node.requests())
    if has_agent:
        (problem,) = [text for text in boot.status()["warnings"] if HIDES in text]
        assert problem.endswith(REMEDY)
        assert any(HIDES in text for text in boot.messages("eks-proxy-agent"))


def test_nodeadm_with_http_proxy_would_not_join(node_of: Callable[..., Trial]) -> None:
    """A drop-in that resets UnsetEnvironment= lets nodeadm fail; `check` names it and the lines."""
    node = node_of("nodeadm-default")
    path = node.root / CONTROL
    path.parent.mkdir(parents=True)
    path.write_text("[Service]\nUnsetEnvironment=\n")
    running = node.start(hold=True)
    running.wait_settled()
    findings = json.loads(running.run("eks-proxy-agent", "check", "--json", check=False))["findings"]
    difference = page.difference(running, "metadata-through-the-proxy")
    boot = running.finish()
    assert difference == ""
    assert boot.unit("nodeadm-config")["ActiveState"] == "failed"
    assert results(node)[0].startswith("nodeadm failed: ")
    assert any("http://169.254.169.254/latest/api/token" in line for line in node.requests())
    failures = {(finding["name"], finding["text"]) for finding in findings if finding["state"] == "fail"}
    assert failures >= {("NodeConfig", f"NodeConfig (/etc/eks/nodeadm.d/10-corp.yaml): {HIDES}")}
    (text,) = [text for name, text in failures if name == "nodeadm-config.service"]
    assert f"/{CONTROL} resets UnsetEnvironment=" in text


def signalled(code: int) -> list[str]:
    """Return the command line of cfn-signal with an exit code."""
    return [part.format(code) for part in SIGNAL] + ["--region", "eu-west-1"]


@pytest.mark.parametrize("name", ["nodeadm-signal", "nodeadm-signal-newer"])
def test_cloudformation_is_signalled_when_kubelet_is_healthy(node_of: Callable[..., Trial], name: str) -> None:
    """The bootstrap unit waits for it, once per instance, and nothing waits for that unit.

    With a newer cloud-init, kubelet starts only after multi-user.target.
    """
    node = node_of(name)
    boot = node.boot()
    (signal,) = signals(node)
    assert signal["argv"] == signalled(0)
    assert signal["environment"]["HTTPS_PROXY"] == "http://proxy.example.test:3128"
    target = int(boot.units["multi-user.target"]["ActiveEnterTimestampMonotonic"])
    assert 0 < target < boot.active_at(BOOTSTRAP)
    assert boot.active_at("nodeadm-run") < boot.active_at(BOOTSTRAP)
    log = boot.messages(BOOTSTRAP)
    waits = [text for text in log if text.startswith("signal.waiting")]
    # On a busy machine kubelet may have started before the first look.
    assert "kubelet does not answer at http://127.0.0.1:10248/healthz: " in waits[0] or "answered 500" in waits[0]
    assert any("answered 500" in text for text in waits)
    assert any(text.startswith("signal.sent stack=blue-nodes resource=NodeGroup exit_code=0") for text in log)
    second = node.boot()
    assert len(signals(node)) == 1
    assert second.unit(BOOTSTRAP)["ExecMainStatus"] == "0"


def test_a_node_that_does_not_join_is_signalled_as_a_failure(node_of: Callable[..., Trial]) -> None:
    """After signal.timeout, once; the unit has failed, and `status` and the journal say why."""
    node = node_of("nodeadm-signal", failed=(BOOTSTRAP,), active=("eks-proxy-agent", "kubelet"))
    (node.root / "etc/kubelet-is-broken").touch()
    (node.root / "etc/eks-proxy-agent/config.d/90-short.toml").write_text("[signal]\ntimeout = 5\n")
    running = node.start(hold=True)
    running.wait_settled()
    screen = running.run("eks-proxy-agent", "status")
    boot = node.finish(running)
    assert [signal["argv"] for signal in signals(node)] == [signalled(124)]
    assert "signal     kubelet was not healthy in time" in screen
    assert boot.unit(BOOTSTRAP)["ExecMainStatus"] == "124"
    (text,) = [text for text in boot.messages(BOOTSTRAP) if text.startswith("signal.timed_out")]
    assert "[-]syncloop failed" in text
    node.boot()
    assert len(signals(node)) == 1
