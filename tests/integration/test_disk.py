"""The file edge on a real file system: what a write keeps, what it refuses, and errors."""

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import tracemalloc
from pathlib import Path

import pytest

from agent.core.plan.baseline import FileState
from agent.edges import directory as disk_module
from agent.edges.files import MAX_SIZE, FileSystem
from agent.errors import FileError
from tests.integration.scratch import PROXY, REPOSITORY, Node

NOBODY = 65534


@pytest.fixture
def disk(tmp_path):
    """A FileSystem on an empty directory."""
    return FileSystem(str(tmp_path))


@pytest.fixture
def node(tmp_path):
    """A realistic tree."""
    return Node(tmp_path)


@pytest.fixture
def as_nobody():
    """A private directory, and the test without the rights of root."""
    directory = Path(tempfile.mkdtemp(prefix="agent-"))
    root = os.geteuid() == 0
    if root:
        os.chown(directory, NOBODY, NOBODY)
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    yield directory
    if root:
        os.seteuid(0)
        os.setegid(0)
    subprocess.run(["chmod", "-R", "u+rwX", directory], check=True)
    shutil.rmtree(directory)


# --- write keeps mode, owner and attributes -------------------------------------------------------


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o444, 0o640, 0o755])
def test_write_keeps_the_mode(disk, tmp_path, mode):
    """Also of a read-only file: only its directory must be writable."""
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(mode)
    disk.write("/file", b"new")
    assert disk.state("/file") == FileState(b"new", mode)


@pytest.mark.parametrize(("mode", "expected"), [(None, 0o644), (0o600, 0o600), (0o644, 0o644)])
def test_a_new_file_has_the_requested_mode(disk, mode, expected):
    """The umask does not matter."""
    with umask(0o077):
        disk.write("/file", b"new", mode)
    assert disk.state("/file") == FileState(b"new", expected)


def test_a_new_directory_has_its_mode_whatever_the_umask(disk, tmp_path):
    """With umask 077 of a hardened shell, drop-in directories must still be readable."""
    with umask(0o077):
        disk.make_directory("/directory")
    assert stat.S_IMODE((tmp_path / "directory").stat().st_mode) == 0o755


def test_a_new_directory_has_its_mode_from_the_first_moment(disk, tmp_path, monkeypatch):
    """There is no moment in which others could put a file or a link there, whatever the umask.

    A run that is killed in that moment leaves the same mode.
    """
    modes = []
    real = os.mkdir

    def mkdir(path, mode, *, dir_fd):
        real(path, mode, dir_fd=dir_fd)
        modes.append(os.stat(path, dir_fd=dir_fd).st_mode & 0o777)

    monkeypatch.setattr(disk_module.os, "mkdir", mkdir)
    for number, mask in enumerate((0, 0o077)):
        with umask(mask):
            disk.make_directory(f"/{number}")
            assert os.umask(mask) == mask
    assert modes == [0o755, 0o755]


@contextlib.contextmanager
def umask(mask):
    """Run the block with this umask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.needs_root("chown(2)")
def test_write_keeps_the_owner(disk, tmp_path):
    """A file of another user stays theirs."""
    (tmp_path / "file").write_bytes(b"old")
    os.chown(tmp_path / "file", 1234, 4321)
    disk.write("/file", b"new")
    status = (tmp_path / "file").stat()
    assert (status.st_uid, status.st_gid) == (1234, 4321)


@pytest.mark.needs_root("chown(2)")
def test_a_private_file_does_not_keep_a_foreign_owner(disk, tmp_path):
    """Another user who creates the file first, as in /tmp, cannot read the password."""
    (tmp_path / "file").write_bytes(b"bait")
    os.chown(tmp_path / "file", 1234, 4321)
    disk.write("/file", b"secret", 0o600)
    status = (tmp_path / "file").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, 0, 0o600)


def test_write_keeps_extended_attributes(disk, tmp_path):
    """SELinux's label is one of them."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    try:
        os.setxattr(path, "user.one", b"1")
    except OSError as error:
        pytest.skip(f"no user.* attributes on this file system: {error}")
    os.setxattr(path, "user.two", b"2")
    disk.write("/file", b"new")
    assert {name: os.getxattr(path, name) for name in os.listxattr(path)} == {"user.one": b"1", "user.two": b"2"}


