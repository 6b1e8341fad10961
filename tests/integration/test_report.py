"""`report`: an archive without secrets, of a healthy or a broken node."""

from __future__ import annotations

import base64
import contextlib
import errno
import io
import json
import os
import pty
import re
import resource
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.commands import report
from agent.core.report.contents import Member
from agent.edges import new_file
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.errors import FileError
from agent.node.host import Host
from agent.report import collectors, state, units
from agent.report.collectors import COLLECTORS, Collector
from agent.report.node import NotHere, ReportedNode, Stopped
from agent.report.runner import collect
from tests.boot.harness import secrets
from tests.integration.command_line import PROXY, REPOSITORY, Node, environment
from tests.integration.programs import Programs
from tests.integration.thread_limit import limit_threads

PASSWORD = "hunter2Hunter:p@ss/w%rd ~#;$'\"\\ü"
#: Secrets of others, under names that no list of words has.
OTHERS = ("zq7mysql", "zq7github", "zq7dropin", "zq7command", "zq7repo", "zq7userdata", "zq7former", "zq7state")
USER_DATA = b"""\
Content-Type: multipart/mixed; boundary="b"

--b
Content-Type: text/x-shellscript; name="zq7userdata"

#!/bin/sh
export X=zq7userdata
--b
Content-Type: application/x-eks-proxy-agent

[watch]
interval = 77
--b--
"""


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node with a password, and with secrets of others in every file that a report reads."""
    node = Node(tmp_path)
    node.be(user_data_base64=base64.b64encode(USER_DATA).decode())
    node.write("etc/proxy.pass", f"alice:{PASSWORD}\n".encode(), 0o600)
    node.settings(
        f'[proxy]\nurl = "{PROXY}"\ncredentials_file = "/etc/proxy.pass"\n[node]\nunits = ["docker", "own"]\n'
    )
    node.settings('[bootstrap]\narguments = ["c", "--kubelet-extra-args", "--x=zq7command"]\n', "config.d/b.toml")
    node.write(
        "etc/environment", b"DB_PWD=zq7mysql\n# zq7mysql\nGITHUB_PAT='zq7github'\nhttp_proxy=http://a:zq7former@h:1\n"
    )
    node.write(
        "etc/dnf/dnf.conf",
        b"[main]\nx=zq7repo\nproxy_username=zq7repo\nproxy_password=zq7repo\n[a]\npassword=zq7repo\n",
    )
    unit = b"[Service]\nExecStart=/usr/bin/own zq7dropin\nEnvironment=K=zq7dropin\n# zq7dropin\nSetCredential=a:zq7dropin\n"
    node.write("usr/lib/systemd/system/own.service", unit)
    node.write("etc/systemd/system/own.service.d/a.conf", b"[Service]\nEnvironmentFile=/etc/own.env\n")
    node.write("etc/own.env", b"KEY_OF_OWN=zq7dropin\nhttps_proxy=http://b:zq7dropin@h:1\n")
    return node


class Archive:
    """A report that was written."""

    def __init__(self, content: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            self.entries = archive.getmembers()
            self.top = self.entries[0].name
            files = ((entry, archive.extractfile(entry)) for entry in self.entries if entry.isreg())
            self.texts = {entry.name.partition("/")[2]: file.read().decode() for entry, file in files if file}

    def json(self, name: str) -> Any:
        """Return the value of a member."""
        return json.loads(self.texts[name])

    @property
    def missing(self) -> str:
        """The part of README.txt about what was not collected."""
        return self.texts["README.txt"].partition("Not collected:")[2]


def written(node: Node, *flags: str, facts: bool = True) -> Archive:
    """Run `report`, and return what it wrote."""
    path = node.root.parent / "report.tar.gz"
    path.unlink(missing_ok=True)
    done = node.main("report", "--output", str(path), *flags, facts=facts)
    assert (done.code, done.out) == (0, f"{path}\n"), done.both
    return Archive(path.read_bytes())


def test_report_has_everything_that_a_tree_has(node: Node) -> None:
    """One directory, private files, one time stamp, README.txt first, and JSON is JSON."""
    assert node.run("apply").code == 0
    path = node.root.parent / "report.tar.gz"
    done = node.run("report", "--output", str(path), preexec_fn=lambda: os.umask(0))
    assert (done.code, done.out) == (0, f"{path}\n")
    assert done.err.splitlines()[1].startswith("note: passwords and tokens are masked, but it names hosts")
    assert "\r" not in done.err
    assert path.stat().st_mode & 0o777 == 0o600
    archive = Archive(path.read_bytes())
    assert archive.top.startswith("eks-proxy-agent-i-0123456789abcdef0-2")
    assert next(iter(archive.texts)) == "README.txt"
    assert {entry.mode for entry in archive.entries} == {0o700, 0o600}
    assert len({entry.mtime for entry in archive.entries}) == 1
    names = {collector.path for collector in COLLECTORS}
    live = {
        "journal.txt",
        "journal-previous.txt",
        "units.txt",
        "processes.txt",
        "systemd.txt",
        "versions.json",
        "clock.txt",
    }
    assert set(archive.texts) == names - live - {"metrics.prom"} | {"README.txt"}
    assert archive.missing.count("requires a running machine, not a directory tree (--root)") == len(live)
    assert archive.json("plan.json")["schema"] == archive.json("check.json")["schema"] == 1
    assert archive.json("status.json")["phase"] == "configured"
    assert {row["key"]: row["value"] for row in archive.json("config.json")}["arguments"][1] == "--kubelet-extra-args"
    assert [part["type"] for part in archive.json("user-data.json")["parts"]][:2] == [
        "text/x-shellscript",
        "application/x-eks-proxy-agent",
    ]
    assert (
        "# /etc/systemd/system/own.service.d/a.conf\n[Service]\nEnvironmentFile=/etc/own.env\n"
        in archive.texts["unit-files.txt"]
    )
    assert (
        "# /etc/systemd/system/own.service.d/zz-eks-proxy.conf\n[Service]\nEnvironmentFile=-/etc/environment\n"
        in archive.texts["unit-files.txt"]
    )
    assert "# /etc/own.env\nKEY_OF_OWN=***\nhttps_proxy=http://***@h:1\n" in archive.texts["environment.txt"]
    assert archive.json("state.json")["/var/lib/eks-proxy-agent/baseline.json"]["files"]["/etc/environment"][
        "bytes_before"
    ]
    assert archive.json("files.json")["/etc/eks-proxy-agent/node.env"]["mode"] == "-rw-------"


@pytest.mark.parametrize("step", ["before apply", "after apply", "other password"])
def test_no_secret_of_anyone_is_in_the_archive(node: Node, step: str) -> None:
    """Neither the proxy's password in any encoding, nor a secret of another program."""
    known = secrets.traces(f"alice:{PASSWORD}")
    if step != "before apply":
        assert (
            node.run(
                "apply", "--set", 'proxy.credentials_command=["/bin/echo", "zq7state"]', "--set=proxy.credentials_file="
            ).code
            != 75
        )
        assert node.run("apply").code == 0
    if step == "other password":
        node.write("etc/proxy.pass", b"alice:An0therOne\n", 0o600)
        node.write(
            "etc/environment", node.read("etc/environment").encode() + b"Z=zq7mysql http_proxy=http://zq7mysql:1\n"
        )
        known += ("An0therOne",)
    archive = written(node)
    path = node.root.parent / "report.tar.gz"
    assert list(secrets.in_archive((*known, *OTHERS), path)) == []
    assert "***" in archive.texts["plan.txt"] + archive.texts["environment.txt"]


