"""The files of `render` on a real API server: server-side apply, kustomize, and patches."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.administrator import ADD_ONS, CONFIG_MAP, Administrator, all_containers
from tests.cluster.conftest import MANIFESTS
from tests.cluster.harness.control_plane import ControlPlane

NAME = "proxy-environment-variables"
OWN = [{"configMapRef": {"name": "operators", "optional": True}}]
MANIFEST_FLAGS = [flag for name in ADD_ONS for flag in ("--manifest", str(MANIFESTS / f"{name}.yaml"))]


@pytest.fixture
def admin(add_ons: ControlPlane, tmp_path: Path) -> Administrator:
    """Return the administrator of a cluster with new add-ons."""
    return Administrator(add_ons, tmp_path)


def render(admin: Administrator, *flags: str) -> list[list[str]]:
    """Run render, and return the commands that it prints, without the word kubectl."""
    done = admin.run("render", "--output", str(admin.directory / "out"), *flags)
    assert done.code == 0, done.both
    commands = [shlex.split(line) for line in done.out.splitlines()]
    assert all(command[0] == "kubectl" for command in commands)
    return [command[1:] for command in commands]


def roll_out(admin: Administrator, commands: list[list[str]]) -> str:
    """Run commands of kubectl, wait for the add-ons, and return the output."""
    output = "".join(admin.control_plane.kubectl(*command) for command in commands)
    for name in ADD_ONS:
        admin.control_plane.wait_for_rollout("kube-system", f"daemonset/{name}")
    return output


def references(container: dict[str, Any]) -> list[str]:
    """Return the env entries of a container that refer to our ConfigMap."""
    keys = [
        (entry["name"], entry.get("valueFrom", {}).get("configMapKeyRef", {})) for entry in container.get("env", [])
    ]
    return [name for name, key in keys if (key.get("name"), key.get("key")) == (NAME, name)]


def references_of_all(admin: Administrator) -> set[int]:
    """Return how many such entries the containers of the add-ons have."""
    add_ons = [all_containers(admin.add_on(name)).values() for name in ADD_ONS]
    return {len(references(container)) for containers in add_ons for container in containers}


def test_server_side_apply_keeps_the_operators_entries(admin: Administrator) -> None:
    """Every container has the variables beside the operator's own entries; revert removes them."""
    admin.patch("json", [{"op": "add", "path": "/spec/template/spec/containers/0/envFrom", "value": OWN}])
    admin.set_env("-c", "aws-node", "WARM_IP_TARGET=5")
    original = admin.specs()
    commands = render(admin, "--format", "ssa")
    assert "daemonset.apps/aws-node serverside-applied" in roll_out(admin, commands)
    assert references_of_all(admin) == {6}
    container = all_containers(admin.add_on("aws-node"))["aws-node"]
    assert container["envFrom"] == OWN
    assert {"name": "WARM_IP_TARGET", "value": "5"} in container["env"]
    verified = admin.run("verify")
    assert verified.code == 0, verified.both
    versions = admin.versions()
    roll_out(admin, render(admin, "--format", "ssa"))
    assert admin.versions() == versions
    reverted = admin.run("revert")
    assert reverted.code == 0, reverted.both
    assert reverted.out.splitlines() == [
        *(f"reverted kube-system/daemonset/{name}" for name in ADD_ONS),
        f"deleted kube-system/configmap/{NAME}",
    ]
    assert admin.specs() == original


def test_new_values_of_server_side_apply_roll_out(admin: Administrator) -> None:
    """The checksum of a new rendering replaces the pods, and verify is content with them."""
    roll_out(admin, render(admin, "--format", "ssa"))
    flag = '--set=vpc.cidrs=["10.42.0.0/16", "10.43.0.0/16"]'
    assert "created with older values" in _after_the_config_map(admin, flag)
    roll_out(admin, render(admin, "--format", "ssa", flag))
    assert admin.run("verify", flag).code == 0