@pytest.mark.parametrize(("mode", "copied"), [(None, {"user.y", "system.posix_acl_access"}), (0o600, {"user.y"})])
def test_a_private_file_does_not_keep_an_acl(disk, tmp_path, monkeypatch, mode, copied):
    """Otherwise other users could read the new content until the mode is set."""
    (tmp_path / "file").write_bytes(b"old")
    copied_names = set()
    monkeypatch.setattr(disk_module.os, "listxattr", lambda path: ["system.posix_acl_access", "user.y"])
    monkeypatch.setattr(disk_module.os, "getxattr", lambda path, name: b"")
    monkeypatch.setattr(disk_module.os, "setxattr", lambda descriptor, name, value: copied_names.add(name))
    disk.write("/file", b"new", mode)
    assert copied_names == copied


def test_an_attribute_that_cannot_be_copied_is_skipped(disk, tmp_path, monkeypatch):
    """The kernel may refuse security.*; user.* is copied and the file is written."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    copied = {}

    def setxattr(descriptor, name, value):
        if name.startswith("security."):
            raise PermissionError(1, "Operation not permitted")
        copied[name] = value

    monkeypatch.setattr(disk_module.os, "listxattr", lambda path: ["security.x", "user.y"])
    monkeypatch.setattr(disk_module.os, "getxattr", lambda path, name: b"1")
    monkeypatch.setattr(disk_module.os, "setxattr", setxattr)
    disk.write("/file", b"new")
    assert copied == {"user.y": b"1"}
    assert path.read_bytes() == b"new"


# --- put, remove, directories ---------------------------------------------------------------------


def test_put_creates_directories_and_skips_an_unchanged_file(disk, tmp_path):
    """Other content or another mode is written."""
    disk.put("/a/b/file", b"1", 0o600)
    first = (tmp_path / "a/b/file").stat().st_ino
    disk.put("/a/b/file", b"1", 0o600)
    assert (tmp_path / "a/b/file").stat().st_ino == first
    disk.put("/a/b/file", b"1", 0o644)
    assert disk.state("/a/b/file") == FileState(b"1", 0o644)
    disk.put("/a/b/file", b"2", 0o644)
    assert disk.read("/a/b/file") == b"2"


def test_removing_a_missing_path_is_not_an_error(disk):
    """A file, a file in a missing directory, and a directory."""
    disk.remove("/file")
    disk.remove("/directory/file")
    assert disk.remove_directory("/directory")


def test_a_directory_that_is_not_empty_stays(disk, tmp_path):
    """remove_directory returns False for it."""
    disk.put("/directory/file", b"1")
    assert not disk.remove_directory("/directory")
    disk.remove("/directory/file")
    assert disk.remove_directory("/directory")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "clean", [lambda disk: disk.write("/f/x", b"1"), lambda disk: disk.remove("/f/x"), lambda disk: disk.sweep("/f/x")]
)
def test_the_temporary_file_of_a_killed_write_is_removed(disk, tmp_path, clean):
    """The next write, removal or sweep of the same file removes it."""
    disk.put("/f/x", b"0")
    (tmp_path / "f" / ".x.eks-proxy-agent").write_bytes(b"half")
    clean(disk)
    assert [name for name in os.listdir(tmp_path / "f") if name != "x"] == []


# --- links stay inside the root -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("links", "path", "resolved"),
    [
        ({}, "/etc/file", "/etc/file"),
        ({"etc/link": "file"}, "/etc/link", "/etc/file"),
        ({"etc/link": "/etc/file"}, "/etc/link", "/etc/file"),
        ({"etc/link": "sub/../file"}, "/etc/link", "/etc/file"),
        ({"etc/one": "two", "etc/two": "/three", "three": "etc/file"}, "/etc/one", "/etc/file"),
        ({"directory": "etc"}, "/directory/file", "/etc/file"),
        ({"directory": "/etc/"}, "/directory/new", "/etc/new"),
        ({"etc/link": "nowhere/file"}, "/etc/link", "/etc/nowhere/file"),
        # `..` never leads above the root.
        ({"etc/link": "../../../../etc/passwd"}, "/etc/link", "/etc/passwd"),
        ({"etc/link": "/../../outside"}, "/etc/link", "/outside"),
        ({"up": ".."}, "/up/up/etc/file", "/etc/file"),
        ({}, "/../../etc/./file", "/etc/file"),
    ],
)
def test_links_are_followed_inside_the_root(disk, tmp_path, links, path, resolved):
    """Absolute links start at the root of the tree, as they will on the node."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/file").write_bytes(b"1")
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    assert disk.resolve(path) == resolved


