"""One complete boot: a node behind the proxy joins a cluster, and its pods use the proxy too."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boot.conftest import missing
from tests.boot.harness import case as cases
from tests.boot.harness.bed import Bed, Trial
from tests.boot.harness.command import run
from tests.boot.harness.node import Running
from tests.boot.harness.waiting import wait_for
from tests.cluster.harness import image
from tests.cluster.harness.control_plane import SYSTEM_NODE, ControlPlane

HERE = Path(__file__).resolve().parent
NODE = SYSTEM_NODE.rpartition(":")[2]
NODE_ADDRESS = "10.0.1.23"
# Names and addresses of tests/boot/image/etc/hosts.
ENDPOINT = "0123456789abcdef0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com"
ENDPOINT_ADDRESS = "10.0.7.1"
CONTAINERS = {"aws-vpc-cni-init", "aws-node", "aws-eks-nodeagent", "kube-proxy"}
# Kernel parameters that kubelet sets (pkg/kubelet/cm, setupKernelTunables).
KERNEL = [
    Path("/proc/sys", name)
    for name in ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
]


@pytest.fixture
def bed() -> Iterator[Bed]:
    """Run a network with Squid, a registry, and a default route, which kubelet requires."""
    reasons = missing()
    if reasons:
        text = f"no node can boot here: {'; '.join(reasons)}"
        pytest.fail(text, pytrace=False) if os.environ.get("CI") == "true" else pytest.skip(text)
    bed = Bed()
    try:
        for address in (ENDPOINT_ADDRESS, NODE_ADDRESS):
            bed.namespace.add(address)
        run(["ip", "-n", bed.namespace.name, "route", "add", "default", "dev", "lo"])
        image.push(bed)
        yield bed
    finally:
        bed.close()


@pytest.fixture
def in_the_vpc(bed: Bed, kubernetes: Path) -> Iterator[ControlPlane]:
    """Run a control plane in that network; the node reaches it by the name of its endpoint."""
    directory = bed.session.work / "control-plane"
    directory.mkdir()
    enter = bed.namespace.inside([])
    cluster = ControlPlane(directory, kubernetes, address=ENDPOINT_ADDRESS, port=443, names=[ENDPOINT], inside=enter)
    try:
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def node(bed: Bed, in_the_vpc: ControlPlane, kubernetes: Path) -> Iterator[Trial]:
    """Prepare a node that has not booted yet.

    It has kubelet and kubectl, the CA in its settings, and a token for kubelet.
    """
    trial = bed.trial(cases.load("kubernetes-node", HERE / "cases"))
    try:
        for program in ("kubelet", "kubectl"):
            shutil.copy(kubernetes / program, trial.root / "usr/bin")
        settings = trial.root / "etc/eks-proxy-agent/config.toml"
        authority = (in_the_vpc.directory / "ca.crt").read_bytes()
        settings.write_text(settings.read_text().replace("@CA@", base64.b64encode(authority).decode()))
        (trial.root / "etc/kubelet.token").write_text(in_the_vpc.tokens[SYSTEM_NODE])
        admin = in_the_vpc.kubeconfig_for("admin", server=f"https://{ENDPOINT}", embedded=True)
        shutil.copy(admin, trial.root / "root/kubeconfig")
        yield trial
    finally:
        trial.close()


def containers(running: Running, in_the_cluster: ControlPlane) -> dict[str, dict[str, str]]:
    """Return the environment of every container of the cluster's pods.

    It is that of the process, or docker's configuration of a container that has exited.
    """
    pods = {pod["metadata"]["uid"] for pod in in_the_cluster.get("pods", "--all-namespaces")["items"]}
    script = "docker ps --all --quiet --filter label=io.kubernetes.docker.type=container | xargs docker inspect"
    inspected: list[dict[str, Any]] = json.loads(running.run("sh", "-c", script))
    environments = {}
    for container in inspected:
        labels = container["Config"]["Labels"]
        if labels["io.kubernetes.pod.uid"] in pods:
            entries = container["Config"]["Env"]
            if container["State"]["Running"]:
                entries = running.run("cat", f"/proc/{container['State']['Pid']}/environ").strip("\0").split("\0")
            environments[labels["io.kubernetes.container.name"]] = dict(entry.split("=", 1) for entry in entries)
    return environments


def proxies(environment: dict[str, str]) -> dict[str, str]:
    """Return the proxy variables of an environment."""
    return {key: value for key, value in environment.items() if key.lower().endswith("_proxy")}


def variables(path: Path) -> dict[str, str]:
    """Return the variables of an EnvironmentFile of systemd."""
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def ready(cluster: ControlPlane) -> bool:
    """Return True if the node has joined the cluster and is Ready."""
    done = cluster.try_kubectl("wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=1s")
    return done.returncode == 0


def test_node_and_pods_have_the_same_proxy(in_the_vpc: ControlPlane, node: Trial) -> None:
    """After bootstrap.sh and `cluster apply`, each container has the variables of node.env.

    docker pulls the images through the proxy.
    """
    kernel = [path.read_text() for path in KERNEL]
    running = node.start(hold=True, limit=600)
    running.wait_settled()
    wait_for("the node to be ready", lambda: ready(in_the_vpc), limit=120)
    in_the_vpc.kubectl("apply", "-f", HERE / "manifests/on-a-node.yaml")
    roll_out(in_the_vpc)
    before = containers(running, in_the_vpc)
    assert {name: proxies(environment) for name, environment in before.items()} == {name: {} for name in CONTAINERS}

    running.run("eks-proxy-agent", "cluster", "apply", "--kubeconfig", "/root/kubeconfig", timeout=300)
    roll_out(in_the_vpc)
    node_variables = variables(node.root / "etc/eks-proxy-agent/node.env")
    after = containers(running, in_the_vpc)
    actual = {name: proxies(environment) for name, environment in after.items()}
    assert actual == dict.fromkeys(CONTAINERS, node_variables)
    described = in_the_vpc.kubectl("describe", "pods", "--all-namespaces")
    assert described.count("proxy-environment-variables  ConfigMap  Optional: false") == len(CONTAINERS)
    running.run("eks-proxy-agent", "cluster", "verify", "--kubeconfig", "/root/kubeconfig")

    boot = node.finish(running)
    assert proxies(boot.environment("kubelet") or {}) == node_variables
    requests = node.requests()
    assert any("/v2/wait/manifests/v1 200" in line for line in requests)
    assert [line for line in requests if ENDPOINT in line or ENDPOINT_ADDRESS in line] == []
    assert [path.read_text() for path in KERNEL] == kernel


def roll_out(cluster: ControlPlane) -> None:
    """Wait until only the current pods of both DaemonSets run on the node."""
    for name in ("aws-node", "kube-proxy"):
        cluster.wait_for_rollout("kube-system", f"daemonset/{name}")
    wait_for("the end of the older pods", lambda: len(cluster.get("pods", "-A")["items"]) == 2, limit=120, interval=0.2)
