"""A file or link that cannot be looked at is not absent: nothing is replaced or removed for it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import structlog

from agent.core.plan.baseline import Attributes
from agent.core.status.records import METRICS_FILE
from agent.edges import directory, files, tree
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.errors import FileError
from agent.node import host as host_module
from tests.integration.command_line import PROXY, Node

FAILURES = [errno.EACCES, errno.EIO]
DROP_INS = "etc/systemd/system/docker.service.d"


class FailingOs:
    """The `os` of the file edge, in which one call on one name fails."""

    def __init__(self, call: str, name: str, number: int) -> None:
        self._call, self._name, self._number = call, name, number

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._failing(real) if name == self._call else real

    def _failing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*arguments: Any, **keywords: Any) -> Any:
            if os.path.basename(_path(arguments[0])) == self._name:
                raise OSError(self._number, os.strerror(self._number))
            return real(*arguments, **keywords)

        return failing


def _path(argument: Any) -> str:
    return os.readlink(f"/proc/self/fd/{argument}") if isinstance(argument, int) else str(argument)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A node with settings, whose drop-in directory of docker belongs to the distribution."""
    monkeypatch.setattr(host_module, "_units", lambda files: Systemd(running=False))
    structlog.reset_defaults()
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[node]\nunits = ["docker"]\n[aws]\ndirect = []\n')
    (node.root / DROP_INS).mkdir()
    yield node
    structlog.reset_defaults()


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, int], None]:
    """A function that lets a call of the file edge fail."""

    def fail(call: str, name: str, number: int) -> None:
        for module in (directory, files, tree):
            monkeypatch.setattr(module, "os", FailingOs(call, name, number))

    return fail


@pytest.mark.parametrize("number", FAILURES)
def test_an_unreadable_link_is_not_replaced(
    node: Node, monkeypatch: pytest.MonkeyPatch, fail: Any, number: int
) -> None:
    """yum.conf stays a link; it is named, and the other files are written."""
    fail("readlink", "yum.conf", number)
    done = node.main("apply")
    assert (done.code, f"/etc/yum.conf: cannot be resolved: {os.strerror(number)}" in done.err) == (1, True)
    assert os.readlink(node.root / "etc/yum.conf") == "dnf/dnf.conf"
    assert node.variables()["http_proxy"] == PROXY


@pytest.mark.parametrize("number", FAILURES)
@pytest.mark.parametrize("call", ["open", "stat"])
def test_an_unreadable_directory_does_not_become_the_agents(
    node: Node, monkeypatch: pytest.MonkeyPatch, fail: Any, call: str, number: int
) -> None:
    """revert would remove a directory that the agent took for its own."""
    before = node.tree("var/lib/eks-proxy-agent")
    fail(call, os.path.basename(DROP_INS), number)
    node.main("apply")
    monkeypatch.undo()
    baseline = json.loads(node.read("var/lib/eks-proxy-agent/baseline.json"))
    assert "/" + DROP_INS not in baseline["folders"]
    assert node.main("revert").code == 0
    assert node.tree("var/lib/eks-proxy-agent") == before


@pytest.mark.parametrize("number", FAILURES)
@pytest.mark.parametrize("command", ["revert", "clean"])
def test_the_path_of_the_metrics_is_not_lost(
    node: Node, monkeypatch: pytest.MonkeyPatch, fail: Any, command: str, number: int
) -> None:
    """status.json stays if it cannot be read, and the next run removes the file."""
    assert node.main("apply").code == 0
    name = "run/eks-proxy-agent/status.json"
    metrics = {"path": "/srv/" + METRICS_FILE, "error": None}
    node.write(name, json.dumps({**json.loads(node.read(name)), "metrics": metrics}).encode())
    node.write("srv/" + METRICS_FILE, b"")
    fail("open", "status.json", number)
    done = node.main(command)
    assert (done.code, f"/{name}: cannot be read: {os.strerror(number)}" in done.err) == (1, True)
    monkeypatch.undo()
    assert f"removed /srv/{METRICS_FILE}" in node.main(command).out
    assert node.read(name) == ""


@pytest.mark.parametrize("number", FAILURES)
def test_an_unreadable_status_is_not_replaced(
    node: Node, monkeypatch: pytest.MonkeyPatch, fail: Any, number: int
) -> None:
    """It has fields that only the daemon writes, such as the path of the metrics."""
    assert node.main("apply").code == 0
    name = "run/eks-proxy-agent/status.json"
    before = node.read(name)
    fail("open", "status.json", number)
    done = node.main("apply")
    assert (done.code, f"/{name}: cannot be read: {os.strerror(number)}" in done.err) == (1, True)
    assert node.read(name) == before
    monkeypatch.undo()
    assert node.main("apply").code == 0