@pytest.mark.parametrize("links", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "a/x"}, {"a": "./b/..//a", "b": "."}])
def test_a_loop_of_links_is_an_error(disk, tmp_path, links):
    """The error names the given path."""
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    with pytest.raises(FileError, match=r"^/a: too many levels of symbolic links$"):
        disk.resolve("/a")


def test_a_link_does_not_lead_out_of_the_tree(tmp_path):
    """The file of the build host is neither read nor written."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"the host's")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to("../outside")
    (tmp_path / "root/absolute").symlink_to(outside)
    disk = FileSystem(str(tmp_path / "root"))
    for name in ("/link", "/absolute"):
        assert disk.read(name) is None
        disk.put(name, b"ours")
        assert (tmp_path / "root" / name[1:]).is_symlink()
    assert outside.read_bytes() == b"the host's"
    assert (tmp_path / "root/outside").read_bytes() == b"ours"


def test_state_and_lock_stay_inside_the_root(tmp_path):
    """In an image /var and /run may be absolute links: state stays in the image."""
    node = Node(tmp_path)
    for name in ("run", "var"):
        shutil.rmtree(node.root / name)
        (node.root / "data" / name).mkdir(parents=True)
        (node.root / name).symlink_to(f"/data/{name}")
    before = node.tree(ours=True)
    node.apply()
    assert node.read("data/var/lib/eks-proxy-agent/baseline.json")
    assert node.read("data/run/eks-proxy-agent/status.json")
    node.revert()
    assert node.tree(ours=True) == {**before, "data/var/lib": (0o755, None)}


# --- unreadable files -----------------------------------------------------------------------------


def test_other_file_types_are_a_problem_and_not_a_hang(disk, tmp_path):
    """A directory, a FIFO without a writer, and a socket; no descriptor stays open."""
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    listener = socket.socket(socket.AF_UNIX)
    with contextlib.closing(listener), chdir(tmp_path):
        listener.bind("socket")
    before = os.listdir("/proc/self/fd")
    assert disk.state("/directory") == FileState(problem="is a directory")
    assert disk.state("/fifo") == FileState(problem="is not a regular file")
    assert disk.state("/socket").problem == "cannot be read: No such device or address"
    assert os.listdir("/proc/self/fd") == before


@contextlib.contextmanager
def chdir(directory):
    """Run the block in `directory`: the path of a socket has a short limit."""
    before = os.getcwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


def test_a_file_in_place_of_a_directory_is_a_problem(disk, tmp_path):
    """The file stays."""
    (tmp_path / "etc").write_bytes(b"a file")
    assert disk.state("/etc/environment") == FileState(problem="a component of the path is not a directory")
    with pytest.raises(FileError, match=r"^/etc/environment: cannot be written: "):
        disk.put("/etc/environment", b"1")
    with pytest.raises(FileError, match=r"^/etc: cannot be listed: "):
        disk.names("/etc")
    assert (tmp_path / "etc").read_bytes() == b"a file"


def test_a_huge_file_is_not_read_into_memory(disk, tmp_path):
    """The limit itself is allowed; one byte more, or a gigabyte, is a problem."""
    path = tmp_path / "file"
    path.write_bytes(b"#" * MAX_SIZE)
    assert disk.state("/file").content == b"#" * MAX_SIZE
    tracemalloc.start()
    for size in (MAX_SIZE + 1, 1 << 28):
        os.truncate(path, size)
        assert disk.state("/file") == FileState(problem=f"is larger than {MAX_SIZE} bytes")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MAX_SIZE


def test_an_unreadable_file_is_a_problem(as_nobody):
    """The process has no permission to read or write it."""
    path = as_nobody / "file"
    path.write_bytes(b"secret")
    path.chmod(0)
    disk = FileSystem(str(as_nobody))
    assert disk.state("/file") == FileState(problem="cannot be read: Permission denied")
    with pytest.raises(FileError, match=r"^/file: cannot be read: Permission denied$"):
        disk.read("/file")


def test_a_directory_without_write_permission(as_nobody):
    """Nothing changes, no temporary file remains, and the error names the file."""
    (as_nobody / "file").write_bytes(b"old")
    as_nobody.chmod(0o555)
    disk = FileSystem(str(as_nobody))
    for action, message in [
        (lambda: disk.write("/file", b"new"), "/file: cannot be written: Permission denied"),
        (lambda: disk.remove("/file"), "/file: cannot be removed: Permission denied"),
        (lambda: disk.make_directory("/directory"), "/directory: cannot be created: Permission denied"),
    ]:
        with pytest.raises(FileError) as error:
            action()
        assert str(error.value) == message
    assert os.listdir(as_nobody) == ["file"]
    assert (as_nobody / "file").read_bytes() == b"old"


# --- the same on the command line -----------------------------------------------------------------


def directory_instead(path):
    """Create a directory there."""
    path.mkdir()


def loop(path):
    """Create a link to itself there."""
    path.symlink_to(path.name)


def too_large(path):
    """Create a sparse file of one gigabyte there."""
    path.touch()
    os.truncate(path, 1 << 30)


def not_utf8(path):
    """Write a value in Latin-1 there."""
    path.write_bytes(b"A=1\nB=caf\xe9\n")


def nul_bytes(path):
    """Write what a crash of an old file system leaves there."""
    path.write_bytes(b"A=1\nB=\0\0\0\n")


BAD = {
    directory_instead: "is a directory",
    os.mkfifo: "is not a regular file",
    loop: "too many levels of symbolic links",
    too_large: "is larger than",
    not_utf8: "line 2: invalid UTF-8",
    nul_bytes: "line 2: NUL byte",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_a_bad_environment_file_is_named_and_the_others_are_written(node, make):
    """Exit code 1 and one line with file and problem.

    node.env, yum.conf and the drop-ins are written.
    """
    path = node.root / "etc/environment"
    path.unlink()
    make(path)
    before = path.lstat()
    code, _, err = node.run("apply")
    assert code == 1
    assert "eks-proxy-agent: /etc/environment: " in err
    assert BAD[make] in err
    assert "Traceback" not in err
    assert (path.lstat().st_ino, path.lstat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert b"proxy=%s\n" % PROXY.encode() in node.read("etc/dnf/dnf.conf")
    assert b"http_proxy=%s\n" % PROXY.encode() in node.read("etc/eks-proxy-agent/node.env")
    assert node.read("etc/systemd/system/docker.service.d/zz-eks-proxy.conf")
    code, _, err = node.run("plan")
    assert (code, BAD[make] in err) == (1, True)


@pytest.mark.parametrize("make", [directory_instead, os.mkfifo, loop, too_large], ids=lambda make: make.__name__)
def test_a_bad_yum_conf_is_named_and_the_others_are_written(node, make):
    """The error names the target of the link."""
    path = node.root / "etc/dnf/dnf.conf"
    path.unlink()
    make(path)
    code, _, err = node.run("apply")
    assert code == 1
    assert "/etc/dnf/dnf.conf: " in err or "/etc/yum.conf: " in err
    assert BAD[make] in err
    assert "Traceback" not in err
    assert b"http_proxy=%s\n" % PROXY.encode() in node.read("etc/environment")


@pytest.mark.parametrize("content", [b"[main]\n# caf\xe9\n", b"[main]\n\0\0\n"])
def test_yum_conf_may_contain_any_bytes(node, content):
    """Its readers accept them."""
    node.write("etc/dnf/dnf.conf", content)
    node.apply()
    assert node.read("etc/dnf/dnf.conf").replace(b"proxy=%s\n" % PROXY.encode(), b"") == content


def test_a_dangling_link_gets_its_file(node):
    """The link stays, and revert removes the file again."""
    (node.root / "etc/dnf/dnf.conf").unlink()
    (node.root / "etc/environment").unlink()
    (node.root / "etc/environment").symlink_to("/etc/default/locale/all")
    before = node.tree()
    node.apply()
    assert os.readlink(node.root / "etc/yum.conf") == "dnf/dnf.conf"
    assert node.read("etc/dnf/dnf.conf") == b"[main]\nproxy=%s\n" % PROXY.encode()
    assert b"http_proxy" in node.read("etc/default/locale/all")
    node.revert()
    assert node.tree() == before


@pytest.mark.parametrize("name", ["etc/systemd/system/docker.service.d", "etc/eks-proxy-agent"])
def test_a_file_in_place_of_a_drop_in_directory(node, name):
    """It stays, the error names it, and the other files are written."""
    if (node.root / name).is_dir():
        shutil.rmtree(node.root / name)
    node.write(name, b"a file")
    code, _, err = node.run("apply")
    assert code == 1
    assert f"/{name}/" in err
    assert "a component of the path is not a directory" in err
    assert node.read(name) == b"a file"
    assert b"http_proxy=%s\n" % PROXY.encode() in node.read("etc/environment")
    assert node.read("etc/systemd/system/kubelet.service.d/zz-eks-proxy.conf")


@pytest.mark.parametrize(
    "name", ["var/lib/eks-proxy-agent", "run/eks-proxy-agent", "var/lib/eks-proxy-agent/baseline.json"]
)
def test_without_its_own_state_the_agent_changes_nothing(node, name):
    """A file in place of a directory, or the reverse.

    The baseline is written before the first change.
    """
    if name.endswith(".json"):
        (node.root / name).mkdir(parents=True)
    else:
        node.write(name, b"a file")
    before = node.tree()
    code, _, err = node.run("apply")
    assert code == 1
    assert "/" + name in err
    assert "Traceback" not in err
    assert node.tree() == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"files": {"/etc/environment": 7}, "folders": []}',
        b'{"files": []}',
        b'{"files": {"/x": {"kind": "?", "before": null, "mode": 0, "written": []}}, "folders": [], "enabled": [], "baked": 0}',
    ],
)
def test_a_corrupt_baseline_is_refused(node, content):
    """Without it the original files could be lost forever."""
    node.write("var/lib/eks-proxy-agent/baseline.json", content)
    before = node.tree(ours=True)
    code, _, err = node.run("apply")
    assert code == 1
    assert "baseline.json: corrupt, or written by another version" in err
    assert {path: entry for path, entry in node.tree(ours=True).items() if not path.startswith("run")} == {
        path: entry for path, entry in before.items() if not path.startswith("run")
    }


def test_originals_of_any_allowed_size_can_be_restored(node):
    """The baseline contains all of them and is still read."""
    big = b"#" * (MAX_SIZE - 2000) + b"\n"
    for name in ("etc/environment", "etc/dnf/dnf.conf", "etc/systemd/system/docker.service.d/zz-eks-proxy.conf"):
        node.write(name, big)
    before = node.tree()
    node.apply()
    assert "nothing to do" in node.apply()
    node.revert()
    assert node.tree() == before


# --- read-only and full file systems, in a mount namespace ----------------------------------------

needs_mounts = pytest.mark.needs_root("mounts")


def in_namespace(node, script):
    """Run a shell script with its own mounts.

    $ROOT is the tree, `agent` the command, $OUT a directory to copy to.
    """
    (node.directory / "out").mkdir()
    command = " ".join(node.argv("apply"))
    environment = {"ROOT": str(node.root), "OUT": str(node.directory / "out"), "PATH": os.environ["PATH"]}
    prelude = f'agent() {{ {command} "$@"; }}\ncd {REPOSITORY}\nmount --make-rprivate /\n'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-euc", prelude + script],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


@needs_mounts
def test_a_read_only_mount_affects_only_the_files_below_it(node):
    """The directory of yum.conf's target is read-only: it is named, the rest is written."""
    done = in_namespace(
        node, 'mount --bind "$ROOT/etc/dnf" "$ROOT/etc/dnf"; mount -o remount,bind,ro "$ROOT/etc/dnf"; agent'
    )
    assert done.returncode == 1, done.stderr
    assert "/etc/dnf/dnf.conf: cannot be written: Read-only file system" in done.stderr
    assert PROXY.encode() not in node.read("etc/dnf/dnf.conf")
    for name in ("etc/environment", "etc/eks-proxy-agent/node.env"):
        assert b"http_proxy=%s\n" % PROXY.encode() in node.read(name)
    assert node.read("etc/systemd/system/kubelet.service.d/zz-eks-proxy.conf")
    node.apply()  # without the mount the last file is written
    node.revert()
    assert node.tree() == Node(node.directory / "fresh").tree()


