"""Signals as values: a retry's sleep ends at once on SIGTERM, and a SIGHUP waits for its turn."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from agent.edges.signals import Stop, watched

FOREVER = 600.0  # none of these sleeps may come to its end


@pytest.fixture
def signals():
    """Signals of this process, collected."""
    with watched() as signals:
        yield signals


def send(*numbers):
    """Send signals to this process; they have been received when this returns."""
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_a_sleep(signals, number):
    """Stop is raised at once, also when the signal came before the sleep."""
    send(number)
    with pytest.raises(Stop):
        signals.sleep(FOREVER)


def test_a_stop_ends_a_sleep_that_has_begun(signals):
    """The signal comes while the process waits in select."""
    timer = threading.Timer(0.05, send, [signal.SIGTERM])
    timer.start()
    with pytest.raises(Stop):
        signals.sleep(FOREVER)
    timer.join()


def test_a_hup_is_put_off_until_wait(signals):
    """It cuts a retry's pause short, and is not lost; nor does it come twice."""
    send(signal.SIGHUP)
    signals.sleep(FOREVER)
    assert signals.wait(FOREVER) == signal.SIGHUP
    assert signals.wait(0) is None


def test_a_stop_behind_a_hup_still_stops_the_sleeps(signals):
    """Both arrive at once: the HUP ends one pause, the next one raises."""
    send(signal.SIGHUP, signal.SIGTERM)
    signals.sleep(FOREVER)
    with pytest.raises(Stop):
        signals.sleep(FOREVER)
    assert signals.wait(FOREVER) == signal.SIGHUP


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_wait_answers_the_signal(signals, number):
    """Each once, and None when the time is up."""
    send(number)
    assert signals.wait(FOREVER) == number
    assert signals.wait(0) is None


def test_signals_come_in_their_order(signals):
    """None is lost."""
    send(signal.SIGHUP, signal.SIGTERM, signal.SIGHUP)
    assert [signals.wait(FOREVER) for _ in range(3)] == [signal.SIGHUP, signal.SIGTERM, signal.SIGHUP]


def test_a_sleep_without_a_signal_just_ends(signals):
    """The time is up; nothing is raised."""
    signals.sleep(0)


def test_everything_is_as_before_after_the_block():
    """Handlers, the wakeup descriptor, and no descriptor left open."""
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers], os.listdir("/proc/self/fd")
    with watched():
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert ([signal.getsignal(number) for number in numbers], os.listdir("/proc/self/fd")) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_children_die_of_sigterm_as_ever(signals):
    """A handler of ours does not survive exec: systemctl and bootstrap.sh can be stopped."""
    code = "import signal; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.communicate()[0] == b"True\n"


def test_an_ignored_hup_arrives_all_the_same():
    """nohup, and some service managers of images, start us with SIGHUP ignored; a reload must work
    even so.
    """
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with watched() as signals:
            send(signal.SIGHUP)
            assert signals.wait(FOREVER) == signal.SIGHUP
    finally:
        assert signal.signal(signal.SIGHUP, before) is signal.SIG_IGN
