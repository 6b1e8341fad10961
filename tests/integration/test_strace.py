"""What the kernel sees: durable order of the calls, nothing written when nothing is new, and a real
SIGKILL anywhere.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
from pathlib import Path

import attrs
import pytest

from agent.edges.systemd import OfflineSystemd
from tests.integration.scratch import PROXY, REPOSITORY, Node

CALLS = "openat,creat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,rmdir,chmod,fchmod,link,symlink,truncate,ftruncate,utimensat"


@attrs.frozen
class Call:
    """A system call that succeeded: its name, the paths (of a descriptor the one behind it), its
    text.
    """

    name: str
    paths: tuple
    text: str

    @property
    def opens_for_writing(self):
        return self.name in ("openat", "creat") and bool(re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", self.text))


@pytest.fixture(autouse=True)
def strace(monkeypatch):
    """Strace that may trace (a container can forbid it); and no systemctl, which has calls of its
    own.
    """
    if shutil.which("strace") is None:
        pytest.skip("no strace here (tests/packages.txt)")
    probe = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], stderr=subprocess.PIPE, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"strace may not trace here: {probe.stderr}")
    monkeypatch.setattr(OfflineSystemd, "show", lambda self, names: {})


@pytest.fixture
def node(tmp_path):
    """A realistic tree on a disk."""
    (tmp_path / "node").mkdir()
    return Node(tmp_path / "node")


def run(node, command, *options, log):
    """Run a command under strace with these options; no bytecode is written and nothing found in
    PATH.
    """
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
    """The calls of a command that went well, with paths as on the node; the ones on other files are
    left out.
    """
    log = node.directory / "trace"
    done = run(node, command, "-e", "trace=" + CALLS, log=log)
    assert done.returncode == 0, done.stderr
    calls = []
    for line in log.read_text().splitlines():
        match = re.fullmatch(r"\d+ +(\w+)\((.*)\) += (?:\d+|0x\w+)(?:<(.*)>)?(?: \(.*\))?", line)
        if match is None:
            continue
        name, arguments, opened = match.groups()
        found = re.findall(r'"([^"]*)"|\d+<([^>]*)>', arguments) if opened is None else [(opened, "")]
        paths = tuple(
            (text or behind).replace(str(node.root), "", 1) for text, behind in found if str(node.root) in text + behind
        )
        if paths:
            calls.append(Call(name, paths, line))
    return calls


def test_every_file_is_durable_before_the_next_one_is_begun(node):
    """Written, synced, renamed, its directory synced, in this order and without another file in
    between.
    """
    calls = [call for call in traced(node) if call.name in ("write", "fsync", "rename") or call.opens_for_writing]
    calls = [call for call in calls if not call.paths[0].endswith("/lock")]
    renamed = [call.paths for call in calls if call.name == "rename"]
    for temporary, path in renamed:
        directory = os.path.dirname(path)
        assert temporary == f"{directory}/.{os.path.basename(path)}.eks-proxy-agent"
        start = next(number for number, call in enumerate(calls) if temporary in call.paths)
        story = [(call.name, call.paths) for call in calls[start:]]
        end = story.index(("rename", (temporary, path))) + 2
        wanted = ["openat", *(["write"] if node.read(path[1:]) else []), "fsync", "rename", "fsync"]
        assert [name for name, _ in story[:end]] == wanted, path
        assert [paths for _, paths in story[:end]] == [(temporary,)] * (len(wanted) - 2) + [
            (temporary, path),
            (directory,),
        ]
    assert {path for _, path in renamed if path.startswith("/etc")} == {
        "/etc/eks-proxy-agent/node.env",
        "/etc/environment",
        "/etc/dnf/dnf.conf",
        "/etc/systemd/system/docker.service.d/90-eks-proxy.conf",
        "/etc/systemd/system/kubelet.service.d/90-eks-proxy.conf",
    }


def test_the_baseline_is_durable_before_the_first_change(node):
    """And every new directory is synced in its parent before something is put into it."""
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


def test_nothing_but_temporary_files_is_ever_opened_for_writing(node):
    """No file is written in place, not even by O_TRUNC; the lock holds nothing that matters."""
    for call in traced(node):
        if call.opens_for_writing:
            assert call.paths[0].endswith((".eks-proxy-agent", "/lock")), call.text
        assert call.name not in ("truncate", "link", "symlink", "utimensat"), call.text


def test_a_second_apply_touches_nothing_below_etc_and_var(node):
    """It opens nothing for writing, and renames, removes, makes or syncs nothing."""
    node.apply()
    for call in traced(node):
        if not call.paths[0].startswith("/run/"):
            assert call.name == "openat", call.text
            assert not call.opens_for_writing, call.text


def test_revert_takes_the_baseline_away_last(node):
    """Whatever was killed before that can be reverted again."""
    node.apply()
    calls = [call for call in traced(node, "revert") if call.name in ("rename", "unlink", "rmdir")]
    names = [call.paths[-1] for call in calls]
    last = max(number for number, name in enumerate(names) if name.startswith("/etc"))
    assert names.index("/var/lib/eks-proxy-agent/baseline.json") > last


# --- killed
# -----------------------------------------------------------------------------------------------------------


def points(node, command, names):
    """(system call, which one of them) for each that a command makes in the tree, counted as strace
    counts them.
    """
    log = node.directory / "points"
    done = run(node, command, "-e", "trace=" + ",".join(names), log=log)
    assert done.returncode == 0, done.stderr
    counts = dict.fromkeys(names, 0)
    found = []
    for line in log.read_text().splitlines():
        match = re.match(r"\d+ +(\w+)\(", line)
        if match is None:
            continue
        counts[match.group(1)] += 1
        if str(node.root) in line and "ENOENT" not in line:
            found.append((match.group(1), counts[match.group(1)]))
    return found


@pytest.mark.parametrize(
    ("command", "names"), [("apply", ["write", "fsync", "rename"]), ("revert", ["rename", "unlink", "rmdir"])]
)
def test_sigkill_at_any_call_harms_no_file(node, tmp_path, command, names):
    """Every file is wholly old or wholly new, the next apply makes the same tree, and revert the
    original one.
    """
    pristine = node.tree(ours=True)
    node.apply()
    applied = node.tree()
    if command == "apply":
        node.revert()
    shutil.copytree(node.directory, tmp_path / "start", symlinks=True)
    old = node.tree()
    todo = points(node, command, names)
    new = node.tree()
    assert len(todo) > 9
    assert {name for name, _ in todo} == set(names)

    def killed(point):
        name, number = point
        directory = tmp_path / f"{name}-{number}"
        shutil.copytree(tmp_path / "start", directory, symlinks=True)
        cut = copy_of(node, directory)
        done = run(cut, command, "-e", f"inject={name}:signal=KILL:when={number}", log=directory / "log")
        assert done.returncode == -9 or "+++ killed by SIGKILL +++" in (directory / "log").read_text(), point
        return cut

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for point, cut in zip(todo, pool.map(killed, todo)):
            temporary = cut.temporaries()
            for path, entry in cut.tree().items():
                assert path in temporary or entry in (old.get(path), new.get(path)), f"{path} is half done: {point}"
            cut.apply()
            assert cut.tree() == applied, point
            assert cut.temporaries() == [], point
            cut.revert()
            assert cut.tree(ours=True) == pristine, point


def copy_of(node, directory):
    """The Node of a copied directory."""
    copy = Node.__new__(Node)
    copy.directory, copy.root = directory, directory / Path(node.root).name
    return copy


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
        ("rename:error=EPERM:when=3", "/etc/environment: cannot be written: Operation not permitted", True),
        ("mkdir:error=EROFS:when=4", "cannot be created: Read-only file system", True),
        ("fsync:error=EIO:when=1..99", "Input/output error", False),
    ],
)
def test_a_failing_call_is_told_and_made_up_for(node, tmp_path, fault, text, changed):
    """Exit code 1, the file and the reason on one line, no traceback; the other files are done, and
    these the next time.
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