@needs_mounts
def test_a_bind_mounted_file_is_named(node):
    """Containers mount single files, which a rename cannot replace."""
    done = in_namespace(node, 'mount --bind "$ROOT/etc/environment" "$ROOT/etc/environment"; agent')
    assert done.returncode == 1, done.stderr
    assert "/etc/environment: cannot be written: Device or resource busy" in done.stderr
    assert PROXY.encode() in node.read("etc/dnf/dnf.conf")
    assert node.temporaries() == []


@needs_mounts
def test_in_a_read_only_tree_nothing_changes(node):
    """Not even the lock file can be created."""
    before = node.tree(ours=True)
    done = in_namespace(node, 'mount --bind "$ROOT" "$ROOT"; mount -o remount,bind,ro "$ROOT"; agent')
    assert done.returncode == 1, done.stderr
    assert "Read-only file system" in done.stderr
    assert node.tree(ours=True) == before


FILL = 'dd if=/dev/zero of="$FULL/fill" bs=4k 2>/dev/null || true; '


@needs_mounts
def test_a_full_disk_affects_only_the_files_on_it(node):
    """The old file stays whole, and no temporary file remains."""
    done = in_namespace(
        node,
        'FULL="$ROOT/etc/dnf"; cp -a "$FULL" "$OUT"; mount -t tmpfs -o size=64k tmpfs "$FULL"; cp -a "$OUT/dnf/." "$FULL"; '
        + FILL + 'code=0; agent || code=$?; rm -r "$OUT/dnf"; cp -a "$FULL" "$OUT"; exit $code',
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "/etc/dnf/dnf.conf: cannot be written: No space left on device" in done.stderr
    assert sorted(os.listdir(node.directory / "out/dnf")) == ["dnf.conf", "fill"]
    assert (node.directory / "out/dnf/dnf.conf").read_bytes() == node.read("etc/dnf/dnf.conf")
    assert b"http_proxy=%s\n" % PROXY.encode() in node.read("etc/environment")


@needs_mounts
def test_without_space_for_the_baseline_nothing_changes(node):
    """With /var full there is no baseline, so no change."""
    before = node.tree()
    done = in_namespace(
        node, f'FULL="$ROOT/var/lib"; mount -t tmpfs -o size=4k,nr_inodes=3 tmpfs "$FULL"; {FILL} agent'
    )
    assert done.returncode == 1, done.stderr
    assert "/var/lib/eks-proxy-agent/baseline.json: cannot be written: No space left on device" in done.stderr
    assert node.tree() == before


#: /run with so many inodes, of which the agent gets none, or only its directory.
NO_INODE = 'mount -t tmpfs -o nr_inodes=2 tmpfs "$ROOT/run"; touch "$ROOT/run/fill"; '
DIRECTORY_ONLY = 'mount -t tmpfs -o nr_inodes=2 tmpfs "$ROOT/run"; mkdir "$ROOT/run/eks-proxy-agent"; '
READ_ONLY = 'mount -t tmpfs -o ro tmpfs "$ROOT/run"; '


@needs_mounts
@pytest.mark.parametrize("run", [NO_INODE, DIRECTORY_ONLY, READ_ONLY], ids=["no inode", "directory only", "read-only"])
def test_a_run_directory_without_room_is_reported_and_the_node_configured(node, run):
    """What /run cannot take is reported, once a file, and is not a failure."""
    done = in_namespace(node, run + "agent")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("error: state.not_saved file=/run/eks-proxy-agent/status.json") == 1
    assert "df -i /run" in done.stderr
    assert b"http_proxy=%s\n" % PROXY.encode() in node.read("etc/environment")
    assert b"http_proxy=%s\n" % PROXY.encode() in node.read("etc/eks-proxy-agent/node.env")


@needs_mounts
def test_docker_that_waits_for_a_file_in_a_full_run_directory_is_a_failure(node):
    """With policy closed docker cannot start without the ready file."""
    done = in_namespace(node, NO_INODE + "agent --set failure.policy=closed")
    assert done.returncode == 1, done.stderr
    assert "/run/eks-proxy-agent: cannot be created: No space left on device" in done.stderr


@needs_mounts
def test_status_is_rewritten_in_a_full_run_directory(node):
    """A file that the agent has in /run makes room for its next version."""
    fill = 'n=0; while touch "$ROOT/run/fill-$n" 2>/dev/null; do n=$((n + 1)); done'
    done = in_namespace(
        node,
        f'mount -t tmpfs -o nr_inodes=30 tmpfs "$ROOT/run"; agent; {fill}; agent --set node.yum=false; '
        'cp "$ROOT/run/eks-proxy-agent/status.json" "$OUT"',
    )
    assert done.returncode == 0, done.stderr
    assert "state.not_saved" not in done.stderr
    files = json.loads((node.directory / "out/status.json").read_bytes())["files"]
    assert "/etc/environment" in files
    assert "/etc/dnf/dnf.conf" not in files