def test_files_of_the_operator_beside_the_settings_are_only_listed(node: Node) -> None:
    """A JSON file with secrets has its name and mode in the report, wherever it lies."""
    assert node.run("apply").code == 0
    secret = json.dumps({"secret_id": "zq7state", "password": "zq7state", "user_data": "zq7userdata", "a": "zq7state"})
    paths = [
        *("etc/eks-proxy-agent/vault.json", "etc/eks-proxy-agent/node-facts.json", "etc/eks-proxy-agent/facts.json"),
        *("var/lib/eks-proxy-agent/vault.json", "run/eks-proxy-agent/x/status.json", "srv/app/.docker/config.json"),
    ]
    for path in paths:
        node.write(path, secret.encode(), 0o600)
    (node.root / "etc/eks-proxy-agent/app").symlink_to("/srv/app")
    (node.root / "var/lib/eks-proxy-agent/instances/i-1").symlink_to("/srv/app")
    (node.root / "run/eks-proxy-agent/watch.json").unlink(missing_ok=True)
    (node.root / "run/eks-proxy-agent/watch.json").symlink_to("/srv/app/.docker/config.json")
    archive = written(node)
    assert list(secrets.in_archive(OTHERS, node.root.parent / "report.tar.gz")) == []
    listed = archive.json("files.json")
    assert {path: listed[f"/{path}"]["mode"] for path in paths[:-1]} == dict.fromkeys(paths[:-1], "-rw-------")
    assert listed["/etc/eks-proxy-agent/app"]["link"] is True
    assert not [path for path in listed if ".docker" in path]
    state = archive.json("state.json")
    assert state["/run/eks-proxy-agent/status.json"]["phase"] == "configured"
    assert "symbolic link" in state["/run/eks-proxy-agent/watch.json"]["problem"]


