"""The lock: one run at a time, across processes, and no clean-up after a kill."""

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys

import pytest

from agent.edges import lock
from agent.edges.files import FileSystem
from agent.errors import FileError, LockedError
from tests.integration.scratch import REPOSITORY, Node

HOLD = """\
import sys
from agent.edges.files import FileSystem
from agent.edges.lock import held
with held(FileSystem(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def disk(tmp_path):
    """A FileSystem on an empty directory."""
    return FileSystem(str(tmp_path))


@contextlib.contextmanager
def other_process(root):
    """Run another process that holds the lock until the block ends, or until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, root], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.stdin.close()


def no_sleep(seconds):
    """Sleep without any delay."""


def test_locked_error_names_the_holder(disk):
    """After `wait` seconds, and not later, the error names the pid of the holder."""
    waited = []
    with other_process(disk.root) as process:
        with pytest.raises(LockedError) as error, lock.held(disk, wait=1, sleep=waited.append):
            pytest.fail("two holders at the same time")
        assert str(error.value) == f"/run/eks-proxy-agent/lock: locked by another run (pid {process.pid})"
        assert sum(waited) == pytest.approx(1)


def test_command_exits_with_75_if_locked(tmp_path, monkeypatch):
    """A command that does not get the lock names the holder and changes nothing."""
    node = Node(tmp_path)
    monkeypatch.setattr(lock.time, "sleep", no_sleep)
    monkeypatch.setattr(lock.held.__wrapped__, "__kwdefaults__", {"wait": 0.1, "sleep": no_sleep})
    before = node.tree()
    with other_process(str(node.root)) as process:
        for command in ("apply", "revert"):
            code, _, err = node.run(command)
            assert code == 75
            assert f"pid {process.pid}" in err
    assert node.tree() == before
    node.apply()


def test_killed_holder_releases_the_lock(disk):
    """The kernel releases the lock; the pid that stays in the file has no effect."""
    with other_process(disk.root) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with lock.held(disk, wait=0):
            pass


def test_waiting_run_gets_the_released_lock(disk):
    """A run waits for the lock, because a reconcile takes milliseconds."""
    first = lock.held(disk)
    first.__enter__()
    with lock.held(disk, wait=1, sleep=lambda seconds: first.__exit__(None, None, None)):
        pass


def test_lock_is_released_after_an_error(disk):
    """Any exception inside the block releases the lock."""
    with pytest.raises(ZeroDivisionError), lock.held(disk):
        raise ZeroDivisionError
    with lock.held(disk, wait=0):
        pass


def test_two_locks_are_independent(disk):
    """A bootstrap that takes half an hour does not block the daemon."""
    with lock.held(disk, lock.BOOTSTRAP_LOCK, wait=0), lock.held(disk, wait=0):
        pass


@pytest.mark.parametrize("removed", [lock.LOCK.directory, os.path.dirname(lock.LOCK.file)])
def test_removed_lock_does_not_allow_two_holders(disk, monkeypatch, removed):
    """revert removes directory and file while it holds the lock.

    A run that opened the old ones does not run beside one that created new ones.
    """
    first, third = lock.held(disk), lock.held(disk)
    first.__enter__()
    flock = lock.fcntl.flock

    def late_flock(descriptor, operation):
        """End the first run and begin a third one, between open and flock of the second."""
        monkeypatch.setattr(lock.fcntl, "flock", flock)
        shutil.rmtree(disk.real(removed))
        first.__exit__(None, None, None)
        third.__enter__()
        flock(descriptor, operation)

    monkeypatch.setattr(lock.fcntl, "flock", late_flock)
    with pytest.raises(LockedError), lock.held(disk, wait=0):
        pytest.fail("two holders at the same time")
    third.__exit__(None, None, None)
    with lock.held(disk, wait=0):
        pass


