"""Timestamps: parsed from status.json, and formatted relative to now."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.status import timestamps

EPOCH = datetime.datetime.fromtimestamp(0, datetime.timezone.utc).replace(tzinfo=None)


@given(st.datetimes(min_value=EPOCH, timezones=st.just(datetime.timezone.utc)))
def test_a_timestamp_gives_the_second_of_the_calendar(moment):
    """Each moment in UTC from 1970 to 9999 gives the same second as Python's calendar."""
    moment = moment.replace(microsecond=0)
    assert timestamps.parse_timestamp(moment.isoformat(timespec="seconds")) == moment.timestamp()


@given(st.integers(min_value=0, max_value=2**37))
def test_a_formatted_timestamp_parses_to_the_same_second(seconds):
    """The time zone of the node does not matter."""
    assert timestamps.parse_timestamp(timestamps.format_timestamp(seconds)) == seconds


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        5,
        "yesterday",
        "2026-02-30T00:00:00+00:00",
        "2026-11-22",
        "2026-11-22T20:31:05",
        "2026-11-22T20:31:05+01:00",
    ],
)
def test_other_text_gives_none(text):
    """A local time, an incomplete timestamp or other text gives None and no error."""
    assert timestamps.parse_timestamp(text) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (47 * 3600, "47 h"),
        (48 * 3600, "2 days"),
        (400 * 86400, "400 days"),
    ],
)
def test_a_span_has_one_unit(seconds, text):
    """It has one number and one unit, rounded down."""
    assert timestamps.span(seconds) == text


@pytest.mark.parametrize(
    ("moment", "past", "future"),
    [
        (None, "", ""),
        (1000.0, "just now", "in a moment"),
        (995.5, "just now", "in a moment"),
        (995.0, "5 s ago", "5 s overdue"),
        (1005.0, "just now", "in 5 s"),
        (1006.0, "6 s in the future by this clock", "in 6 s"),
        (760.0, "4 min ago", "4 min overdue"),
        (1240.0, "4 min in the future by this clock", "in 4 min"),
    ],
)
def test_moments_are_formatted_relative_to_now(moment, past, future):
    """A moment after now is not shown as just now: the clock was set back."""
    assert timestamps.ago(moment, 1000.0) == past
    assert timestamps.ahead(moment, 1000.0) == future
