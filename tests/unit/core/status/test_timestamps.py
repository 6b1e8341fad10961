"""Moments: read from status.json, and said as people say them."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.status import timestamps

EPOCH = datetime.datetime.fromtimestamp(0, datetime.timezone.utc).replace(tzinfo=None)


@given(st.datetimes(min_value=EPOCH, timezones=st.just(datetime.timezone.utc)))
def test_a_timestamp_is_the_calendars_second(moment):
    """Each moment in UTC, from 1970 to 9999, gives the second that Python's own calendar gives."""
    moment = moment.replace(microsecond=0)
    assert timestamps.parse_timestamp(moment.isoformat(timespec="seconds")) == moment.timestamp()


@given(st.integers(min_value=0, max_value=2**37))
def test_what_is_written_can_be_read(seconds):
    """A moment in status.json is the second that it was made of, in whatever zone the node is."""
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
def test_what_is_no_moment_in_utc_is_unknown(text):
    """A local time, half a moment or no text at all gives nothing, and no error."""
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
def test_a_span_is_coarse(seconds, text):
    """One number and one unit, never less than what it says."""
    assert timestamps.span(seconds) == text


@pytest.mark.parametrize(
    ("moment", "past", "future"),
    [
        (None, "", ""),
        (1000.0, "just now", "in a moment"),
        (760.0, "4 min ago", "4 min overdue"),
        (1240.0, "4 min in the future by this clock", "in 4 min"),
    ],
)
def test_moments_are_said_from_now(moment, past, future):
    """Behind, now and ahead; a clock that was set back is named, and not taken for just now."""
    assert timestamps.ago(moment, 1000.0) == past
    assert timestamps.ahead(moment, 1000.0) == future
