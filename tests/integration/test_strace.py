"""System calls of the agent: durable writes in order, no write without a change, failures."""

import os
import re
import shutil
import subprocess

import pytest

from agent.core.record import record
from agent.edges.systemd import OfflineSystemd
from tests.integration.scratch import PROXY, REPOSITORY, Node, rename_to_former

CALLS = "openat,creat,write,pwrite64,fsync,fdatasync,/^rename,/^unlink,/^mkdir,rmdir,/^f?chmod,/^link,/^symlink,truncate,ftruncate,utimensat"

#: A descriptor with its path, and a name below it.
ARGUMENT = re.compile(r'(?:\d+|AT_FDCWD)<([^>]*)>(?:, "([^"]*)")?')


def name_of(call, line):
    """The name of a system call without a descriptor, which the agent gives to each."""
    name = re.sub(r"(?<=.)at2?$", "", call) if call != "openat" else call
    return "rmdir" if "AT_REMOVEDIR" in line else name


@record
class Call:
    """A successful system call: its name, its paths, its text.

    The path of a descriptor is that of its file.
    """

    name: str
    paths: tuple
    text: str

    @property
    def opens_for_writing(self):
        return self.name in ("openat", "creat") and bool(re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", self.text))


@pytest.fixture(autouse=True)
def strace(monkeypatch):
    """Skip without a strace that may trace (a container can forbid it).

    systemctl is not called, because it makes system calls of its own.
    """
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (tests/packages.txt)")
    probe = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], stderr=subprocess.PIPE, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"strace is not permitted to trace: {probe.stderr}")
    monkeypatch.setattr(OfflineSystemd, "show", lambda self, names: {})


@pytest.fixture
def node(tmp_path):
    """A realistic tree on a disk."""
    (tmp_path / "node").mkdir()
    return Node(tmp_path / "node")