def test_links_and_depth_do_not_multiply_names(node: Node) -> None:
    """Links that lead up are listed once; too many names and levels are left out, with a note."""
    for directory in ("etc/eks-proxy-agent", "var/lib/eks-proxy-agent", "run/eks-proxy-agent"):
        (node.root / directory).mkdir(parents=True, exist_ok=True)
        for name in ("l1", "l2", "l3"):
            (node.root / directory / name).symlink_to(".")
    (node.root / "etc/eks-proxy-agent/l4").symlink_to("l4")
    (node.root / "etc/eks-proxy-agent/a/b/c/d").mkdir(parents=True)
    for number in range(300):
        (node.root / f"var/lib/eks-proxy-agent/{number:03}").touch()
    reported = ReportedNode(
        Host(FileSystem(str(node.root)), State(FileSystem(str(node.root))), Systemd(running=False)), ""
    )
    start = time.process_time()
    listed, note = state.files(reported)
    assert time.process_time() - start < 5
    assert len([path for path in listed if "/l" in path.rpartition("eks-proxy-agent")[2]]) == 7
    assert "problem" in listed["/etc/eks-proxy-agent/l4"]
    assert len(listed) < 300
    assert note.splitlines() == [
        "/etc/eks-proxy-agent/a/b/c: names left out: 1",
        "/var/lib/eks-proxy-agent: names left out: 103",
    ]
    reported.stop.set()
    with pytest.raises(Stopped):
        state.files(reported)


@pytest.mark.parametrize(
    "line",
    [
        'url = "http://corpuser:zq7state/proxy.corp:3128"',
        'url = "corpuser:zq7state/proxy.corp:3128"',
        "url = http://corpuser:zq7state;proxy.corp:3128",
        'https_url = ["http://corpuser:zq7state/proxy.corp:3128"]',
        'url = ["http://corpuser:zq7state,proxy.corp:3128"]',
    ],
)
def test_a_password_in_a_mistyped_url_is_not_in_the_archive(node: Node, line: str) -> None:
    """The settings are invalid, and each command reports the reason without the password."""
    node.settings(f"[proxy]\n{line}\n")
    archive = written(node)
    assert "proxy" in archive.texts["config-check.txt"]
    assert list(secrets.in_archive(OTHERS, node.root.parent / "report.tar.gz")) == []


def test_report_changes_nothing(node: Node) -> None:
    """No file of the tree is written, not even a lock or bytecode."""
    node.run("apply")
    before = {str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in sorted(node.root.rglob("*"))}
    written(node)
    assert before == {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in sorted(node.root.rglob("*"))
    }


