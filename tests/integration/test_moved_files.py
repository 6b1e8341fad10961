"""Managed files that are moved and linked, and links that become files: revert stays exact."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.integration.command_line import PROXY, Node

ENVIRONMENT, MOVED = "etc/environment", "etc/environment.shared"
DROP_IN = "etc/systemd/system/docker.service.d/zz-eks-proxy.conf"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A configured node."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n')
    return node


def move_and_link(node: Node, path: str, target: str) -> None:
    """Move a file, and put a link to it in its place."""
    (node.root / target).parent.mkdir(exist_ok=True)
    (node.root / path).rename(node.root / target)
    (node.root / path).symlink_to(os.path.relpath(target, os.path.dirname(path)))


def test_a_file_that_was_moved_and_linked_stays_a_link(node: Node) -> None:
    """The agent changes and reverts the target, and the link stays."""
    original = node.read(ENVIRONMENT)
    assert node.main("apply").code == 0
    move_and_link(node, ENVIRONMENT, MOVED)
    assert node.main("plan").code == 0, "nothing differs"
    assert node.main("apply").code == 0
    assert (node.root / ENVIRONMENT).is_symlink()
    assert PROXY in node.read(MOVED)
    assert node.main("revert").code == 0
    assert (node.root / ENVIRONMENT).is_symlink()
    assert node.read(MOVED) == original


def test_a_file_that_was_moved_is_reverted_where_it_is_now(node: Node) -> None:
    """Also if nothing was applied since."""
    original = node.read(ENVIRONMENT)
    assert node.main("apply").code == 0
    move_and_link(node, ENVIRONMENT, MOVED)
    assert node.main("revert").code == 0
    assert (node.root / ENVIRONMENT).is_symlink()
    assert node.read(MOVED) == original


@pytest.mark.parametrize("edit", ["", "EDITOR=vi\n"])
def test_a_copy_in_the_place_of_a_link_is_reverted_too(node: Node, edit: str) -> None:
    """An editor that renames, such as sed -i, replaces the link by a file with the same lines."""
    original = node.read(ENVIRONMENT)
    (node.root / ENVIRONMENT).rename(node.root / MOVED)
    (node.root / ENVIRONMENT).symlink_to(MOVED.rpartition("/")[2])
    assert node.main("apply").code == 0
    (node.root / ENVIRONMENT).unlink()
    shutil.copy(node.root / MOVED, node.root / ENVIRONMENT)
    (node.root / ENVIRONMENT).write_text(edit + node.read(ENVIRONMENT))
    assert node.main("apply").code == 0
    assert node.read(MOVED) == original, "nothing of the agent stays in the file that is not /etc/environment any more"
    assert PROXY in node.read(ENVIRONMENT)
    assert node.main("revert").code == 0
    assert node.read(ENVIRONMENT).rstrip("\n") == edit + original.rstrip("\n")


def test_the_error_of_a_link_names_the_file_that_is_linked(node: Node) -> None:
    """Its target says little, as /dev/null does, which masks a drop-in."""
    target = node.root / DROP_IN
    target.parent.mkdir(parents=True, exist_ok=True)
    (node.root / "dev").mkdir()
    os.mkfifo(node.root / "dev/null")
    target.symlink_to("/dev/null")
    done = node.main("apply")
    assert done.code == 1
    assert f"/{DROP_IN}: link to /dev/null: is not a regular file" in done.err
    assert node.main("apply").err == done.err, "once"
    assert "http_proxy" in node.variables(), "other files are written"


def test_a_drop_in_in_a_directory_that_was_moved_and_linked_is_reverted(node: Node) -> None:
    """The link of the directory stays, and the agent's file in it goes."""
    assert node.main("apply").code == 0
    move_and_link(node, os.path.dirname(DROP_IN), "etc/units-of-docker")
    assert node.main("plan").code == 0
    assert node.main("apply").code == 0
    assert (node.root / DROP_IN).exists()
    assert node.main("revert").code == 0
    assert (node.root / os.path.dirname(DROP_IN)).is_symlink()
    assert not (node.root / DROP_IN).exists()


def test_the_file_of_others_behind_a_link_in_the_place_of_a_drop_in_is_restored(node: Node) -> None:
    """It was never the agent's: revert gives it its own content, and keeps it."""
    assert node.main("apply").code == 0
    theirs = node.root / "etc/theirs.conf"
    theirs.write_text("[Service]\nRestart=no\n")
    (node.root / DROP_IN).unlink()
    (node.root / DROP_IN).symlink_to("/etc/theirs.conf")
    assert node.main("apply").code == 0
    assert node.main("revert").code == 0
    assert theirs.read_text() == "[Service]\nRestart=no\n"
    assert (node.root / DROP_IN).is_symlink()