def run(node, command, *options, log):
    """Run a command under strace with these options, without bytecode and with an empty PATH."""
    environment = {"PYTHONDONTWRITEBYTECODE": "1", "PATH": "/nonexistent"}
    line = [
        shutil.which("strace"),
        "-qq",
        "-y",
        "-s0",
        "--seccomp-bpf",
        "-f",
        "-o",
        str(log),
        *options,
        *node.argv(command),
    ]
    return subprocess.run(line, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def traced(node, command="apply"):
    """The calls of a successful command on files of the node, with paths as on the node."""
    log = node.directory / "trace"
    done = run(node, command, "-e", "trace=" + CALLS, log=log)
    assert done.returncode == 0, done.stderr
    calls = []
    for line in log.read_text().splitlines():
        match = re.fullmatch(r"\d+ +(\w+)\((.*)\) += (?:\d+|0x\w+)(?:<(.*)>)?(?: \(.*\))?", line)
        if match is None:
            continue
        name, arguments, opened = match.groups()
        paths = tuple(
            os.path.join(path, text).rstrip("/").replace(str(node.root), "", 1)
            for path, text in ([(opened, "")] if opened else ARGUMENT.findall(arguments))
            if os.path.join(path, text).startswith(str(node.root))
        )
        if paths:
            calls.append(Call(name_of(name, line), paths, line))
    return calls


def test_every_file_is_durable_before_the_next_one_is_begun(node):
    """Write, fsync, rename, fsync of the directory, without another file in between."""
    calls = [call for call in traced(node) if call.name in ("write", "fsync", "rename") or call.opens_for_writing]
    calls = [call for call in calls if not call.paths[0].endswith("/lock")]
    renames = [call.paths for call in calls if call.name == "rename"]
    for temporary, path in renames:
        directory = os.path.dirname(path)
        assert temporary == f"{directory}/.{os.path.basename(path)}.eks-proxy-agent"
        start = next(number for number, call in enumerate(calls) if temporary in call.paths)
        sequence = [(call.name, call.paths) for call in calls[start:]]
        stop = sequence.index(("rename", (temporary, path))) + 2
        expected = ["openat", *(["write"] if node.read(path[1:]) else []), "fsync", "rename", "fsync"]
        assert [name for name, _ in sequence[:stop]] == expected, path
        assert [paths for _, paths in sequence[:stop]] == [(temporary,)] * (len(expected) - 2) + [
            (temporary, path),
            (directory,),
        ]
    assert {path for _, path in renames if path.startswith("/etc")} == {
        "/etc/eks-proxy-agent/node.env",
        "/etc/environment",
        "/etc/dnf/dnf.conf",
        "/etc/systemd/system/docker.service.d/zz-eks-proxy.conf",
        "/etc/systemd/system/kubelet.service.d/zz-eks-proxy.conf",
    }


def test_the_baseline_is_durable_before_the_first_change(node):
    """A new directory is synced in its parent before a file is created in it."""
    calls = traced(node)
    changes = [
        number
        for number, call in enumerate(calls)
        if call.name in ("rename", "mkdir") and call.paths[-1].startswith("/etc")
    ]
    (baseline,) = [
        number
        for number, call in enumerate(calls)
        if call.name == "rename" and call.paths[1].endswith("/baseline.json")
    ]
    assert calls[baseline + 2].name == "fsync" or calls[baseline + 1].name == "fsync"
    assert baseline + 1 < changes[0]
    for number, call in enumerate(calls):
        if call.name == "mkdir":
            (directory,) = call.paths
            synced = [later.paths[0] for later in calls[number:] if later.name == "fsync"]
            assert synced[0] == os.path.dirname(directory)


def test_a_new_drop_in_is_durable_before_the_old_one_is_removed(node):
    """An upgrade renames the drop-ins; a power cut leaves each unit at least one of them."""
    node.apply()
    rename_to_former(node.root)
    calls = [(call.name, call.paths[-1]) for call in traced(node)]
    for unit in ("docker", "kubelet"):
        directory = f"/etc/systemd/system/{unit}.service.d"
        created = calls.index(("rename", directory + "/zz-eks-proxy.conf"))
        synced = calls.index(("fsync", directory), created)
        assert synced < calls.index(("unlink", directory + "/90-eks-proxy.conf"))


def test_a_removal_is_durable_before_the_next_change(node):
    """Otherwise a power cut brings back a drop-in whose original the baseline no longer has."""
    node.apply()
    calls = [call for call in traced(node, "revert") if call.name in ("rename", "unlink", "fsync")]
    calls = [call for call in calls if not call.paths[0].startswith("/run/")]
    removals = [number for number, call in enumerate(calls) if call.name == "unlink"]
    assert "/var/lib/eks-proxy-agent/baseline.json" in [calls[number].paths[0] for number in removals]
    for number in removals:
        following = calls[number + 1]
        assert (following.name, following.paths) == ("fsync", (os.path.dirname(calls[number].paths[0]),))


def test_only_temporary_files_are_opened_for_writing(node):
    """No file is written in place, not even with O_TRUNC; the lock file has no content."""
    for call in traced(node):
        if call.opens_for_writing:
            assert call.paths[0].endswith((".eks-proxy-agent", "/lock")), call.text
        assert call.name not in ("truncate", "link", "symlink", "utimensat"), call.text


def test_a_second_apply_writes_nothing_in_etc_and_var(node):
    """It opens no file for writing, and renames, removes, creates or syncs nothing."""
    node.apply()
    for call in traced(node):
        if not call.paths[0].startswith("/run/"):
            assert call.name == "openat", call.text
            assert not call.opens_for_writing, call.text


def test_revert_removes_the_baseline_last(node):
    """So a killed revert can be repeated."""
    node.apply()
    calls = [call for call in traced(node, "revert") if call.name in ("rename", "unlink", "rmdir")]
    names = [call.paths[-1] for call in calls]
    last = max(number for number, name in enumerate(names) if name.startswith("/etc"))
    assert names.index("/var/lib/eks-proxy-agent/baseline.json") > last


# --- failing calls (tests/faults injects all others) --------------------------------------------


@pytest.mark.parametrize(
    ("fault", "text", "changed"),
    [
        (
            "write:error=ENOSPC:when=1",
            "/var/lib/eks-proxy-agent/baseline.json: cannot be written: No space left on device",
            False,
        ),
        (
            "write:error=ENOSPC:when=2",
            "/etc/eks-proxy-agent/node.env: cannot be written: No space left on device",
            True,
        ),
        ("renameat:error=EPERM:when=3", "/etc/environment: cannot be written: Operation not permitted", True),
        ("mkdirat:error=EROFS:when=4", "cannot be created: Read-only file system", True),
        ("fsync:error=EIO:when=1..99", "Input/output error", False),
    ],
)
def test_a_failing_call_is_reported_and_the_next_run_completes(node, tmp_path, fault, text, changed):
    """Exit code 1, and one line with file and reason.

    The other files are written, and these by the next run.
    """
    pristine = node.tree()
    done = run(node, "apply", "-e", "inject=" + fault, log=tmp_path / "log")
    assert done.returncode == 1, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert node.temporaries() == []
    assert (PROXY.encode() in node.read("etc/dnf/dnf.conf")) is changed
    if not changed:
        assert node.tree() == pristine
    node.apply()
    node.revert()
    assert node.tree() == pristine
