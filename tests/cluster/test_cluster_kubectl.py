"""The kubectl that an administrator has: that of the cluster's version, and others that this machine has on its PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from tests.cluster.harness.control_plane import ControlPlane

ROOT = Path(__file__).resolve().parents[2]
ENDPOINT = "https://0123456789abcdef0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com"
OTHER = shutil.which("kubectl", path=os.environ["PATH"])
FLAGS = [
    "--proxy",
    "http://proxy.example.com:3128",
    "--set",
    f"cluster.endpoint={ENDPOINT}",
    "--set",
    'vpc.cidrs=["10.0.0.0/16"]',
]


@pytest.mark.parametrize(
    "program", ["kubectl", *([OTHER] if OTHER else [])], ids=["of-the-cluster", "of-the-machine"][: 1 + bool(OTHER)]
)
def test_every_action_works_with_it(add_ons: ControlPlane, program: str, tmp_path: Path) -> None:
    """plan finds changes, apply makes them, a second plan finds none, verify is content, revert and verify see them gone."""
    settings = tmp_path / "config.toml"
    settings.write_text(f'[cluster]\nkubectl = "{program}"\n')

    def cluster(action: str) -> int:
        flags: List[str] = [] if action == "revert" else FLAGS
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "agent",
                "cluster",
                action,
                "--kubeconfig",
                str(add_ons.kubeconfig),
                "--config",
                str(settings),
                *flags,
            ],
            cwd=ROOT,
            env=add_ons.environment,
            check=False,
            timeout=120,
        )
        return done.returncode

    wanted = [("plan", 3), ("apply", 0), ("plan", 0), ("verify", 0), ("revert", 0), ("verify", 3)]
    assert [(action, cluster(action)) for action, _ in wanted] == wanted
