"""Every test has a time limit."""

import subprocess
import sys

from tests.integration.command_line import REPOSITORY

HANGING = """
import threading

def wait_for_ever():
    threading.Event().wait()

def test_hangs():
    try:
        threading.Thread(target=wait_for_ever, daemon=True).start()
        lock = threading.Lock()
        with lock:
            lock.acquire()
    except Exception:
        pass

def test_next():
    pass
"""


def test_every_test_has_a_limit(request):
    """This test has the limit of pyproject.toml, by a method that fails one test only."""
    assert request.config.pluginmanager.hasplugin("timeout")
    assert 0 < float(request.config.getini("timeout")) <= 300
    assert request.config.getini("timeout_method") == "signal"


def test_a_test_that_hangs_fails_alone(tmp_path):
    """A test that hangs in a lock fails with the stacks of its threads; the next one runs."""
    (tmp_path / "test_hanging.py").write_text(HANGING)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", tmp_path]
        + ["--timeout=2", "--timeout-method=signal", tmp_path],
        cwd=REPOSITORY,
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert "1 failed, 1 passed" in done.stdout
    assert "Failed: Timeout (>2.0s) from pytest-timeout" in done.stdout
    assert "wait_for_ever" in done.stdout
