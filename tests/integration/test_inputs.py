"""Inputs: each document is read once a reconcile, and again under the lock if one has changed."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.core.settings.layers import Layer, parse_toml
from agent.daemon.boot import boot
from agent.daemon.daemon import Daemon
from agent.demo.instance import Instance
from agent.demo.metadata_service import MetadataService
from agent.edges.signals import watched
from agent.edges.state import State
from agent.errors import FileError
from agent.node import inputs, reconcile, sources
from agent.node.host import host_of
from agent.node.inputs import Inputs
from agent.node.reconcile import Network
from agent.node.sources import SettingsSources
from tests.integration.command_line import PROXY, Node
from tests.integration.daemon import configure

PART = "--b\nContent-Type: application/x-eks-proxy-agent\n\n[proxy]\nno_proxy = {}\n"
USER_DATA = 'Content-Type: multipart/mixed; boundary="b"\nMIME-Version: 1.0\n\n{}{}--b--\n'
CONFIG, MORE = "/etc/eks-proxy-agent/config.toml", "/etc/eks-proxy-agent/config.d/10-more.toml"
DOCUMENTS = (CONFIG, MORE, "user data, part 1", "user data, part 2")


@pytest.fixture
def service() -> Iterator[MetadataService]:
    """Return a metadata service whose user data has two parts with settings."""
    with MetadataService() as service:
        user_data = USER_DATA.format(PART.format('["one.corp"]'), PART.format('["two.corp"]'))
        service.instance = Instance(user_data=user_data.encode())
        yield service


@pytest.fixture
def node(tmp_path: Path, service: MetadataService) -> Node:
    """Return a node with two settings files."""
    node = Node(tmp_path)
    configure(node, service.endpoint)
    node.settings('[aws]\ndirect = []\n[failure]\npreflight = "off"\n', "config.d/10-more.toml")
    return node


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return a counter of how often each document was parsed."""
    parsed: Counter[str] = Counter()

    def counting(name: str, *arguments: Any) -> Layer:
        parsed[name] += 1
        return parse_toml(name, *arguments)

    for module in (sources, inputs):
        monkeypatch.setattr(module, "parse_toml", counting)
    return parsed


def boot_once(node: Node) -> None:
    """Boot, as the daemon does, in this process."""
    host = host_of(argparse.Namespace(root=str(node.root)))
    with watched() as signals:
        assert boot(Daemon(host, SettingsSources(), lambda message: None, signals)) is not None


def test_a_boot_parses_each_document_once(node: Node, parsed: Counter[str]) -> None:
    """Two files and two parts of user data are parsed once each, and all are effective."""
    boot_once(node)
    assert parsed == dict.fromkeys(DOCUMENTS, 1)
    assert node.variables()["http_proxy"] == PROXY
    assert "two.corp" in node.no_proxy()


def test_a_change_before_the_lock_is_read(node: Node, parsed: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """If a file changes during the probes, each document is read again and the new values count."""
    path, probe = node.root / MORE[1:], reconcile.probe

    def change(state: State, loaded: Inputs) -> Network:
        path.write_text(path.read_text() + "[cluster]\ndomain = 'other.local'\n")
        return probe(state, loaded)

    monkeypatch.setattr(reconcile, "probe", change)
    boot_once(node)
    assert parsed == dict.fromkeys(DOCUMENTS, 2)
    assert ".other.local" in node.no_proxy()


@pytest.mark.parametrize("name", ["config.d/20-new.toml", "kept flags"])
def test_a_document_that_appears_before_the_lock_counts(node: Node, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Of two runs at the same time, the later one does not write outdated values."""
    probe = reconcile.probe

    def appear(state: State, loaded: Inputs) -> Network:
        if name == "kept flags":
            flags = f"var/lib/eks-proxy-agent/instances/{loaded.facts.instance_id}/flags.json"
            node.write(flags, b'{"cluster": {"domain": "other.local"}}', 0o600)
        else:
            node.settings("[cluster]\ndomain = 'other.local'\n", name)
        return probe(state, loaded)

    monkeypatch.setattr(reconcile, "probe", appear)
    boot_once(node)
    assert ".other.local" in node.no_proxy()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: None, "cannot be read: No such file or directory"),
        (Path.mkdir, "cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b"12345"), ""),
        (lambda path: path.write_bytes(b"123456"), "is larger than 5 bytes"),
    ],
)
def test_a_file_that_a_flag_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, problem: str) -> None:
    """It is relative to the working directory; the error names it as the flag does."""
    monkeypatch.setattr(sources, "MAX_SIZE", 5)
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "file")
    if not problem:
        assert sources.read_local_file("file") == b"12345"
        return
    with pytest.raises(FileError) as error:
        sources.read_local_file("file")
    assert str(error.value) == f"file: {problem}"
