"""Newer systemd and cloud-init than those of Amazon Linux 2023: units verified, and booted."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Callable

import pytest

from tests.boot.harness import root
from tests.boot.harness.bed import Trial
from tests.boot.harness.command import run
from tests.packaging.test_units_verify import NODES, SYSTEM, TARGETS, UNITS, add_line, make_node

# The node's tree is mounted at /mnt of that root, in a mount namespace that ends with the command.
INSIDE = 'mount --bind "$1" "$2/mnt"; newer=$2; shift 2; exec chroot "$newer" "$@"'


def verify(node: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze 257 on a tree of units."""
    analyze = ["systemd-analyze", "--root=/mnt", "--man=no", *arguments]
    return run(["unshare", "--mount", "sh", "-euc", INSIDE, "sh", node, root.base(root.TRIXIE), *analyze], check=False)


@pytest.mark.parametrize("kind", list(NODES))
@pytest.mark.usefixtures("bed")
def test_newer_systemd_accepts_order_and_keys(tmp_path: Path, kind: str) -> None:
    """systemd 257 finds no cycle in the whole node and reports nothing for the agent's units.

    It would find a cycle.
    """
    node = make_node(tmp_path / "node", NODES[kind])
    for target in TARGETS:
        shutil.copy(root.base(root.TRIXIE) / SYSTEM / f"{target}.target", node / SYSTEM)
    assert "ordering cycle" not in verify(node, "verify", "multi-user.target").stderr
    ours = verify(node, "--recursive-errors=no", "verify", *UNITS)
    assert (ours.returncode, ours.stderr) == (0, "")
    add_line(node, "eks-proxy-agent.service", "After=network-online.target")
    assert "ordering cycle" in verify(node, "verify", "multi-user.target").stderr


def test_cloud_init_of_one_process_does_not_wait_for_the_agent(trial: Callable[[str], Trial]) -> None:
    """The network comes up; a boothook has the proxy from the second boot on.

    On the first boot it has the proxy once it reads /etc/environment.
    """
    node = trial("boothook-newer")
    codes = node.root / "var/log/boothook.codes"
    first = node.boot()
    assert first.began_at("cloud-init-main") < first.active_at("eks-proxy-agent")
    assert first.active_at("eks-proxy-agent") < first.active_at("cloud-init-network")
    assert codes.read_text() == "as-it-is 000\nwith-the-file 200\n"
    codes.unlink()
    running = node.start(hold=True)
    running.wait_settled()
    findings = json.loads(running.run("eks-proxy-agent", "check", "--json", "--only", "units", check=False))["findings"]
    assert running.show("network-online.target", "ActiveState") == "active"
    node.finish(running)
    assert codes.read_text() == "as-it-is 200\nwith-the-file 200\n"
    (text,) = [finding["text"] for finding in findings if finding["name"] == "cloud-init-main.service"]
    assert "boothooks of the first boot have no proxy" in text
    assert [finding for finding in findings if finding["state"] in ("fail", "warn")] == []