def _after_the_config_map(admin: Administrator, flag: str) -> str:
    """Apply only the ConfigMap of a new rendering, and return what verify prints."""
    (command,) = render(admin, "--format", "ssa", flag)
    only = command[: command.index("-f") + 2]
    assert only[-1].endswith("kube-system-configmap.yaml")
    admin.control_plane.kubectl(*only)
    return admin.run("verify", flag).out


def test_container_with_own_env_is_left_out_and_named(admin: Administrator) -> None:
    """Server-side apply cannot remove it, so the container keeps all of its own."""
    admin.set_env("-c", "aws-node", "HTTP_PROXY=http://old:1", "no_proxy=x")
    original = admin.specs()
    done = admin.run("render", "--output", str(admin.directory / "out"), "--format", "ssa")
    note = (
        "note: kube-system/daemonset/aws-node: container aws-node: left out, because it has env HTTP_PROXY, no_proxy;"
    )
    assert note in done.err
    roll_out(admin, [shlex.split(line)[1:] for line in done.out.splitlines()])
    containers = all_containers(admin.add_on("aws-node"))
    assert (references(containers["aws-node"]), len(references(containers["aws-eks-nodeagent"]))) == ([], 6)
    assert admin.run("revert").code == 0
    assert admin.specs() == original


def test_kustomize_patches_the_manifests(admin: Administrator) -> None:
    """`kubectl apply -k` gives every container the variables; the manifests alone undo it."""
    roll_out(admin, [["apply", "-f", str(MANIFESTS / f"{name}.yaml")] for name in ADD_ONS])
    original = _comparable(admin)
    output = roll_out(admin, render(admin, "--format", "kustomize", *MANIFEST_FLAGS))
    assert f"configmap/{NAME} created" in output
    assert references_of_all(admin) == {6}
    verified = admin.run("verify")
    assert verified.code == 0, verified.both
    kept = admin.run("revert")
    assert "requires it; run this again when nothing refers to it" in kept.both or "not deleted" in kept.both
    roll_out(admin, [["apply", "-f", str(MANIFESTS / f"{name}.yaml")] for name in ADD_ONS])
    assert _comparable(admin) == original
    admin.control_plane.kubectl("delete", *CONFIG_MAP)


def _comparable(admin: Administrator) -> str:
    return json.dumps([admin.add_on(name)["spec"] for name in ADD_ONS], sort_keys=True)


def test_kustomize_takes_over_own_env(admin: Administrator) -> None:
    """With --take-over the patch replaces the value in the manifest."""
    manifest = admin.directory / "aws-node.yaml"
    text = (MANIFESTS / "aws-node.yaml").read_text()
    own = '- {name: DISABLE_TCP_EARLY_DEMUX, value: "false"}'
    assert own in text
    manifest.write_text(text.replace(own, f'{own}\n        - {{name: HTTP_PROXY, value: "http://old:1"}}'))
    flags = ["--format", "kustomize", "--manifest", str(manifest), *MANIFEST_FLAGS[2:]]
    done = admin.run("render", "--output", str(admin.directory / "out"), *flags)
    assert "init container aws-vpc-cni-init: left out, because it has env HTTP_PROXY; to remove it, use" in done.err
    roll_out(admin, render(admin, *flags, "--take-over"))
    assert len(references(all_containers(admin.add_on("aws-node"))["aws-vpc-cni-init"])) == 6
    assert admin.run("verify").code == 0


def test_patches_tell_what_plan_tells(admin: Administrator) -> None:
    """Env that overrides envFrom is named, and --take-over removes it; revert restores it."""
    admin.set_env("-c", "aws-node", "HTTP_PROXY=http://old:1")
    original = admin.specs()
    done = admin.run("render", "--output", str(admin.directory / "out"))
    assert "container aws-node: env HTTP_PROXY overrides envFrom; to remove it, use --take-over" in done.err
    roll_out(admin, render(admin, "--take-over"))
    assert admin.run("verify").code == 0
    assert admin.run("revert").code == 0
    assert admin.specs() == original
