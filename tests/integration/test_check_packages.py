"""Proxy that yum and dnf really use.

The agent's reader is compared with another parser, and yum.conf may have stopped being a link.
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
def test_effective_proxy_is_that_of_configparser(lines: list[str]) -> None:
    """Python's configparser, on which yum 3 is built, reads the same proxy in every section."""
    text = "\n".join(["[first]", *lines, ""])
    reader = configparser.RawConfigParser(strict=False)
    reader.read_string(text)
    proxies = {name: reader.get(name, "proxy") for name in reader.sections() if reader.has_option(name, "proxy")}
    assert {name: " ".join(value.split()) for name, value in proxies.items()} == effective(text.encode())


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Make a node with dnf, and apply."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n')
    node.write("usr/bin/dnf", b"")
    assert node.main("apply").code == 0
    return node


def copy_of_dnf_conf(node: Node) -> None:
    """Make yum.conf a copy, as `sed -i` leaves it."""
    replace(node, (node.root / "etc/dnf/dnf.conf").read_bytes())


def other_content(node: Node) -> None:
    """Make yum.conf another file, as configuration management writes it."""
    replace(node, b"[main]\nkeepcache=1\n")


def replace(node: Node, content: bytes) -> None:
    """Replace the link with a file."""
    (node.root / "etc/yum.conf").unlink()
    node.write("etc/yum.conf", content)


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_proxy_that_dnf_uses_is_printed_without_its_password(node: Node, scheme: str) -> None:
    """The password is masked also in a URL without scheme, which curl accepts."""
    (node.root / "etc/yum.conf").unlink()
    node.write("etc/dnf/dnf.conf", b"[main]\nproxy=%sme:secret@other:1\n" % scheme.encode())
    done = node.main("check", "--only", "packages")
    assert f"/etc/dnf/dnf.conf: dnf uses {scheme}***@other:1" in done.out
    assert "secret" not in done.both


@pytest.mark.parametrize("replace_link", [copy_of_dnf_conf, other_content])
def test_dnf_keeps_its_proxy_when_yum_conf_is_not_a_link(node: Node, replace_link: Callable[[Node], None]) -> None:
    """`apply` writes the proxy to both files, and revert removes it from both.

    `check` reports the file that dnf ignores.
    """
    replace_link(node)
    done = node.main("check", "--only", "files", "--only", "packages")
    assert "fail  packages   /etc/yum.conf: not a link to /etc/dnf/dnf.conf any more" in done.out
    assert (done.code, done.out.count("fail")) == (1, 1)
    assert node.main("apply").code == 0
    assert [effective(node.read(path).encode()) for path in ("etc/yum.conf", "etc/dnf/dnf.conf")] == [
        {"main": PROXY}
    ] * 2
    assert node.main("apply").out == "nothing to do: the node is as planned\n"
    assert node.main("revert").code == 0
    assert "proxy" not in node.read("etc/dnf/dnf.conf")


def test_a_node_without_dnf_gets_no_dnf_conf(tmp_path: Path) -> None:
    """On a node without dnf only yum.conf is written, with or without credentials."""
    node = Node(tmp_path)
    (node.root / "etc/yum.conf").unlink()
    (node.root / "etc/dnf/dnf.conf").unlink()
    node.write("etc/yum.conf", b"[main]\n")
    node.write("etc/credentials", b"me:s3cret\n", 0o600)
    node.settings(f'[proxy]\nurl = "{PROXY}"\ncredentials_file = "/etc/credentials"\ncredentials_in_yum = true\n')
    assert "dnf.conf" not in node.main("apply").out
    assert node.main("apply").out == "nothing to do: the node is as planned\n"
    assert not (node.root / "etc/dnf/dnf.conf").exists()
