"""Fixtures of the cluster tests: one control plane a session, and a warning without one."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.harness.control_plane import ControlPlane
from tests.cluster.harness.directory import own_directory
from tests.cluster.harness.nodes import Nodes

HERE = Path(__file__).resolve().parent
MANIFESTS = HERE / "manifests"
ADD_ONS = ("aws-node", "kube-proxy")
NODES = ("ip-10-0-1-10.eu-west-1.compute.internal", "ip-10-0-1-11.eu-west-1.compute.internal")
# The objects that `cluster` writes beside the workloads.
WRITTEN = ("configmap/proxy-environment-variables", "secret/proxy-environment-variables")
SKIPPED = pytest.StashKey[str]()


def missing() -> list[str]:
    """Return the reasons why this machine cannot run a control plane, if any."""
    if not Path("/etc/debian_version").exists():
        return ["not a Debian system"]
    reasons = []
    needed = ["etcd", "etcdctl", "openssl", "setpriv"]
    if subprocess.run([HERE / "kubernetes.sh", "status"], check=False, stdout=subprocess.DEVNULL).returncode:
        needed += ["go", "rsync", "jq", "make", "gcc", "dpkg-source"]  # it has to be compiled
        if 'VERSION_ID="12"' not in Path("/etc/os-release").read_text():
            reasons.append("not Debian 12, whose source package of Kubernetes is 1.20")
    absent = [name for name in needed if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if absent:
        reasons.append(
            f"not installed: {' '.join(absent)} (packages: tests/cluster/packages.txt, or make cluster-test)"
        )
    return reasons


@pytest.fixture(scope="session")
def kubernetes(request: pytest.FixtureRequest) -> Path:
    """Return the directory of Kubernetes' programs.

    The first time they are compiled, which takes minutes and is reported.
    """
    reasons = missing()
    if reasons:
        text = f"no control plane can run here: {'; '.join(reasons)}"
        if os.environ.get("CI") == "true":
            pytest.fail(text, pytrace=False)
        request.config.stash[SKIPPED] = text
        pytest.skip(text)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        done = subprocess.run([HERE / "kubernetes.sh"], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        pytest.fail("tests/cluster/kubernetes.sh failed, see above", pytrace=False)
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def control_plane(kubernetes: Path) -> Iterator[ControlPlane]:
    """Run a cluster without nodes, which all tests of a session share."""
    control_plane = ControlPlane(own_directory(), kubernetes)
    try:
        yield control_plane
    finally:
        control_plane.close()


@pytest.fixture(scope="session")
def nodes(control_plane: ControlPlane) -> Iterator[Nodes]:
    """Run two simulated nodes whose pods become ready immediately."""
    nodes = Nodes(control_plane)
    nodes.add(*NODES)
    try:
        yield nodes
    finally:
        nodes.close()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """Create a namespace that admits pods; its deletion begins after the test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    control_plane.create_namespace(name)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def add_ons(control_plane: ControlPlane, nodes: Nodes) -> Iterator[ControlPlane]:
    """Create aws-node and kube-proxy in kube-system, without anything that `cluster` writes."""
    _remove_add_ons(control_plane)
    for name in ADD_ONS:
        control_plane.kubectl("apply", "-f", str(MANIFESTS / f"{name}.yaml"))
    for name in ADD_ONS:
        control_plane.wait_for_rollout("kube-system", f"daemonset/{name}")
    yield control_plane
    _remove_add_ons(control_plane)


def _remove_add_ons(control_plane: ControlPlane) -> None:
    resources = [f"daemonset/{name}" for name in ADD_ONS] + list(WRITTEN)
    control_plane.kubectl("delete", "--namespace=kube-system", "--ignore-not-found", *resources)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Report at the end, where it is noticed, that no cluster was tested."""
    if SKIPPED in config.stash:
        terminalreporter.section("cluster tests skipped", sep="!", red=True)
        terminalreporter.line(f"{config.stash[SKIPPED]}. With CI=true this is a failure.")
