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


# --- what is written


def test_yum_has_the_proxy_of_https_urls(node: Node) -> None:
    """dnf has one proxy for all repositories, and those of Amazon Linux 2023 are https."""
    https = "http://tls.corp:3129"
    node.settings(f'[proxy]\nurl = "{PROXY}"\nhttps_url = "{https}"\n[aws]\ndirect = []\n')
    assert node.main("apply").code == 0
    assert effective(node.read("etc/dnf/dnf.conf").encode()) == {"main": https}
    assert f"dnf uses {https}" in node.main("check", "--only", "packages").out


def test_user_and_password_of_an_earlier_proxy_are_removed(tmp_path: Path) -> None:
    """The plan masks the password and names both in a note; revert restores them."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n')
    node.write(
        "etc/dnf/dnf.conf",
        b"[main]\ngpgcheck=1\nproxy=http://old.example.test:3128\nproxy_username=u\nproxy_password=hunter2\n",
    )
    before = node.tree()
    done = node.main("plan")
    assert "-proxy_password=***\n" in done.out
    assert "user and password of an earlier proxy in [main] (proxy_username, proxy_password) are removed" in done.err
    assert node.main("apply").code == 0
    assert node.read("etc/dnf/dnf.conf") == f"[main]\ngpgcheck=1\nproxy={PROXY}\n"
    assert node.main("revert").code == 0
    assert node.tree() == before


def test_a_line_of_others_above_the_new_main_stays(tmp_path: Path) -> None:
    """A file without [main] gets one at its end; what others write above that is theirs."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n')
    local = "[local]\nname=local\nbaseurl=file:///srv/repo\n"
    node.write("etc/dnf/dnf.conf", local.encode())
    assert node.main("apply").code == 0
    edited = node.read("etc/dnf/dnf.conf").replace("\n[main]", "enabled=0\n[main]")
    node.write("etc/dnf/dnf.conf", edited.encode())
    assert node.main("revert").code == 0
    assert node.read("etc/dnf/dnf.conf") == local + "enabled=0\n"


@pytest.mark.parametrize(("program", "is_created"), [("", False), ("usr/bin/yum", True), ("usr/bin/dnf-3", True)])
def test_yum_conf_is_created_only_for_yum_or_dnf(tmp_path: Path, program: str, is_created: bool) -> None:
    """Without either, there is no file and no drift, and status does not list one."""
    node = Node(tmp_path)
    (node.root / "etc/yum.conf").unlink()
    (node.root / "etc/dnf/dnf.conf").unlink()
    if program:
        node.write(program, b"")
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n')
    assert node.main("apply").code == 0
    assert (node.root / "etc/yum.conf").exists() == is_created
    assert ("/etc/yum.conf" in node.main("status", "--json").out) == is_created
    assert node.main("check", "--only", "files").code == 0


# --- repositories that NO_PROXY exempts


def test_repositories_that_no_proxy_exempts_are_named(node: Node) -> None:
    """dnf in a timer has no NO_PROXY; with `proxy=` in the section it is direct without."""
    node.write("etc/dnf/vars/host", b"repo.internal\n")
    exempt = "[a]\nbaseurl=https://$host/a\n http://other.internal/\n[b]\nmetalink=http://10.42.0.7/\n"
    node.write("etc/yum.repos.d/x.repo", (exempt + "[c]\nbaseurl=https://example.com/\n").encode())
    done = node.main("check", "--only", "packages")
    assert "dnf uses the proxy for [a] (repo.internal, other.internal), [b] (10.42.0.7) if its" in done.out
    assert "add to each of these sections: proxy=" in done.out
    assert done.code == 0
    node.write("etc/yum.repos.d/x.repo", exempt.replace("]\n", "]\nproxy=\n").encode())
    assert "warn" not in node.main("check", "--only", "packages").out


@pytest.mark.parametrize(
    "repository",
    [
        "baseurl=https://repo.internal/\nenabled=0",
        "baseurl=https://$unset.internal/",
        "baseurl=file:///srv/repo",
        "baseurl=https://repo.internal:x/",
    ],
)
def test_other_repositories_are_not_named(node: Node, repository: str) -> None:
    """They are disabled, use no proxy anyway, or their host is unknown."""
    node.write("etc/yum.repos.d/x.repo", f"[a]\n{repository}\n".encode())
    assert "warn" not in node.main("check", "--only", "packages").out
