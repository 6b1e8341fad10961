"""A stock image whose user data installs the agent, with real cloud-init, curl, sh and rpm."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest
import yaml

from agent.core.userdata.document import Document
from agent.core.userdata.readers import karpenter
from tests.boot.harness import case as cases
from tests.boot.harness import cri
from tests.boot.harness.bed import Bed, Trial
from tests.boot.harness.boot import Boot
from tests.boot.harness.command import Argument
from tests.boot.harness.namespace import PACKAGES, SECURE
from tests.boot.harness.packages import NAME as HOST
from tests.boot.harness.prepare import BOOT_TESTS
from tests.boot.harness.root import REPOSITORY
from tests.boot.harness.services import IMAGE, Registry, Service
from tests.boot.harness.tls import NAME as SECURE_NAME
from tests.boot.harness.tls import Authority
from tests.clients.harness.libraries import go_program
from tests.packaging import rpms

#: On one worker of pytest-xdist with tests/packaging, which builds the packages once.
pytestmark = pytest.mark.xdist_group("packaging")

AGENT = "eks-proxy-agent"
PROXY = "http://proxy.example.test:3128"
#: The part that EKS and Karpenter add; EKS puts it last, Karpenter first.
NODE_CONFIG = """\
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster:
    name: blue
    apiServerEndpoint: https://0123456789ABCDEF0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com
    certificateAuthority: Zm9v
    cidr: 10.100.0.0/16
"""
WAYS = ("managed-node-group", "karpenter")


@pytest.fixture(scope="module")
def authority(bed: Bed) -> Iterator[Authority]:
    """The CA of an https server that only Squid resolves; it stands for the EC2 API."""
    directory = bed.session.work / "stock-ami"
    directory.mkdir()
    made = Authority(directory / "world", "World CA")
    made.issue(SECURE_NAME)
    pair = f"  tls: {{certificate: {made.directory}/{SECURE_NAME}.pem, key: {made.directory}/{SECURE_NAME}.key}}"
    server = Registry(bed.namespace, directory / "ec2", SECURE, 443, pair)
    yield made
    server.stop()


@pytest.fixture
def repository(bed: Bed, tmp_path: Path) -> Iterator[Path]:
    """A directory with the package, served under a name that only Squid resolves."""
    served = tmp_path / "served"
    served.mkdir()
    shutil.copy(rpms.built(), served / "agent.rpm")
    argv: list[Argument] = [sys.executable, "-m", "http.server", "--bind", PACKAGES, "--directory", served, "80"]
    service = Service(bed.namespace, argv, 80, tmp_path / "output")
    yield served
    service.stop()


@pytest.fixture
def stock(bed: Bed, authority: Authority, tmp_path: Path) -> Iterator[Callable[[bytes], Trial]]:
    """Make a node of the stock image with this user data."""
    nodes: list[Trial] = []

    def make(user_data: bytes) -> Trial:
        directory = shutil.copytree(cases.CASES / "stock-ami", tmp_path / "case", symlinks=True)
        (directory / "user-data").write_bytes(user_data)
        node = bed.trial(replace(cases.load("stock-ami"), directory=directory))
        nodes.append(node)
        shutil.copy(authority.certificate, node.root / "etc/secure-ca.pem")
        shutil.copy(go_program(BOOT_TESTS / "programs/nodeadm/main.go"), node.root / "usr/local/bin/nodeadm")
        rpms.enrol(node.root)
        rpms.copy_rpm(node.root)
        return node

    yield make
    for node in nodes:
        node.close()


def render(way: str, *flags: str) -> bytes:
    """Return the user data of a node: as the command prints it, merged by the rules of the way."""
    command = [
        sys.executable,
        "-m",
        "agent",
        "user-data",
        "render",
        "--for",
        way,
        "--config",
        "/dev/null",
        "--proxy",
        PROXY,
    ]
    command += ["--rpm", f"http://{HOST}/agent.rpm", *flags]
    text = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True).stdout
    added = f"Content-Type: application/node.eks.aws\n\n{NODE_CONFIG}\n".encode()
    if way == "karpenter":
        ours = yaml.safe_load(text)["spec"]["userData"].encode()
        return karpenter.read(Document(ours, ours)).merged.replace(b"--//\n", b"--//\n" + added + b"--//\n", 1)
    return text.replace(b"\n--BOUNDARY--\n", b"\n--BOUNDARY\n" + added + b"--BOUNDARY--\n")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def joins(node: Trial, boot: Boot) -> list[str]:
    """Return what the stand-in for nodeadm printed, once for each unit."""
    return [text for text in boot.messages() if text.startswith("nodeadm ")]


def proxies(boot: Boot, unit: str) -> dict[str, str]:
    """Return the proxy variables of a unit's process."""
    environment = boot.environment(unit) or {}
    return {name: value for name, value in environment.items() if name.lower().endswith("_proxy")}


def variables(node: Trial) -> dict[str, str]:
    """Return the variables in node.env."""
    return dict(line.split("=", 1) for line in (node.root / "etc/eks-proxy-agent/node.env").read_text().splitlines())


