"""What yum and dnf will really use: our reading against another reader's, and a yum.conf that is no
link any more.
"""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.plan.files.yum_conf import effective
from tests.integration.command_line import PROXY, Node

LINES = st.lists(
    st.sampled_from(
        ["[main]", "[local]", "proxy=http://a:1", "proxy = http://b:2", "proxy: http://c:3", "PROXY=http://d:4"]
        + ["gpgcheck=1", "exclude=kernel*\n docker*", "# proxy=http://e:5", ";proxy=http://f:6", "", "proxy="]
    ),
    max_size=12,
)


@given(LINES)
def test_the_proxy_that_counts_is_the_one_that_a_parser_finds(lines: list[str]) -> None:
    """Python's configparser, which yum 3 is built on, comes to the same in every section."""
    text = "\n".join(["[first]", *lines, ""])
    reader = configparser.RawConfigParser(strict=False)
    reader.read_string(text)
    there = {name: reader.get(name, "proxy") for name in reader.sections() if reader.has_option(name, "proxy")}
    assert {name: " ".join(value.split()) for name, value in there.items()} == effective(text.encode())


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node with dnf, configured."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n')
    node.write("usr/bin/dnf", b"")
    assert node.main("apply").code == 0
    return node


def a_copy(node: Node) -> None:
    """As `sed -i` leaves it."""
    replace(node, (node.root / "etc/dnf/dnf.conf").read_bytes())


def another(node: Node) -> None:
    """As somebody's configuration management writes it."""
    replace(node, b"[main]\nkeepcache=1\n")


def replace(node: Node, content: bytes) -> None:
    """The link becomes a file."""
    (node.root / "etc/yum.conf").unlink()
    node.write("etc/yum.conf", content)


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_proxy_that_dnf_uses_is_told_without_its_password(node: Node, scheme: str) -> None:
    """Also where somebody left the scheme out, which curl takes."""
    (node.root / "etc/yum.conf").unlink()
    node.write("etc/dnf/dnf.conf", b"[main]\nproxy=%sme:secret@other:1\n" % scheme.encode())
    done = node.main("check", "--only", "packages")
    assert f"/etc/dnf/dnf.conf: dnf uses {scheme}***@other:1" in done.out
    assert "secret" not in done.both


@pytest.mark.parametrize("become", [a_copy, another])
def test_dnf_keeps_its_proxy_when_yum_conf_is_no_link_any_more(node: Node, become: Callable[[Node], None]) -> None:
    """Both files have it then, `check` names the file that nobody reads, and revert leaves a proxy
    in neither.
    """
    become(node)
    done = node.main("check", "--only", "files", "--only", "packages")
    assert "fail  packages   /etc/yum.conf: is a file of its own" in done.out
    assert (done.code, done.out.count("fail")) == (1, 1)
    assert node.main("apply").code == 0
    assert [effective(node.read(path).encode()) for path in ("etc/yum.conf", "etc/dnf/dnf.conf")] == [
        {"main": PROXY}
    ] * 2
    assert node.main("apply").out == "nothing to do: the node is as planned\n"
    assert node.main("revert").code == 0
    assert "proxy" not in node.read("etc/dnf/dnf.conf")


def test_a_node_without_dnf_gets_no_dnf_conf(tmp_path: Path) -> None:
    """On a node without dnf there is yum.conf alone, with credentials in it or without."""
    node = Node(tmp_path)
    (node.root / "etc/yum.conf").unlink()
    (node.root / "etc/dnf/dnf.conf").unlink()
    node.write("etc/yum.conf", b"[main]\n")
    node.write("etc/credentials", b"me:s3cret\n", 0o600)
    node.settings(f'[proxy]\nurl = "{PROXY}"\ncredentials_file = "/etc/credentials"\ncredentials_in_yum = true\n')
    assert "dnf.conf" not in node.main("apply").out
    assert node.main("apply").out == "nothing to do: the node is as planned\n"
    assert not (node.root / "etc/dnf/dnf.conf").exists()
