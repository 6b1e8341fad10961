"""Fixtures of the cluster tests: one control plane a session, and a loud word when this machine
cannot have one.
"""

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
# What `cluster` writes beside the workloads.
WRITTEN = ("configmap/proxy-environment-variables", "secret/proxy-environment-variables")
LEFT_OUT = pytest.StashKey[str]()


def missing() -> list[str]:
    """Why this machine cannot have a control plane; empty when it can."""
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
    """The directory with Kubernetes' programs; compiling them for the first time takes minutes and
    says so.
    """
    reasons = missing()
    if reasons:
        said = f"no control plane can run here: {'; '.join(reasons)}"
        if os.environ.get("CI") == "true":
            pytest.fail(said, pytrace=False)
        request.config.stash[LEFT_OUT] = said
        pytest.skip(said)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        done = subprocess.run([HERE / "kubernetes.sh"], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        pytest.fail("tests/cluster/kubernetes.sh failed, see above", pytrace=False)
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def control_plane(kubernetes: Path) -> Iterator[ControlPlane]:
    """A running cluster without nodes; all tests of a session share it."""
    made = ControlPlane(own_directory(), kubernetes)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def nodes(control_plane: ControlPlane) -> Iterator[Nodes]:
    """Two nodes whose pods become ready at once."""
    made = Nodes(control_plane)
    made.add(*NODES)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A new namespace in which pods are admitted; it is on its way out after the test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    control_plane.create_namespace(name)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def add_ons(control_plane: ControlPlane, nodes: Nodes) -> Iterator[ControlPlane]:
    """aws-node and kube-proxy, freshly made and rolled out in kube-system, and nothing there that
    `cluster` writes.
    """
    _remove_add_ons(control_plane)
    for name in ADD_ONS:
        control_plane.kubectl("apply", "-f", str(MANIFESTS / f"{name}.yaml"))
    for name in ADD_ONS:
        control_plane.rolled_out("kube-system", f"daemonset/{name}")
    yield control_plane
    _remove_add_ons(control_plane)


def _remove_add_ons(control_plane: ControlPlane) -> None:
    what = [f"daemonset/{name}" for name in ADD_ONS] + list(WRITTEN)
    control_plane.kubectl("delete", "--namespace=kube-system", "--ignore-not-found", *what)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say at the end, where people look, that no cluster was tested."""
    if LEFT_OUT in config.stash:
        terminalreporter.section("cluster tests left out", sep="!", red=True)
        terminalreporter.line(f"{config.stash[LEFT_OUT]}. With CI=true this is a failure.")