def test_lock_creates_its_missing_directories(disk):
    """A run that waited, and finds nothing of the lock any more, creates it again."""
    first = lock.held(disk)
    first.__enter__()

    def sleep(seconds):
        for path in (lock.LOCK.directory, os.path.dirname(lock.LOCK.file)):
            shutil.rmtree(disk.real(path))
        first.__exit__(None, None, None)

    with lock.held(disk, wait=1, sleep=sleep):
        assert os.path.exists(disk.real(lock.LOCK.file))


def test_children_do_not_inherit_the_lock(disk):
    """A program that bootstrap.sh leaves running does not hold the lock."""
    with lock.held(disk):
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
    with child:
        with lock.held(disk, wait=0):
            pass
        child.stdin.close()


def test_a_child_that_is_being_started_does_not_keep_the_lock(disk):
    """Between fork and exec it has a copy of the descriptors; another thread may start it."""
    with lock.held(disk):
        child = os.fork()
        if child == 0:
            signal.pause()
    try:
        with lock.held(disk, wait=0):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_full_run_directory_loses_only_the_pid(disk, monkeypatch):
    """The lock works without the pid in the file."""

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lock.os, "pwrite", full)
    with lock.held(disk), pytest.raises(LockedError, match="pid unknown"), lock.held(disk, wait=0):
        pytest.fail("two holders at the same time")


@pytest.mark.parametrize("paths", [lock.LOCK, lock.BOOTSTRAP_LOCK])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_lock_needs_no_room_in_run(disk, monkeypatch, paths, number):
    """Without an inode in /run, or with /run read-only, two runs still exclude each other."""
    real_open = os.open

    def full(path, flags, *mode, **options):
        if path == os.path.basename(paths.file) and flags & os.O_CREAT:
            raise OSError(number, os.strerror(number))
        return real_open(path, flags, *mode, **options)

    monkeypatch.setattr(os, "open", full)
    with lock.held(disk, paths), pytest.raises(LockedError, match="pid unknown"), lock.held(disk, paths, wait=0):
        pytest.fail("two holders at the same time")
    with lock.held(disk, paths, wait=0):
        assert not os.path.exists(disk.real(paths.file))


@pytest.mark.parametrize("paths", [lock.LOCK, lock.BOOTSTRAP_LOCK])
def test_lock_of_version_0_1_is_respected(disk, paths):
    """That version locks the file only; its daemon may run until an upgrade restarts it."""
    with lock.held(disk, paths):
        pass
    with open(disk.real(paths.file), "rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LockedError), lock.held(disk, paths, wait=0):
            pytest.fail("two holders at the same time")
    with lock.held(disk, paths), open(disk.real(paths.file), "rb+") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_wait_for_the_lock_is_reported(disk):
    """Before each pause the caller learns what it waits for."""
    problems = []
    with (
        other_process(disk.root) as process,
        pytest.raises(LockedError),
        lock.held(disk, wait=0.1, sleep=no_sleep, waiting=problems.append),
    ):
        pytest.fail("two holders at the same time")
    assert problems == [f"/run/eks-proxy-agent/lock: locked by another run (pid {process.pid})"] * 2


@pytest.mark.parametrize(
    ("path", "is_directory", "error"),
    [
        (lock.LOCK.file, True, r"^/run/eks-proxy-agent/lock: cannot open: Is a directory"),
        (lock.LOCK.directory, False, r"^/var/lib/eks-proxy-agent: cannot open: Not a directory"),
        (os.path.dirname(lock.LOCK.file), False, r"^/run/eks-proxy-agent/lock: cannot open: Not a directory"),
    ],
)
def test_wrong_kind_of_file_cannot_be_locked(disk, path, is_directory, error):
    """The error names the path."""
    os.makedirs(disk.real(path if is_directory else os.path.dirname(path)))
    if not is_directory:
        with open(disk.real(path), "wb"):
            pass
    with pytest.raises(FileError, match=error), lock.held(disk):
        pytest.fail("locked what is not a lock")