def test_report_of_a_broken_node(node: Node) -> None:
    """With wrong settings, corrupt state and a FIFO, the rest is collected."""
    node.run("apply")
    node.settings("proxy.credentials_command = ['/bin/echo', 'zq7command\n")
    node.write("run/eks-proxy-agent/status.json", b"{")
    node.write("var/lib/eks-proxy-agent/baseline.json", b'{"files": 7}')
    os.mkfifo(node.root / "run/eks-proxy-agent/watch.json.d")
    (node.root / "etc/own.env").unlink()
    os.mkfifo(node.root / "etc/own.env")
    archive = written(node)
    assert "config.toml" in archive.texts["config-check.txt"]
    assert "exit code 78" in archive.texts["config-check.txt"]
    assert "config.json" in archive.missing
    assert "# /etc/own.env: is not a regular file\n" in archive.texts["environment.txt"]
    assert "corrupt" in archive.json("state.json")["/var/lib/eks-proxy-agent/baseline.json"]["problem"]
    assert [row["state"] for row in archive.json("check.json")["findings"] if row["group"] == "settings"] == ["fail"]
    assert "unit-files.txt" in archive.texts
    assert list(secrets.in_archive(OTHERS, node.root.parent / "report.tar.gz")) == []


@contextlib.contextmanager
def deaf_service() -> Iterator[str]:
    """Yield the address of a metadata service that accepts connections and never responds."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_commands_that_hang_are_ended(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metadata service that hangs for ten minutes costs only what depends on it."""
    monkeypatch.setattr(collectors, "AGENT_SECONDS", 3.5)
    with deaf_service() as endpoint:
        node.settings(f'[proxy]\nurl = "{PROXY}"\n[metadata]\nendpoint = "{endpoint}"\ndeadline = 600\n')
        start = time.monotonic()
        archive = written(node, facts=False)
    assert time.monotonic() - start < 25
    assert "plan.json" in archive.missing
    assert "eks-proxy-agent plan: timed out after 3.5 s" in archive.missing
    assert {"check.json", "status.json", "environment.txt"} <= set(archive.texts)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_an_interrupted_report_leaves_nothing(node: Node, number: int, code: int) -> None:
    """Ctrl-C exits with 130, SIGTERM ends it; neither a file nor a process is left."""
    output = node.root.parent / "out"
    output.mkdir()
    with deaf_service() as endpoint:
        node.settings(f'[metadata]\nendpoint = "{endpoint}"\ndeadline = 600\n')
        argv = node.argv("report", "--output", str(output / "report.tar.gz"), facts=False)
        argv = ["env", "--default-signal=INT,TERM", *argv]  # a background process may ignore them from its start
        with subprocess.Popen(argv, cwd=REPOSITORY, env=environment(), stderr=subprocess.PIPE) as process:
            limit = time.monotonic() + 20
            while not children(process.pid, str(node.root)) and time.monotonic() < limit:
                time.sleep(0.02)
            process.send_signal(number)
            _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (code, b"")
    assert children(0, str(node.root)) == []
    assert list(output.iterdir()) == []


def children(excluded: int, text: str) -> list[int]:
    """Return the processes with a text in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if text.encode() in path.read_bytes() and int(path.parent.name) not in (excluded, os.getpid()):
                found.append(int(path.parent.name))
    return found


# --- the file


@pytest.fixture
def empty(node: Node, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node whose report has one member."""
    monkeypatch.setattr(report, "COLLECTORS", (Collector("a.txt", "about a", lambda node: "text\n"),))
    return node