def test_a_directory_that_is_not_recorded_is_not_created(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """revert would not remove it; a look that fails once must not matter for ever."""
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[node]\nunits = ["kubelet"]\n[aws]\ndirect = []\n')
    before = node.tree("var/lib/eks-proxy-agent")
    real, failed = FileSystem.missing_directories, []

    def missing_directories(self: FileSystem, path: str) -> list[str]:
        if "kubelet" in path and not failed:
            failed.append(path)
            raise FileError(f"{path}: cannot be read: {os.strerror(errno.EIO)}")
        return real(self, path)

    monkeypatch.setattr(FileSystem, "missing_directories", missing_directories)
    done = node.main("apply")
    assert (done.code, f"{failed[0]}: cannot be read" in done.err) == (1, True)
    assert not (node.root / "etc/systemd/system/kubelet.service.d").exists()
    assert node.main("apply").code == 0
    assert node.main("revert").code == 0
    assert node.tree("var/lib/eks-proxy-agent") == before


@pytest.mark.parametrize("number", FAILURES)
def test_a_file_is_not_restored_if_no_name_for_its_copy_is_known(
    node: Node, monkeypatch: pytest.MonkeyPatch, fail: Any, number: int
) -> None:
    """Any other name would do, but the search might not end; the next revert restores the file."""
    before = node.tree("var/lib/eks-proxy-agent")
    assert node.main("apply").code == 0
    fail("stat", "environment.eks-proxy-agent-save", number)
    done = node.main("revert")
    assert (done.code, "/etc/environment: no name for its copy: " in done.err) == (1, True)
    assert node.variables()["http_proxy"] == PROXY
    monkeypatch.undo()
    assert node.main("revert").code == 0
    assert node.tree("var/lib/eks-proxy-agent") == before


@pytest.mark.parametrize("number", FAILURES)
@pytest.mark.parametrize(
    ("call", "look"),
    [
        ("listdir", lambda disk: disk.names("/etc")),
        ("stat", lambda disk: disk.is_directory("/etc")),
        ("stat", lambda disk: disk.status("/etc")),
        ("stat", lambda disk: disk.remove("/etc")),
        ("readlink", lambda disk: disk.resolve("/etc")),
        ("readlink", lambda disk: disk.read("/etc")),
        ("open", lambda disk: disk.missing_directories("/etc/x")),
        ("open", lambda disk: disk.sweep("/etc/x")),
        ("open", lambda disk: disk.remove("/etc/x")),
        ("open", lambda disk: disk.remove_directory("/etc/x")),
        ("rmdir", lambda disk: disk.remove_directory("/etc")),
    ],
)  # fmt: skip
def test_each_failed_look_is_an_error(tmp_path: Path, fail: Any, call: str, look: Any, number: int) -> None:
    """The error names the path and the reason."""
    (tmp_path / "etc").mkdir()
    disk = FileSystem(str(tmp_path))
    fail(call, "etc", number)
    with pytest.raises(FileError, match=rf"^/etc(/x)?: .*{os.strerror(number)}$"):
        look(disk)


@pytest.mark.parametrize("number", [errno.EIO, errno.EPERM, errno.EROFS])
def test_a_temporary_file_that_cannot_be_removed_is_an_error(tmp_path: Path, fail: Any, number: int) -> None:
    """Otherwise it would stay for ever without a word."""
    (tmp_path / ".x.eks-proxy-agent").touch()
    fail("unlink", ".x.eks-proxy-agent", number)
    with pytest.raises(FileError, match=r"^/x: its temporary file cannot be removed: "):
        FileSystem(str(tmp_path)).sweep("/x")


@pytest.mark.parametrize("number", [errno.ENOTEMPTY, errno.EBUSY])
def test_a_directory_in_use_stays(tmp_path: Path, fail: Any, number: int) -> None:
    """It is not empty, or a mount point."""
    (tmp_path / "x").mkdir()
    fail("rmdir", "x", number)
    assert not FileSystem(str(tmp_path)).remove_directory("/x")


@pytest.mark.parametrize("call", ["listxattr", "getxattr"])
@pytest.mark.parametrize("number", FAILURES)
def test_unreadable_attributes_are_not_lost(tmp_path: Path, fail: Any, call: str, number: int) -> None:
    """A file whose attributes cannot be read is not replaced by one without them."""
    (tmp_path / "x").write_bytes(b"old")
    os.setxattr(tmp_path / "x", "user.author", b"others")
    disk = FileSystem(str(tmp_path))
    fail(call, "x", number)
    assert os.strerror(number) in disk.state("/x").problem
    with pytest.raises(FileError, match=rf"^/x: cannot be written: {os.strerror(number)}$"):
        disk.write("/x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOSPC])
def test_a_file_is_not_written_without_an_attribute(tmp_path: Path, fail: Any, number: int) -> None:
    """Without its ACL the group of a file would get what the mask allowed."""
    (tmp_path / "x").write_bytes(b"old")
    os.setxattr(tmp_path / "x", "user.author", b"others")
    fail("setxattr", ".x.eks-proxy-agent", number)
    with pytest.raises(FileError, match=rf"^/x: cannot be written: {os.strerror(number)}$"):
        FileSystem(str(tmp_path)).write("/x", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_label_that_may_not_be_set_is_that_of_the_directory(tmp_path: Path, fail: Any, number: int) -> None:
    """A user who is not root may write a file of a tree, but not its SELinux label."""
    attributes = Attributes(os.geteuid(), os.getegid(), (("security.selinux", b"label"),))
    fail("setxattr", ".x.eks-proxy-agent", number)
    FileSystem(str(tmp_path)).write("/x", b"new", 0o644, attributes)
    assert (tmp_path / "x").read_bytes() == b"new"


@pytest.mark.parametrize("number", FAILURES)
@pytest.mark.parametrize("name", ["reload-pending", "trust-pending"])
def test_pending_work_that_cannot_be_looked_at_is_not_done(tmp_path: Path, fail: Any, name: str, number: int) -> None:
    """Otherwise systemd would not be reloaded, or the trust store not rebuilt."""
    state = State(FileSystem(str(tmp_path)))
    for place in ("run/eks-proxy-agent", "var/lib/eks-proxy-agent"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / name).touch()
    fail("open", name, number)
    with pytest.raises(FileError, match=rf"/{name}: cannot be read: {os.strerror(number)}$"):
        assert state.reload_pending if name == "reload-pending" else state.trust_pending
