"""/etc/environment as others leave it, from `apply` to `check`, `clean` and `revert`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.demo.metadata_service import MetadataService
from tests.integration.command_line import PROXY, Node
from tests.integration.daemon import Start, configure, starter, status, wait_until

NODE_ENV, READY = "etc/eks-proxy-agent/node.env", "run/eks-proxy-agent/ready"
CLOSED = '[failure]\npolicy = "closed"\n'
#: What others leave, and what a shell has of it that is not the agent's.
EDITABLE = {
    "a comment in Latin-1": (b"# Proxy f\xfcr alle\nFOO=1\n", {"FOO": "1"}),
    "a list over lines": (b'no_proxy="localhost,\n127.0.0.1,\n.internal"\nFOO=bar\n', {"FOO": "bar"}),
    "two on a line": (b'export NO_PROXY="a" LANG=C\nhttp_proxy=http://old:1 FOO=1\n', {"LANG": "C", "FOO": "1"}),
    "an escaped backslash": (b"FOO=1\\\\\nHTTP_PROXY=http://old:1", {"FOO": "1\\"}),
}
UNEDITABLE = {
    "an open quote": (b'JAVA_OPTS="-Dx=1\n', "line 1: the quote of its value is not closed"),
    "an invalid byte": (b"FOO=1\nNAME=caf\xe9\n", "line 2: invalid UTF-8"),
}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Make a node with a proxy in its settings, before the first `apply`."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n' + CLOSED)
    return node


def in_a_shell(node: Node) -> dict[str, str]:
    """Return the variables of a shell that sources the file, as user data does."""
    script = 'set -a; . "$0"; exec env -0'
    path = str(node.root / "etc/environment")
    output = subprocess.run(["/bin/sh", "-c", script, path], env={}, stdout=subprocess.PIPE, check=True).stdout
    return dict(item.partition("=")[::2] for item in output.decode().split("\0") if item)


@pytest.mark.parametrize("name", EDITABLE)
def test_what_others_leave_is_kept(node: Node, name: str) -> None:
    """A shell gets the agent's values and those of others; revert is exact."""
    content, expected = EDITABLE[name]
    node.write("etc/environment", content)
    before = node.tree()
    assert node.main("apply").code == 0
    values = in_a_shell(node)
    assert {key: values[key] for key in expected} == expected
    assert values["http_proxy"] == values["HTTP_PROXY"] == PROXY
    assert "localhost" in values["NO_PROXY"]
    assert node.main("apply").out == "nothing to do: the node is as planned\n"
    assert node.main("check", "--only", "files").code == 0
    assert node.main("revert").code == 0
    assert node.tree() == before


@pytest.mark.parametrize("name", ["a comment in Latin-1", "a list over lines", "two on a line"])
def test_clean_takes_the_proxies_out(node: Node, name: str) -> None:
    """A shell reads the file of the image, and finds only the variables of others."""
    content, expected = EDITABLE[name]
    node.write("etc/environment", content)
    assert node.main("clean").code == 0
    values = in_a_shell(node)
    assert {key: values[key] for key in expected} == expected
    assert not [key for key in values if "proxy" in key.lower()]


@pytest.mark.parametrize("name", UNEDITABLE)
def test_a_file_that_cannot_be_edited_is_a_problem_of_its_own(node: Node, name: str) -> None:
    """It stays as it is; node.env configures the units, and the gates of policy closed open."""
    content, problem = UNEDITABLE[name]
    node.write("etc/environment", content)
    done = node.main("apply")
    assert (done.code, node.root.joinpath("etc/environment").read_bytes()) == (1, content)
    assert f"/etc/environment: {problem}" in done.err
    assert "hint: the units of node.units are configured without it" in done.err
    assert node.variables(NODE_ENV)["http_proxy"] == PROXY
    assert (node.root / READY).exists()
    checked = node.main("check", "--only", "files")
    assert (checked.code, checked.out.count("fail")) == (1, 1)
    assert "fail  files      /etc/environment: " + problem in checked.out
    assert status(node)["phase"] == "degraded"
    node.write("etc/environment", b"FOO=1\n")
    assert node.main("apply").code == 0


@pytest.mark.parametrize("command", ["clean", "revert"])
@pytest.mark.parametrize("name", UNEDITABLE)
def test_clean_and_revert_refuse_a_file_that_they_cannot_edit(node: Node, name: str, command: str) -> None:
    """They report it, and leave the file alone."""
    assert node.main("apply").code == 0
    content = UNEDITABLE[name][0] + node.read("etc/environment").encode()
    node.write("etc/environment", content)
    done = node.main(command)
    assert (done.code, node.root.joinpath("etc/environment").read_bytes()) == (1, content)
    assert "/etc/environment: line " in done.err


def test_a_yum_conf_that_cannot_be_edited_is_a_problem_of_its_own(node: Node) -> None:
    """The same holds for yum.conf."""
    (node.root / "etc/dnf/dnf.conf").unlink()
    (node.root / "etc/dnf/dnf.conf").mkdir()
    assert node.main("apply").code == 1
    assert (node.root / READY).exists()


@pytest.mark.parametrize("path", ["etc/systemd/system/docker.service.d", NODE_ENV])
def test_a_file_that_units_need_keeps_the_gates_closed(node: Node, path: str) -> None:
    """Without its drop-in or node.env, docker would start without the proxy."""
    if path == NODE_ENV:
        (node.root / path).mkdir(parents=True)
    else:
        node.write(path, b"")
    done = node.main("apply")
    assert done.code == 1
    assert "are configured without it" not in done.err
    assert not (node.root / READY).exists()


# --- the daemon


@pytest.fixture
def service() -> Iterator[MetadataService]:
    """The metadata service of the node."""
    with MetadataService() as service:
        yield service


@pytest.fixture
def start(node: Node) -> Iterator[Start]:
    """A function that starts daemons on the node; they are killed after the test."""
    with starter(node) as start:
        yield start


def test_the_daemon_opens_the_gates_and_takes_up_the_correction(
    node: Node, service: MetadataService, start: Start
) -> None:
    """At boot, policy closed opens; the node is degraded until the file is corrected."""
    configure(node, service.endpoint, CLOSED)
    node.write("etc/environment", UNEDITABLE["an open quote"][0])
    daemon = start()
    daemon.wait_for("STATUS=degraded: /etc/environment: line 1: the quote")
    daemon.wait_for("READY=1")
    assert (node.root / READY).exists()
    text = "the units of node.units are configured without it"
    wait_until("the log, which comes after READY=1", lambda: text in daemon.log.read_text())
    node.write("etc/environment", b"JAVA_OPTS=-Dx=1\n")
    daemon.wait_for("STATUS=configured")
    assert node.variables()["http_proxy"] == PROXY
