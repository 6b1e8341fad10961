"""The kubectl that an administrator has: that of the cluster's version, and another one that this
machine may have.
"""

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
    """plan finds changes, apply makes them, a second plan finds none, verify is content, and revert
    takes all back.
    """
    admin = Administrator(add_ons, tmp_path)
    before = admin.specs()
    program = f"--set=cluster.kubectl={PROGRAMS[name]}"
    wanted = [("plan", 3), ("apply", 0), ("plan", 0), ("verify", 0), ("revert", 0), ("verify", 3)]
    assert [(action, admin.run(action, program).code) for action, _ in wanted] == wanted
    assert admin.specs() == before