@pytest.mark.parametrize("way", WAYS)
def test_user_data_installs_the_agent_on_a_stock_image(
    stock: Callable[[bytes], Trial], repository: Path, way: str
) -> None:
    """The package comes through Squid; nodeadm joins, and containerd has the proxy.

    What ran before is restarted.  A reboot keeps all of it, and does not run the script again.
    """
    node = stock(render(way, "--sha256", digest(repository / "agent.rpm")))
    running = node.start(hold=True)
    running.wait_settled()
    log = (node.root / "var/log/cloud-init-output.log").read_text()
    error = cri.pull(running, IMAGE)
    shown = running.run("eks-proxy-agent", "status")
    boot = node.finish(running)
    assert error == ""
    assert "eks-proxy-agent: done" in log, log
    assert "restarted amazon-ssm-agent.service" in log, log
    fetched = [line for line in node.requests() if f"GET http://{HOST}/agent.rpm 200" in line and '"curl/' in line]
    assert len(fetched) == 1, node.requests()
    assert joins(node, boot) == ["nodeadm joined: i-0a1b2c3d4e5f60718"] * 2
    assert [line for line in node.requests() if "169.254" in line] == []
    assert boot.active_at("nodeadm-config") < boot.active_at(AGENT) < boot.active_at("nodeadm-run")
    for unit in ("containerd", "amazon-ssm-agent"):
        assert proxies(boot, unit) == variables(node), unit
    status = boot.status()
    assert (status["phase"], status["warnings"]) == ("configured", [])
    assert status["stale_units"] == []
    assert PROXY in shown
    assert rpms.Root(node.root).rpm("-V", AGENT) == ""

    again = node.boot()
    assert again.active_at(AGENT) < min(again.active_at("nodeadm-config"), again.active_at("containerd"))
    for unit in ("containerd", "amazon-ssm-agent"):
        assert proxies(again, unit) == variables(node), unit
    assert joins(node, again) == ["nodeadm joined: i-0a1b2c3d4e5f60718"] * 2
    assert (node.root / "var/log/cloud-init-output.log").read_text().count("eks-proxy-agent: done") == 1
    assert [line for line in node.requests() if "agent.rpm" in line] == []


def test_a_node_boots_on_if_the_package_cannot_be_installed(stock: Callable[[bytes], Trial], repository: Path) -> None:
    """Another content than the expected one: the log has a clear line, and nothing is installed.

    cloud-init reports the script, nodeadm runs after it, and containerd starts.
    """
    expected = digest(repository / "agent.rpm")
    (repository / "agent.rpm").write_bytes(b"<html>blocked by policy</html>")
    node = stock(render("managed-node-group", "--sha256", expected))
    node.case = replace(node.case, phase="", failed=("cloud-final",), active=("nodeadm-run", "containerd"))
    boot = node.boot(limit=150)
    log = (node.root / "var/log/cloud-init-output.log").read_text()
    assert f"http://{HOST}/agent.rpm has another sha256 than {expected}" in log
    line = "error: the package is not installed: no download has the expected content; the node boots on"
    assert any(line in text for text in boot.messages()), log
    assert joins(node, boot) == ["nodeadm joined: i-0a1b2c3d4e5f60718"] * 2
    assert not (node.root / "usr/bin/eks-proxy-agent").exists()
    assert not (node.root / "etc/eks-proxy-agent").exists()


@pytest.mark.parametrize("kind", ["architecture", "Python"])
def test_rpm_refuses_a_package_of_another_kind(
    stock: Callable[[bytes], Trial], repository: Path, tmp_path: Path, kind: str
) -> None:
    """rpm's own error is in the log, nothing is installed, and the node boots on."""
    lines = "BuildArch: noarch\nRequires: python(abi) = 3.99\n" if kind == "Python" else ""
    package = empty_package(tmp_path / "rpm", lines, "aarch64" if kind == "architecture" else "noarch")
    shutil.copy(package, repository / "agent.rpm")
    node = stock(render("karpenter", "--rpm-file", str(repository / "agent.rpm")))
    node.case = replace(node.case, phase="", failed=("cloud-final",), active=("nodeadm-run", "containerd"))
    boot = node.boot()
    log = (node.root / "var/log/cloud-init-output.log").read_text()
    reason = "python(abi) = 3.99 is needed" if kind == "Python" else "different architecture"
    assert reason in log, log
    assert "error: rpm refuses eks-proxy-agent-1-1." in log
    assert joins(node, boot) == ["nodeadm joined: i-0a1b2c3d4e5f60718"] * 2
    assert not (node.root / "etc/eks-proxy-agent").exists()


def empty_package(directory: Path, lines: str, target: str) -> Path:
    """Build a package of the agent's name without files."""
    directory.mkdir()
    spec = directory / "agent.spec"
    head = f"Name: {AGENT}\nVersion: 1\nRelease: 1\nSummary: Empty\nLicense: none\n{lines}"
    spec.write_text(f"{head}%description\nEmpty.\n%files\n")
    command = ["rpmbuild", "-bb", "--target", target, "--define", f"_topdir {directory}", str(spec)]
    subprocess.run(command, check=True, capture_output=True)
    return next((directory / "RPMS").rglob("*.rpm"))
