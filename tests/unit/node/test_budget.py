"""The budget of a boot: one limit for all waits, and what `systemctl status` shows meanwhile."""

from __future__ import annotations

import math

import pytest

from agent.node import budget
from agent.node.budget import BOOT, LOCK_WAIT, UNREACHABLE, Budget, boot_budget


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock of the test."""
    return Clock()


def test_waits_share_the_budget(clock: Clock) -> None:
    """What one wait takes is not there for the next; a spent budget gives 0, not less."""
    budget = Budget(60, started=clock.now, clock=clock)
    assert (budget.remaining(), budget.lock_wait(), budget.bounded(2)) == (60, 60, 2)
    clock.now += 59
    assert (budget.remaining(), budget.lock_wait(), budget.bounded(2)) == (1, 1, 1)
    clock.now += 59
    assert (budget.remaining(), budget.lock_wait(), budget.bounded(2)) == (0, 0, 0)


def test_budget_begins_with_the_unit(clock: Clock) -> None:
    """The time before the worker reads the settings counts."""
    assert Budget(60, started=clock.now - 10, clock=clock).remaining() == 50


def test_budget_without_a_start_begins_with_its_first_wait(clock: Clock) -> None:
    """What is imported before does not count, so the error of each cycle has the same seconds."""
    budget = Budget(2, clock=clock)
    clock.now += 1
    assert budget.for_metadata() == (2, 2)
    clock.now += 0.5
    assert budget.remaining() == 1.5


def test_without_a_budget_each_wait_has_its_own_limit() -> None:
    """A command waits for the lock for a moment, and probes as long as they take."""
    budget = Budget()
    assert (budget.lock_wait(), budget.bounded(2)) == (LOCK_WAIT, 2)
    budget.report("the lock")  # shows nothing, since no end is known


@pytest.mark.parametrize(
    ("deadline", "names_proxy", "seconds", "if_unreachable"),
    [
        (None, True, BOOT, BOOT),
        (None, False, BOOT, UNREACHABLE),
        (5.0, False, 5.0, 5.0),
        (5.0, True, 5.0, 5.0),
        (300.0, False, 300.0, 300.0),
    ],
)
def test_budget_of_a_boot(
    clock: Clock, deadline: float | None, names_proxy: bool, seconds: float, if_unreachable: float
) -> None:
    """60 s, but 30 s without an answer where no file names a proxy; metadata.deadline wins."""
    budget = boot_budget(deadline, names_proxy=names_proxy)
    assert budget.seconds == seconds
    assert budget.for_metadata() == pytest.approx((seconds, if_unreachable), abs=1)


@pytest.mark.parametrize(("seconds", "least"), [(60.0, 1.0), (0.3, 0.3)])
def test_spent_budget_suffices_for_a_service_that_is_up(clock: Clock, seconds: float, least: float) -> None:
    """After a long wait for the lock, one request still configures the node."""
    budget = Budget(seconds, started=clock.now, unreachable=30, clock=clock)
    clock.now += 100
    assert budget.for_metadata() == (least, least)


def test_status_is_shown_at_most_once_a_second(clock: Clock) -> None:
    """The metadata service is requested more often than that."""
    shown: list[str] = []
    budget = Budget(60, started=clock.now, show=shown.append, clock=clock)
    for _ in range(30):
        budget.report("no answer")
        clock.now += 0.1
    budget.report("refused", 27.4)
    assert shown == [
        "waiting, 60 s left: no answer",
        "waiting, 59 s left: no answer",
        "waiting, 58 s left: no answer",
        "waiting, 27 s left: refused",
    ]
    assert math.isinf(Budget().remaining())


@pytest.mark.parametrize(
    ("deadline", "names_proxy", "seconds", "unreachable"),
    [(None, True, 60.0, 60.0), (None, False, 60.0, 30.0), (7.0, True, 7.0, 7.0), (7.0, False, 7.0, 7.0)],
)
def test_a_boot_waits_and_reports_as_the_daemon_does(
    monkeypatch: pytest.MonkeyPatch, deadline: float | None, names_proxy: bool, seconds: float, unreachable: float
) -> None:
    """It begins at the start of the daemon."""
    now = [100.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    shown: list[str] = []
    slept: list[float] = []
    made = boot_budget(deadline, names_proxy=names_proxy, started=98.0, show=shown.append, sleep=slept.append)
    assert made.remaining() == seconds - 2
    assert made.for_metadata() == (seconds - 2, unreachable - 2)
    made.report("no answer")
    made.sleep(0.5)
    assert (shown, slept) == ([f"waiting, {seconds - 2:.0f} s left: no answer"], [0.5])
