"""The lock: one run at a time, across processes, and nobody has to clean up after a kill."""

import contextlib
import errno
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
    """A Disk on an empty directory."""
    return FileSystem(str(tmp_path))


@contextlib.contextmanager
def other_process(root):
    """Another process that holds the lock until the block ends, or until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, root], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.stdin.close()


def no_sleep(seconds):
    """Wait without waiting."""


def test_the_second_run_is_told_who_holds_the_lock(disk):
    """After its patience, and without having waited longer."""
    waited = []
    with other_process(disk.root) as process:
        with pytest.raises(LockedError) as error, lock.held(disk, wait=1, sleep=waited.append):
            pytest.fail("two at once")
        assert str(error.value) == f"/run/eks-proxy-agent/lock: locked by another run (pid {process.pid})"
        assert sum(waited) == pytest.approx(1)


def test_the_command_line_says_so_with_exit_code_75(tmp_path, monkeypatch):
    """And nothing is changed."""
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


def test_a_killed_holder_frees_the_lock(disk):
    """The kernel does it; a pid that is left in the file means nothing."""
    with other_process(disk.root) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with lock.held(disk, wait=0):
            pass


def test_a_patient_run_gets_the_lock_when_it_is_free(disk):
    """A pass of the daemon takes milliseconds."""
    first = lock.held(disk)
    first.__enter__()
    with lock.held(disk, wait=1, sleep=lambda seconds: first.__exit__(None, None, None)):
        pass


def test_the_lock_is_free_after_an_error(disk):
    """Whatever happens inside."""
    with pytest.raises(ZeroDivisionError), lock.held(disk):
        raise ZeroDivisionError
    with lock.held(disk, wait=0):
        pass


def test_two_locks_do_not_meet(disk):
    """A bootstrap that takes half an hour must not keep the daemon from its passes."""
    with lock.held(disk, lock.BOOTSTRAP_LOCK, wait=0), lock.held(disk, wait=0):
        pass


def test_a_lock_file_that_was_removed_lets_nobody_in_twice(disk, monkeypatch):
    """revert removes the file while it holds it; who opened the old one must not run beside who
    made a new one.
    """
    first, third = lock.held(disk), lock.held(disk)
    first.__enter__()
    flock = lock.fcntl.flock

    def late(descriptor, operation):
        """Between the second run's open and its flock, the first one ends and a third one
        begins.
        """
        monkeypatch.setattr(lock.fcntl, "flock", flock)
        shutil.rmtree(os.path.dirname(disk.real(lock.LOCK)))
        first.__exit__(None, None, None)
        third.__enter__()
        flock(descriptor, operation)

    monkeypatch.setattr(lock.fcntl, "flock", late)
    with pytest.raises(LockedError), lock.held(disk, wait=0):
        pytest.fail("two at once")
    third.__exit__(None, None, None)
    with lock.held(disk, wait=0):
        pass


def test_a_lock_whose_directory_was_removed_can_be_had(disk):
    """A run that waited finds no file and no directory any more, and makes them."""
    first = lock.held(disk)
    first.__enter__()

    def sleep(seconds):
        shutil.rmtree(os.path.dirname(disk.real(lock.LOCK)))
        first.__exit__(None, None, None)

    with lock.held(disk, wait=1, sleep=sleep):
        assert os.path.exists(disk.real(lock.LOCK))


def test_children_do_not_inherit_the_lock(disk):
    """What bootstrap.sh leaves running must not hold it."""
    with lock.held(disk):
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
    with child:
        with lock.held(disk, wait=0):
            pass
        child.stdin.close()


def test_a_full_run_directory_costs_only_the_name_of_the_holder(disk, monkeypatch):
    """The pid in the file is a courtesy."""

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lock.os, "pwrite", full)
    with lock.held(disk), pytest.raises(LockedError, match="pid unknown"), lock.held(disk, wait=0):
        pytest.fail("two at once")


def test_what_is_no_file_cannot_be_locked(disk):
    """The error names it."""
    os.makedirs(disk.real(lock.LOCK))
    with pytest.raises(FileError, match=r"^/run/eks-proxy-agent/lock: cannot open: Is a"), lock.held(disk):
        pytest.fail("locked a directory")
