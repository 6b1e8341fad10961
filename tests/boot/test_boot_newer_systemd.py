"""The units among those of EKS nodes, verified by a newer systemd than that of Amazon Linux."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.boot.harness import root
from tests.boot.harness.command import run
from tests.packaging.test_units_verify import NODES, SYSTEM, TARGETS, UNITS, add_line, make_node

# The node's tree is mounted at /mnt of that root, in a mount namespace that ends with the command.
INSIDE = 'mount --bind "$1" "$2/mnt"; newer=$2; shift 2; exec chroot "$newer" "$@"'


def verify(node: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze 257 on a tree of units."""
    analyze = ["systemd-analyze", "--root=/mnt", "--man=no", *arguments]
    return run(["unshare", "--mount", "sh", "-euc", INSIDE, "sh", node, root.newer_systemd(), *analyze], check=False)


@pytest.mark.parametrize("kind", list(NODES))
@pytest.mark.usefixtures("bed")
def test_newer_systemd_accepts_order_and_keys(tmp_path: Path, kind: str) -> None:
    """systemd 257 finds no cycle in the whole node and reports nothing for the agent's units.

    It would find a cycle.
    """
    node = make_node(tmp_path / "node", NODES[kind])
    for target in TARGETS:
        shutil.copy(root.newer_systemd() / SYSTEM / f"{target}.target", node / SYSTEM)
    assert "ordering cycle" not in verify(node, "verify", "multi-user.target").stderr
    ours = verify(node, "--recursive-errors=no", "verify", *UNITS)
    assert (ours.returncode, ours.stderr) == (0, "")
    add_line(node, "eks-proxy-agent.service", "After=network-online.target")
    assert "ordering cycle" in verify(node, "verify", "multi-user.target").stderr
