"""docs/coverage.md against the files that the agent writes, watches and reads."""

from __future__ import annotations

import argparse
import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.core.record import record
from agent.daemon.daemon import Daemon
from agent.daemon.outcome import watched_paths
from agent.edges.files import FileSystem
from agent.edges.signals import watched
from agent.node.host import host_of
from agent.node.inputs import facts_of, load_inputs
from agent.node.planning import node_files
from agent.node.reconcile import compose_intent, probe
from agent.node.sources import SettingsSources
from tests.integration import certificates
from tests.integration.command_line import PROXY, REPOSITORY, Node

PAGE = REPOSITORY / "docs/coverage.md"
#: Directories whose files have the row of those below /etc, as its last column says.
ROOTS = re.compile(r"/(?:run|usr/local/lib|usr/lib|lib)/(systemd/system(?:\.conf\.d)?/)")
#: State of the agent, its copies of files of others, the CA of the settings, and files whose
#: existence counts: programs and units.
NOT_PLACES = re.compile(
    r"/(?:var/lib|run|etc)/eks-proxy-agent/|.*\.eks-proxy-agent-save|/etc/ca\.pem|/usr/bin/"
    r"|/(?:etc|lib|usr/lib|usr/local/lib)/systemd/system/(?!docker)[^/]*\.service$"
)


@record
class Row:
    """One row of the table: patterns of paths, and what the agent does."""

    patterns: tuple[str, ...]
    agent: str

    def has(self, path: str) -> bool:
        """Return True if the row is about a path of a node."""
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in self.patterns)


def rows() -> Iterator[Row]:
    """Return the rows of the table of files."""
    table = PAGE.read_text().partition("## Files")[2].partition("## Not files")[0]
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            paths = (path.replace("UNIT", "*") for path in re.findall("`([^`]+)`", cells[0]))
            yield Row(tuple(path + "*" if path.endswith("/") else path for path in paths), cells[2])


TABLE = list(rows())


def row_of(path: str) -> Row:
    """Return the first row for a path, as a reader finds it from the top."""
    path = ROOTS.sub(r"/etc/\1", path)
    matching = [row for row in TABLE if row.has(path)]
    assert matching, f"{path} is not in docs/coverage.md"
    return matching[0]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Make a node with every kind of managed file, and a file in each directory of others."""
    node = Node(tmp_path)
    (node.root / "etc/ca.pem").write_bytes((certificates.make(tmp_path) / "Corp Proxy CA.pem").read_bytes())
    settings = f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n[failure]\npolicy = "closed"\n'
    node.settings(settings + '[node]\nca_bundle = "/etc/ca.pem"\n')
    (node.root / "etc/pki/ca-trust/source/anchors").mkdir(parents=True)
    for name in ("usr/bin/dnf", "etc/profile.d/x.sh", "etc/dnf/vars/x", "etc/yum/vars/x", "etc/yum.repos.d/x.repo"):
        node.write(name, b"")
    for root in ("etc", "run", "usr/lib"):
        node.write(f"{root}/systemd/system.conf.d/{root[:3]}.conf", b"")
        node.write(f"{root}/systemd/system/docker.service.d/{root[:3]}.conf", b"")
    unit = b"[Service]\nEnvironmentFile=-/etc/sysconfig/docker\nExecStart=/usr/bin/dockerd $OPTIONS\n"
    node.write("usr/lib/systemd/system/docker.service", unit)
    return node


@pytest.fixture
def written_and_watched(node: Node) -> tuple[set[str], set[str]]:
    """Return the paths of the managed files, and those that the daemon watches."""
    host = host_of(argparse.Namespace(root=str(node.root)))
    with watched() as signals:
        daemon = Daemon(host, SettingsSources(facts=str(node.facts)), lambda message: None, signals)
        static = daemon.static_settings()
        inputs = load_inputs(host, static, facts_of(static))
        files = {file.path for file in node_files(host, compose_intent(inputs, probe(host, inputs)))}
        paths = watched_paths(daemon, static.settings, files)
    root = str(node.root)
    return files, {path[len(root) :] for path in paths}


@pytest.fixture
def inspected(node: Node, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the files of which `plan`, `apply`, `check` and `explain` read the content."""
    paths: set[str] = set()
    original = FileSystem.state

    def recording(self: FileSystem, path: str, *rest: Any, **options: Any) -> Any:
        paths.add(path)
        return original(self, path, *rest, **options)

    monkeypatch.setattr(FileSystem, "state", recording)
    for command in ("plan", "apply", "check"):
        node.main(command)
    assert node.main("explain", "example.com", facts=False).code == 0
    return {path for path in paths if not NOT_PLACES.match(path)}


def test_the_table_has_what_the_agent_writes(written_and_watched: tuple[set[str], set[str]]) -> None:
    """A managed file is a row that says `written`, and each such row has a managed file."""
    written, _ = written_and_watched
    assert {row_of(path).agent for path in written} == {"written"}
    rows = [row for row in TABLE if row.agent == "written"]
    assert [row.patterns for row in rows if not any(row.has(path) for path in written)] == []


def test_the_table_has_what_the_daemon_watches(written_and_watched: tuple[set[str], set[str]]) -> None:
    """A watched path is a row that says `written` or `read`, and each such row is watched."""
    _, paths = written_and_watched
    assert {row_of(path).agent for path in paths - {"/etc/ca.pem"}} == {"written", "read"}
    rows = [row for row in TABLE if row.agent in ("written", "read")]
    assert [row.patterns for row in rows if not any(row.has(path) for path in paths)] == []


def test_the_table_has_what_the_agent_inspects(inspected: set[str]) -> None:
    """It names each file whose content counts, and no command reads what is out of scope."""
    assert {path for path in inspected if row_of(path).agent == "out of scope"} == set()


def test_each_reported_place_is_inspected(inspected: set[str]) -> None:
    """No row promises a report about a file that no command reads."""
    rows = [row for row in TABLE if row.agent == "reported"]
    assert [row.patterns for row in rows if not any(row.has(path) for path in inspected)] == []