def test_the_default_name_has_instance_and_time(empty: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written to the working directory; its path is absolute."""
    monkeypatch.chdir(tmp_path)
    done = empty.main("report")
    (path,) = tmp_path.glob("*.tar.gz")
    assert done.out == f"{path}\n"
    assert path.name == f"{Archive(path.read_bytes()).top}.tar.gz"
    assert path.name.startswith(f"eks-proxy-agent-{os.uname().nodename}-2")


def test_bad_outputs_are_errors_before_anything_is_collected(empty: Node, tmp_path: Path) -> None:
    """A file, link or directory is never replaced; a missing directory is named."""
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("nowhere")
    for output, code, message in (
        ("file", 1, "file: already exists"),
        ("link", 1, "link: already exists"),
        (".", 1, f"{tmp_path}: is a directory"),
        ("no/report", 1, "no is not a directory"),
        ("file/report", 1, "file is not a directory"),
        ("", 2, "--output: not the name of a file"),
        ("a\0b", 2, "--output: not the name of a file"),
    ):
        done = empty.main("report", "--output", str(tmp_path / output) if output else "")
        assert (done.code, done.out) == (code, ""), output
        assert message in done.err
        assert done.err.count("\n") <= 2
    assert (tmp_path / "file").read_text() == "kept"
    assert not (tmp_path / "nowhere").exists()


def test_a_working_directory_that_is_gone_is_an_error(
    empty: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default path cannot be made there."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    done = empty.main("report")
    assert (done.code, done.out) == (1, "")
    assert "working directory: No such file or directory" in done.err


def test_a_directory_without_permission_is_an_error(empty: Node, tmp_path: Path) -> None:
    """An ordinary user gets the reason and the flag."""
    if os.geteuid() == 0:
        output = "/proc/report.tar.gz"
    else:
        (tmp_path / "locked").mkdir(mode=0o500)
        output = str(tmp_path / "locked/report.tar.gz")
    done = empty.main("report", "--output", output)
    assert (done.code, done.out) == (1, "")
    assert "hint: name another file with --output" in done.err


def test_a_full_disk_leaves_nothing(empty: Node, tmp_path: Path) -> None:
    """An error while writing names the reason; no part of the file stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        done = empty.main("report", "--output", str(tmp_path / "report.tar.gz"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert (done.code, done.out) == (1, "")
    assert "report.tar.gz: cannot be written: File too large" in done.err
    assert [path.name for path in tmp_path.iterdir() if "report" in path.name] == []


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    """The write itself replaces nothing, and leaves no temporary file."""
    (tmp_path / "a").write_text("kept")
    with pytest.raises(FileError, match="a: cannot be written: File exists"):
        new_file.write(str(tmp_path / "a"), b"new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "kept")]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_links_gets_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As on vfat, exfat and some of FUSE: complete or absent, and in place of no other."""
    monkeypatch.setattr(os, "link", failing(number))
    new_file.write(str(tmp_path / "a"), b"new")
    with pytest.raises(FileError, match="a: cannot be written: File exists"):
        new_file.write(str(tmp_path / "a"), b"newer")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a", "new")]
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    (tmp_path / "a").unlink()
    for error in (OSError(errno.ENOSPC, "full"), KeyboardInterrupt()):
        fsync = [None, error]  # the second file fails, the one at the path
        monkeypatch.setattr(os, "fsync", lambda descriptor, fsync=fsync: raised(fsync.pop(0)))
        with pytest.raises((FileError, KeyboardInterrupt)):
            new_file.write(str(tmp_path / "a"), b"new")
        assert list(tmp_path.iterdir()) == []


def test_a_temporary_file_that_stays_takes_the_file_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says that nothing was written, and so nothing is at the path."""
    unlink = os.unlink

    def refuse(path: str) -> None:
        if os.path.basename(path).startswith("."):
            raise OSError(errno.EIO, "Input/output error")
        unlink(path)

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(FileError, match="a: cannot be written: Input/output error"):
        new_file.write(str(tmp_path / "a"), b"new")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("path", ["a", "in/a", "{}/a"])
def test_file_and_directory_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Also for a file of the current directory, as `--output report.tar.gz` is."""
    synced: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda number: synced.append(os.readlink(f"/proc/self/fd/{number}")) or fsync(number)
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    path = path.format(tmp_path)
    new_file.write(path, b"new")
    assert Path(path).read_bytes() == b"new"
    assert synced[-1] == str(Path(path).absolute().parent)
    assert len(synced) == 2


def test_a_link_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a file system without links gets the file in another way."""
    monkeypatch.setattr(os, "link", failing(errno.EIO))
    with pytest.raises(FileError, match="a: cannot be written: Input/output error"):
        new_file.write(str(tmp_path / "a"), b"new")
    assert list(tmp_path.iterdir()) == []


def failing(number: int) -> Any:
    """Return a function that fails with an errno."""

    def call(*values: Any) -> None:
        raise OSError(number, os.strerror(number))

    return call


def raised(error: BaseException | None) -> None:
    """Raise the error, if there is one."""
    if error is not None:
        raise error


def test_stdout_takes_the_archive(node: Node) -> None:
    """`--output -` writes only the archive there; a terminal is refused."""
    argv = node.argv("report", "--output", "-")
    done = subprocess.run(argv, cwd=REPOSITORY, env=environment(), capture_output=True, check=True, timeout=60)
    assert "check.json" in Archive(done.stdout).texts
    assert b"not collected" in done.stderr
    leader, terminal = pty.openpty()
    done = subprocess.run(argv, cwd=REPOSITORY, env=environment(), stdout=terminal, stderr=subprocess.PIPE, check=False)
    os.close(terminal)
    os.close(leader)
    assert done.returncode == 2
    assert b"--output -: stdout is a terminal" in done.stderr


def test_a_terminal_shows_the_progress(node: Node, tmp_path: Path) -> None:
    """It is one line, which is erased at the end."""
    leader, terminal = pty.openpty()
    argv = node.argv("report", "--output", str(tmp_path / "report.tar.gz"))
    with subprocess.Popen(argv, cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, stderr=terminal) as process:
        os.close(terminal)
        text = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while data := os.read(leader, 4096):
                text += data
        os.close(leader)
        process.communicate(timeout=30)
    assert f"\r\033[Kcollected 0 of {len(COLLECTORS)}; waiting for check.json".encode() in text
    assert re.search(rb"\r\033\[K1\d files, \d+ KiB; not collected: ", text)


#: Runs the agent of a directory that is not in sys.path, as the finder of an editable install does.
FOUND = """
import importlib.util, sys
place = sys.argv.pop(1) + "/agent/__init__.py"
spec = importlib.util.spec_from_file_location("agent", place)
sys.modules["agent"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from agent.cli import main
sys.exit(main())
"""


def test_the_agent_of_an_editable_install_collects(node: Node) -> None:
    """Its package is in no directory of sys.path, and the working directory is another one."""
    path = node.root.parent / "report.tar.gz"
    flags = ["--root", str(node.root), "--facts", str(node.facts), "--output", str(path)]
    argv = [sys.executable, "-I", "-c", FOUND, str(REPOSITORY), "report", *flags]
    done = subprocess.run(argv, cwd=node.root, env=environment(), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    archive = Archive(path.read_bytes())
    assert "no_proxy" in {value["key"] for value in archive.json("config.json")}
    assert [text for text in archive.texts.values() if "ModuleNotFoundError" in text] == []
    assert ("root could collect more" in done.stderr) == (os.geteuid() != 0)


# --- the runner


@pytest.fixture
def reported() -> ReportedNode:
    """A node that nothing reads."""
    files = FileSystem("/nonexistent")
    return ReportedNode(Host(files, State(files), Systemd(running=False)), "")


class Live(FileSystem):
    """A tree that passes for that of the running machine."""

    live = True  # type: ignore[assignment]


@pytest.mark.parametrize("runs", [True, False])
def test_environments_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, runs: bool) -> None:
    """Of each unit with a process, without the values of others."""
    files, programs = Live(str(tmp_path)), Programs(tmp_path / "bin", monkeypatch)
    programs.add(
        "systemctl",
        f"""while [ "$1" != -- ]; do shift; done; shift
        for unit; do
            pid=0; [ $unit != docker.service ] || pid=$(cat {tmp_path}/pid)
            printf 'Id=%s\nMainPID=%s\n\n' $unit $pid
        done""",
    )
    reported = ReportedNode(Host(files, State(files), Systemd()), "")
    process = subprocess.Popen(["sleep", "60"], env={"PATH": "/usr/bin:/bin", "http_proxy": PROXY, "X": "zq7mysql"})
    try:
        (tmp_path / "pid").write_text(str(process.pid if runs else 0))
        if not runs:
            with pytest.raises(NotHere, match="none of the units has a process"):
                units.processes(reported)
            return
        (head, *lines) = units.processes(reported).splitlines()
    finally:
        process.kill()
        process.wait()
    assert head == f"# docker.service, process {process.pid}"
    assert f"http_proxy={PROXY}" in lines
    assert "zq7mysql" not in "".join(lines)


def test_a_collector_that_hangs_costs_only_its_own_file(reported: ReportedNode) -> None:
    """Even if it cannot be ended: the report is over in time, and names it."""
    release = threading.Event()

    def hang(node: ReportedNode) -> str:
        release.wait(60)
        return "late"

    def wait_for_stop(node: ReportedNode) -> str:
        node.run(["/bin/sleep", "60"], seconds=60)
        return "never"

    list_ = [Collector(f"hang-{number}", "", hang) for number in range(2)]
    list_ += [Collector("sleep", "", wait_for_stop), Collector("quick", "", lambda node: "text")]
    start = time.monotonic()
    members = collect(reported, list_, bound=0.5)
    release.set()
    assert time.monotonic() - start < 10
    late = "not finished when the 0.5 s of the report were over"
    assert [(member.path, member.content, member.note) for member in members] == [
        ("hang-0", None, late),
        ("hang-1", None, late),
        ("sleep", None, "stopped, because the time of the report was over"),
        ("quick", b"text", ""),
    ]


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_limit_of_threads_slows_down_only(
    reported: ReportedNode, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """With fewer threads than usual, or with none, every collector runs."""
    limit_threads(monkeypatch, limit)
    list_ = [Collector(str(number), "", lambda node: threading.current_thread().name) for number in range(8)]
    members = collect(reported, list_)
    assert [member.note for member in members] == [""] * 8
    assert {(member.content or b"").startswith(b"MainThread") for member in members} == {limit == 0}


def test_without_threads_the_report_still_has_an_end(reported: ReportedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Collectors that have not begun when the time is over are left out."""
    limit_threads(monkeypatch, 0)
    list_ = [Collector(str(number), "", lambda node: str(time.sleep(0.3))) for number in range(3)]
    members = collect(reported, list_, bound=0.2)
    assert [member.content is None for member in members] == [False, True, True]


def test_an_error_of_a_collector_is_its_note(reported: ReportedNode) -> None:
    """Reasons are masked; an unexpected exception stops no other; long JSON is left out."""

    def fail(error: Exception) -> Any:
        def collector(node: ReportedNode) -> str:
            raise error

        return collector

    list_ = [
        Collector("not-here", "", fail(NotHere("no http://a:hunter2@h"))),
        Collector("error", "", fail(FileError("TOKEN=hunter2"))),
        Collector("bug", "", fail(ZeroDivisionError("A_B=hunter2"))),
        Collector("long.json", "", lambda node: ["x" * 1024] * 1100),
        Collector("long.txt", "", lambda node: "hunter three\n" * 200_000),
    ]
    members = collect(reported, list_)
    assert [member.note for member in members] == [
        "no http://***@h",
        "TOKEN=***",
        "internal error; please report it: ZeroDivisionError: A_B=***",
        "larger than 1048576 bytes",
        "cut to its last lines",
    ]
    assert [type(member) for member in members] == [Member] * 5
    assert 1_000_000 < len(members[-1].content or b"") <= 1_048_576


def test_report_of_this_machine_without_root(tmp_path: Path) -> None:
    """Without root, systemd or settings, it has what can be read; the facts come from a file."""
    node = Node(tmp_path)
    path = tmp_path / "report.tar.gz"
    done = node.main("report", "--root", "/", "--output", str(path))
    assert done.code == 0, done.both
    archive = Archive(path.read_bytes())
    assert archive.json("machine.json")["system"]["host"] == os.uname().nodename
    assert set(archive.json("versions.json")) >= {"docker", "kubelet", "containerd"}
    assert archive.json("user-data.json")["bytes"] == 0
