"""The delays of the daemon."""

from __future__ import annotations

from itertools import accumulate, repeat

import pytest

from agent.daemon.retry import jittered, next_crash_delay, next_gap, retry_delay


def low(least: float, most: float) -> float:
    """Draw the least."""
    return least


def high(least: float, most: float) -> float:
    """Draw the most."""
    return most


@pytest.mark.parametrize(
    ("failures", "configured", "shortest", "longest"),
    [
        (0, False, 2, 2),
        (1, False, 3.2, 3.8),
        (2, False, 5.12, 7.22),
        (3, False, 8.192, 13.718),
        (20, False, 60, 60),
        (20, True, 300, 300),
        (10**6, True, 300, 300),
    ],
)
def test_pauses_grow_up_to_a_limit(failures: int, configured: bool, shortest: float, longest: float) -> None:
    """The delay between tries grows with jitter, to a minute on a node that was never configured,
    else to five.
    """
    assert retry_delay(failures, configured, low) == pytest.approx(shortest)
    assert retry_delay(failures, configured, high) == pytest.approx(longest)
    assert shortest - 0.01 <= retry_delay(failures, configured) <= longest + 0.01


def test_crashes_are_tried_again_more_and_more_slowly() -> None:
    """Twice as long each time, up to five minutes."""
    assert list(accumulate(repeat(5.0, 8), lambda delay, _: next_crash_delay(delay))) == [
        5,
        10,
        20,
        40,
        80,
        160,
        300,
        300,
    ]


@pytest.mark.parametrize(
    ("gap", "quiet", "after"),
    [(1, 0, 2), (1, 2.5, 2), (1, 2.6, 1), (8, 9, 16), (40, 41, 60), (60, 61, 60), (60, 121, 1)],
)
def test_the_gap_between_passes_for_files_doubles_until_they_are_quiet(gap: float, quiet: float, after: float) -> None:
    """Up to a minute; files that were quiet for more than twice the gap begin anew."""
    assert next_gap(gap, quiet) == after


def test_the_interval_is_spread_by_a_tenth() -> None:
    """The nodes of a group do not ask together."""
    assert (jittered(100, low), jittered(100, high)) == (pytest.approx(90), pytest.approx(110))
    assert 90 <= jittered(100) <= 110
