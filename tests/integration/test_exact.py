"""Revert and clean are exact: owner, group, ACL and other attributes, as well as bytes and mode."""

from __future__ import annotations

import json
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.status.records import METRICS_FILE
from agent.edges.systemd import Systemd
from agent.errors import CommandError
from agent.node import host as host_module
from tests.integration.command_line import PROXY, Node

BASELINE = "var/lib/eks-proxy-agent/baseline.json"
ACL, LABEL = "system.posix_acl_access", "security.selinux"
#: user::rw-, user:1234:r--, group::r--, mask::r--, other::--- (linux/posix_acl_xattr.h).
ENTRIES = [(1, 6, 2**32 - 1), (2, 4, 1234), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1), (32, 0, 2**32 - 1)]
READABLE_BY_1234 = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in ENTRIES)
#: Settings with credentials in dnf.conf, which is private then.
PRIVATE = (
    f'[proxy]\nurl = "{PROXY}"\ncredentials_file = "/etc/proxy.pass"\ncredentials_in_yum = true\n'
    '[node]\nunits = ["docker"]\n[aws]\ndirect = []\n'
)

Exact = tuple[int, int, int, dict[str, bytes], bytes]

pytestmark = pytest.mark.needs_root("chown(2)")


class Offline(Systemd):
    """A systemd of which nothing runs, and whose `disable` can fail."""

    fails = False

    def __init__(self) -> None:
        super().__init__(running=False)

    def disable(self, names: object) -> None:
        if Offline.fails:
            raise CommandError("systemctl: failed")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A node whose files have owners, groups, ACLs and attributes of their own."""
    monkeypatch.setattr(host_module, "_units", lambda files: Offline())
    monkeypatch.setattr(Offline, "fails", False)
    structlog.reset_defaults()
    node = Node(tmp_path)
    node.settings(PRIVATE)
    node.write("etc/proxy.pass", b"alice:hunter2\n", 0o600)
    node.write("etc/systemd/system/docker.service.d/proxy.conf", b"[Service]\nEnvironmentFile=/etc/environment\n")
    for number, name in enumerate(OTHERS):
        path = node.root / name
        os.chown(path, 1000 + number, 2000 + number)
        os.setxattr(path, "user.owner", name.encode())
        os.setxattr(path, ACL, READABLE_BY_1234)
        os.setxattr(path, LABEL, b"system_u:object_r:etc_t:s0\0")
    yield node
    structlog.reset_defaults()


#: One file that the agent makes private, one that it only edits, one that it removes.
OTHERS = ("etc/dnf/dnf.conf", "etc/environment", "etc/systemd/system/docker.service.d/proxy.conf")


def exact(node: Node, names: tuple[str, ...] = OTHERS) -> dict[str, Exact]:
    """Mode, owner, group, attributes and content."""
    result = {}
    for name in names:
        path = node.root / name
        status = path.stat()
        attributes = {key: os.getxattr(path, key) for key in os.listxattr(path)}
        result[name] = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, attributes, path.read_bytes())
    return result


def succeed(node: Node, command: str) -> str:
    """Run a command that must succeed; return its output."""
    done = node.main(command)
    assert done.code == 0, done.both
    return done.both


def test_revert_restores_owner_group_acl_and_attributes(node: Node) -> None:
    """While dnf.conf holds the password it is root's alone; SELinux's labels stay in any case."""
    before = exact(node)
    succeed(node, "apply")
    mode, owner, group, attributes, content = exact(node, OTHERS[:1])[OTHERS[0]]
    assert (mode, owner, group, ACL in attributes, b"hunter2" in content) == (0o600, 0, 0, False, True)
    assert attributes[LABEL] == before[OTHERS[0]][3][LABEL]
    assert exact(node, OTHERS[1:2])[OTHERS[1]][:4] == before[OTHERS[1]][:4]
    assert not (node.root / OTHERS[2]).exists()
    succeed(node, "apply")
    succeed(node, "revert")
    assert exact(node) == before


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_dnf_conf_gets_its_group_back_when_the_credentials_leave(node: Node, mode: int) -> None:
    """`credentials_in_yum = false`, then revert: whatever its mode was."""
    path = node.root / OTHERS[0]
    os.removexattr(path, ACL)
    path.chmod(mode)
    before = exact(node)
    succeed(node, "apply")
    assert exact(node, OTHERS[:1])[OTHERS[0]][:3] == (0o600, 0, 0)
    node.settings(PRIVATE.replace("true", "false"))
    succeed(node, "apply")
    assert exact(node, OTHERS[:1])[OTHERS[0]][:4] == before[OTHERS[0]][:4]
    succeed(node, "revert")
    assert exact(node) == before


def test_a_chown_by_others_is_kept(node: Node) -> None:
    """What others gave to a file while it was public is what it gets back."""
    node.settings(PRIVATE.replace("true", "false"))
    succeed(node, "apply")
    os.chown(node.root / OTHERS[0], 77, 88)
    node.settings(PRIVATE)
    succeed(node, "apply")
    succeed(node, "revert")
    assert exact(node, OTHERS[:1])[OTHERS[0]][1:3] == (77, 88)


def test_a_baseline_of_an_earlier_version_is_completed(node: Node) -> None:
    """It has no attributes: they are read before the file becomes private."""
    before = exact(node)
    node.settings(PRIVATE.replace("true", "false"))
    succeed(node, "apply")
    data = json.loads(node.read(BASELINE))
    for record in data["files"].values():
        record.pop("attributes", None)
    node.write(BASELINE, json.dumps(data).encode(), 0o600)
    node.settings(PRIVATE)
    succeed(node, "apply")
    succeed(node, "revert")
    assert exact(node, OTHERS[:2]) == {name: before[name] for name in OTHERS[:2]}


def test_the_saved_copy_of_an_edited_file_is_its_authors(node: Node) -> None:
    """revert keeps an edited drop-in as a copy, which its author must still be able to read."""
    succeed(node, "apply")
    path = node.root / EnvironmentDropin.path_of("docker.service")[1:]
    path.write_bytes(b"# edited\n")
    path.chmod(0o640)
    os.chown(path, 77, 88)
    succeed(node, "revert")
    copy = path.with_name(path.name + ".eks-proxy-agent-save").stat()
    assert (copy.st_uid, copy.st_gid, stat.S_IMODE(copy.st_mode)) == (77, 88, 0o640)


# --- what could not be done -----------------------------------------------------------------------


@pytest.mark.parametrize("command", ["clean", "revert"])
def test_the_record_of_a_file_that_could_not_be_restored_stays(node: Node, command: str) -> None:
    """The next run does the rest; the records of the other files are gone."""
    before = exact(node, OTHERS[1:2])
    succeed(node, "apply")
    path = node.root / OTHERS[1]
    content = path.read_bytes()
    path.unlink()
    path.mkdir()
    assert node.main(command).code == 1
    files = json.loads(node.read(BASELINE))["files"]
    assert "/" + OTHERS[1] in files
    assert "/" + OTHERS[0] not in files
    path.rmdir()
    path.write_bytes(content)
    os.chown(path, *before[OTHERS[1]][1:3])
    succeed(node, command)
    if command == "revert":
        assert path.read_bytes() == before[OTHERS[1]][4]
    assert PROXY.encode() not in path.read_bytes()


@pytest.mark.parametrize("command", ["clean", "revert"])
def test_the_path_of_metrics_that_could_not_be_removed_stays(node: Node, command: str) -> None:
    """status.json has it, and the exit code is 1."""
    (node.root / "srv").mkdir()
    node.settings(PRIVATE + '[watch]\nmetrics = "/srv"\n')
    succeed(node, "apply")
    data = json.loads(node.read("run/eks-proxy-agent/status.json"))
    data["metrics"] = {"path": f"/srv/{METRICS_FILE}", "error": None}
    node.write("run/eks-proxy-agent/status.json", json.dumps(data).encode())
    (node.root / "srv" / METRICS_FILE).mkdir()
    done = node.main(command)
    assert (done.code, f"/srv/{METRICS_FILE}: cannot be removed" in done.err) == (1, True)
    (node.root / "srv" / METRICS_FILE).rmdir()
    node.write(f"srv/{METRICS_FILE}", b"")
    assert f"removed /srv/{METRICS_FILE}" in succeed(node, command)
    assert node.read("run/eks-proxy-agent/status.json") == ""


def test_a_unit_that_could_not_be_disabled_stays_recorded(node: Node) -> None:
    """revert is repeated until systemctl works."""
    succeed(node, "apply")
    data = json.loads(node.read(BASELINE))
    data["enabled"] = ["docker.service"]
    node.write(BASELINE, json.dumps(data).encode(), 0o600)
    Offline.fails = True
    assert node.main("revert").code == 1
    assert json.loads(node.read(BASELINE))["enabled"] == ["docker.service"]
    Offline.fails = False
    assert "disabled docker.service" in succeed(node, "revert")
    assert node.read(BASELINE) == ""


# --- temporary files ------------------------------------------------------------------------------


@pytest.mark.parametrize("commands", [("revert",), ("apply", "revert"), ("clean",)])
def test_no_temporary_file_of_a_killed_run_stays(node: Node, commands: tuple[str, ...]) -> None:
    """Of any file of the agent, also of those that the next run has no reason to write."""
    metrics = "var/lib/node_exporter/textfile_collector/"
    (node.root / metrics).mkdir(parents=True)
    succeed(node, "apply")
    instance = "var/lib/eks-proxy-agent/instances/i-0123456789abcdef0/"
    places = [
        *("var/lib/eks-proxy-agent/" + name for name in ("baseline.json", "prepared.json", "trust-pending")),
        *("run/eks-proxy-agent/" + name for name in ("ready", "reload-pending", "status.json", "watch.json")),
        *(
            instance + name
            for name in ("flags.json", "kept.json", "facts.json", "direct.json", "restarts.json", "bootstrap.json")
        ),
        *OTHERS,
        "run/eks-proxy-agent/proxies.json",
        "etc/eks-proxy-agent/node.env",
        metrics + METRICS_FILE,
    ]
    for place in places:
        directory, name = os.path.split(place)
        node.write(f"{directory}/.{name}.eks-proxy-agent", b"half")
    for command in commands:
        succeed(node, command)
    assert sorted(path for path in node.root.rglob(".*.eks-proxy-agent")) == []
    assert list(node.root.glob("run/eks-proxy-agent/*")) == []
