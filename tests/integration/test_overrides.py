"""Drop-ins of others beside those of the agent: named by plan, apply, status and the journal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.command_line import PROXY, Node
from tests.integration.scratch import rename_to_former

DOCKER_D = "etc/systemd/system/docker.service.d"
OTHER = f"/{DOCKER_D}/zzz-other.conf"
WARNING = f"warning: EnvironmentFile=/etc/docker.env of {OTHER} overrides HTTPS_PROXY of docker.service\n"
LOSES = (
    f"note: /{DOCKER_D}/override.conf: its EnvironmentFile=/etc/docker.env sets a proxy that zz-eks-proxy.conf "
    "overrides; to exempt the unit, take it out of node.units\n"
)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node with a proxy, and a file with another one."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[node]\nunits = ["docker", "kubelet"]\n[aws]\ndirect = []\n')
    node.write("etc/docker.env", b"HTTPS_PROXY=http://user:secret@other:1\n")
    return node


def drop_in(node: Node, name: str, *lines: str) -> None:
    """Write a drop-in of docker."""
    node.write(f"{DOCKER_D}/{name}", "\n".join(["[Service]", *lines, ""]).encode())


def test_a_drop_in_that_overrides_is_named_until_it_is_gone(node: Node) -> None:
    """plan, each apply and status name it; its values are not printed."""
    drop_in(node, "zzz-other.conf", "EnvironmentFile=/etc/docker.env")
    for command in ("plan", "apply", "apply", "plan"):
        done = node.main(command)
        assert done.err.count(WARNING) == 1, command
        assert "secret" not in done.both
    status = json.loads(node.main("status", "--json").out)
    assert status["warnings"] == [WARNING[len("warning: ") : -1]]
    (node.root / OTHER[1:]).unlink()
    assert WARNING not in node.main("apply").err
    assert json.loads(node.main("status", "--json").out)["warnings"] == []


def test_a_drop_in_that_takes_the_password_away_is_named(node: Node) -> None:
    """/etc/environment has no credentials; it counts as it is after the plan."""
    drop_in(node, "zzz-other.conf", "EnvironmentFile=/etc/environment")
    for flags in ([], ["--set", "proxy.credentials_file=/etc/secret"]):
        node.write("etc/secret", b"user:s3cret\n", 0o600)
        done = node.main("plan", *flags)
        assert (f"EnvironmentFile=/etc/environment of {OTHER} overrides http_proxy" in done.err) is bool(flags)
        assert "s3cret" not in done.err


def test_a_masked_drop_in_does_not_count(node: Node) -> None:
    """A link to /dev/null in /etc masks the file of that name elsewhere."""
    node.write(
        "usr/lib/systemd/system/docker.service.d/zzz-other.conf", b"[Service]\nEnvironmentFile=/etc/docker.env\n"
    )
    assert WARNING.replace("/etc/systemd", "/usr/lib/systemd") in node.main("plan").err
    (node.root / DOCKER_D).mkdir(parents=True)
    (node.root / OTHER[1:]).symlink_to("/dev/null")
    assert "zzz-other" not in node.main("plan").err


def test_what_loses_to_the_first_drop_in_is_noted_once(node: Node) -> None:
    """The note comes with the change; the file itself stays."""
    drop_in(node, "override.conf", "EnvironmentFile=/etc/docker.env")
    assert LOSES in node.main("plan").err
    assert LOSES in node.main("apply").err
    assert "override.conf" not in node.main("apply").err
    assert node.read(f"{DOCKER_D}/override.conf") == "[Service]\nEnvironmentFile=/etc/docker.env\n"


def test_what_loses_by_the_new_name_is_noted(node: Node) -> None:
    """override.conf of `systemctl edit` came after 90-eks-proxy.conf, and comes before zz-."""
    assert node.main("apply").code == 0
    rename_to_former(node.root)
    drop_in(node, "override.conf", "EnvironmentFile=/etc/docker.env")
    drop_in(node, "80-other.conf", "EnvironmentFile=/etc/docker.env")
    done = node.main("plan")
    assert LOSES in done.err
    assert "80-other.conf" not in done.err
    assert node.main("apply").code == 0
    assert "override.conf" not in node.main("plan").err


@pytest.mark.parametrize("unit", ["containerd", "sandbox-image"])
def test_the_drop_in_of_the_containerd_recipe_is_removed(node: Node, unit: str) -> None:
    """It is reported, the unit reads the agent's file, and revert restores it."""
    name, text = (
        f"etc/systemd/system/{unit}.service.d/http-proxy.conf",
        b"[Service]\nEnvironmentFile=/etc/environment\n",
    )
    node.write(name, text)
    flags = ("--set", f'node.units=["{unit}"]')
    done = node.main("apply", *flags)
    assert f"removed /{name}\n" in done.out
    assert (
        f"note: {unit}.service.d: http-proxy.conf of the shell recipe is removed; zz-eks-proxy.conf replaces it"
        in done.err
    )
    assert not (node.root / name).exists()
    assert node.main("revert").code == 0
    assert (node.root / name).read_bytes() == text


def test_clean_removes_the_drop_ins_of_both_recipes(node: Node) -> None:
    """The image has no proxy of its builder, however it was configured."""
    names = [
        f"etc/systemd/system/{unit}.service.d/{name}"
        for unit in ("docker", "kubelet", "containerd", "sandbox-image")
        for name in ("proxy.conf", "http-proxy.conf")
    ]
    for name in names:
        node.write(name, b"[Service]\nEnvironmentFile=/etc/environment\n")
    assert node.main("clean").code == 0
    assert [name for name in names if (node.root / name).exists()] == []
