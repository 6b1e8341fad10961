"""Signals as values: SIGTERM ends the sleep of a retry, and a SIGHUP is deferred."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from agent.edges.signals import Stop, unwound, watched
from tests.integration.command_line import REPOSITORY

FOREVER = 600.0  # no sleep in these tests may last that long


@pytest.fixture
def signals():
    """Signals of this process, collected."""
    with watched() as signals:
        yield signals


def send(*numbers):
    """Send signals to this process; they have arrived when this returns."""
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_ends_a_sleep(signals, number):
    """Stop is raised immediately, also if the signal came before the sleep."""
    send(number)
    with pytest.raises(Stop):
        signals.sleep(FOREVER)


def test_stop_ends_a_sleep_that_has_begun(signals):
    """The signal arrives while the process waits in select."""
    timer = threading.Timer(0.05, send, [signal.SIGTERM])
    timer.start()
    with pytest.raises(Stop):
        signals.sleep(FOREVER)
    timer.join()


def test_sighup_is_deferred_until_wait(signals):
    """SIGHUP ends the pause of a retry; it is neither lost nor returned twice."""
    send(signal.SIGHUP)
    signals.sleep(FOREVER)
    assert signals.wait(FOREVER) == signal.SIGHUP
    assert signals.wait(0) is None


def test_stop_behind_a_sighup_still_stops_the_sleeps(signals):
    """If both arrive together, SIGHUP ends one pause, and the next one raises Stop."""
    send(signal.SIGHUP, signal.SIGTERM)
    signals.sleep(FOREVER)
    with pytest.raises(Stop):
        signals.sleep(FOREVER)
    assert signals.wait(FOREVER) == signal.SIGHUP


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_wait_returns_the_signal(signals, number):
    """Each signal is returned once, and None when the time is up."""
    send(number)
    assert signals.wait(FOREVER) == number
    assert signals.wait(0) is None


def test_signals_are_returned_in_order(signals):
    """No signal is lost."""
    send(signal.SIGHUP, signal.SIGTERM, signal.SIGHUP)
    assert [signals.wait(FOREVER) for _ in range(3)] == [signal.SIGHUP, signal.SIGTERM, signal.SIGHUP]


def test_storm_of_sighups_is_one(signals):
    """A script may send thousands while a cycle runs: they take neither memory nor time."""
    for _ in range(1000):
        signals.requeue(signal.SIGHUP)
    signals.requeue(signal.SIGTERM)
    assert [signals.wait(0) for _ in range(3)] == [signal.SIGHUP, signal.SIGTERM, None]


def test_sleep_without_a_signal_ends(signals):
    """Nothing is raised when the time is up."""
    signals.sleep(0)


def test_block_restores_handlers_and_descriptors():
    """Handlers and the wakeup descriptor are restored, and no descriptor stays open."""
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers], os.listdir("/proc/self/fd")
    with watched():
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert ([signal.getsignal(number) for number in numbers], os.listdir("/proc/self/fd")) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_sigterm_kills_started_programs(signals):
    """Handlers do not survive exec: systemctl and bootstrap.sh can be stopped."""
    code = "import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.communicate()[0] == b"True\n"


def test_ignored_sighup_is_received():
    """A reload works although nohup, or an image's service manager, set SIGHUP to ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with watched() as signals:
            send(signal.SIGHUP)
            assert signals.wait(FOREVER) == signal.SIGHUP
    finally:
        assert signal.signal(signal.SIGHUP, before) is signal.SIG_IGN


UNWOUND = """
import os, signal, sys
from agent.edges.signals import unwound
with unwound():
    try:
        os.kill(os.getpid(), {first})
    finally:
        os.kill(os.getpid(), {second})
        sys.stdout.write("cleaned up")
        sys.stdout.flush()
"""


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGHUP, 0])
@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGHUP])
def test_second_signal_does_not_interrupt_the_clean_up(first, second):
    """The block ends completely; then the first signal ends the process, as its sender expects."""
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n" + UNWOUND.format(
        first=int(first), second=int(second)
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False, stdout=subprocess.PIPE)
    assert (done.stdout, done.returncode) == (b"cleaned up", -first)


def test_signal_that_is_ignored_stays_ignored():
    """Under nohup SIGHUP does not end the block."""
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + UNWOUND.format(first=1, second=1)
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False, stdout=subprocess.PIPE)
    assert (done.stdout, done.returncode) == (b"cleaned up", 0)


def test_block_without_a_signal_restores_the_handlers():
    """Afterwards SIGTERM and SIGHUP have their default actions again."""
    with unwound():
        assert callable(signal.getsignal(signal.SIGTERM))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
