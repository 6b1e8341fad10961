"""The delays of the daemon."""

from __future__ import annotations

from itertools import accumulate, repeat

import pytest

from agent.daemon.retry import jittered, next_crash_delay, next_gap, next_reload_gap, retry_delay


def low(lower: float, upper: float) -> float:
    """Draw the lower bound."""
    return lower


def high(lower: float, upper: float) -> float:
    """Draw the upper bound."""
    return upper


@pytest.mark.parametrize(
    ("failures", "was_configured", "shortest", "longest"),
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
def test_retry_delay_grows_up_to_a_limit(failures: int, was_configured: bool, shortest: float, longest: float) -> None:
    """The delay grows with jitter: to a minute on a node that was never configured, else five."""
    assert retry_delay(failures, was_configured, low) == pytest.approx(shortest)
    assert retry_delay(failures, was_configured, high) == pytest.approx(longest)
    assert shortest - 0.01 <= retry_delay(failures, was_configured) <= longest + 0.01


def test_crash_delay_doubles_up_to_a_limit() -> None:
    """It is twice as long each time, up to five minutes."""
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
    ("gap", "quiet", "expected"),
    [(1, 0, 2), (1, 2.5, 2), (1, 2.6, 1), (8, 9, 16), (40, 41, 60), (60, 61, 60), (60, 121, 1)],
)
def test_gap_doubles_until_files_are_quiet(gap: float, quiet: float, expected: float) -> None:
    """It grows up to a minute; files that are quiet for more than twice the gap reset it."""
    assert next_gap(gap, quiet) == expected


@pytest.mark.parametrize(("gap", "quiet", "expected"), [(1, 0, 2), (1, 2.5, 2), (1, 2.6, 1), (8, 9, 10), (10, 21, 1)])
def test_gap_between_reloads_doubles_up_to_ten_seconds(gap: float, quiet: float, expected: float) -> None:
    """Ten seconds, because an operator waits for the reload; a pause resets it."""
    assert next_reload_gap(gap, quiet) == expected


def test_interval_has_a_jitter_of_ten_percent() -> None:
    """The nodes of a group do not act together."""
    assert (jittered(100, low), jittered(100, high)) == (pytest.approx(90), pytest.approx(110))
    assert 90 <= jittered(100) <= 110
