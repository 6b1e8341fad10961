"""kubectl of the cluster's version, and another version that this machine may have."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cluster.administrator import Administrator
from tests.cluster.harness.control_plane import ControlPlane

PROGRAMS = {"of-the-cluster": "kubectl", "of-the-machine": shutil.which("kubectl", path=os.environ["PATH"]) or ""}


@pytest.mark.parametrize("name", [name for name, program in PROGRAMS.items() if program])
def test_every_action_works_with_it(add_ons: ControlPlane, name: str, tmp_path: Path) -> None:
    """plan, apply and verify work as expected, and revert restores the original specs."""
    admin = Administrator(add_ons, tmp_path)
    before = admin.specs()
    program = f"--set=cluster.kubectl={PROGRAMS[name]}"
    expected = [("plan", 3), ("apply", 0), ("plan", 0), ("verify", 0), ("revert", 0), ("verify", 3)]
    assert [(action, admin.run(action, program).code) for action, _ in expected] == expected
    assert admin.specs() == before
