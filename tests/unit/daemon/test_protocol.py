"""Messages of a worker, line by line."""

from __future__ import annotations

import contextlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.daemon.protocol import (
    LONGEST,
    Busy,
    Message,
    NextRun,
    Ready,
    ReadyWithin,
    Status,
    WatchPaths,
    decode,
    encode,
)

SECONDS = st.floats(0, LONGEST)
PATHS = st.lists(st.binary().map(os.fsdecode)).map(tuple)
MESSAGES = st.one_of(
    st.builds(Status, st.text() | st.binary().map(os.fsdecode)),
    st.builds(Ready),
    st.builds(ReadyWithin, SECONDS),
    st.builds(NextRun, SECONDS),
    st.builds(WatchPaths, PATHS),
    st.builds(Busy, SECONDS),
)


@given(MESSAGES)
def test_message_survives_encoding(message: Message) -> None:
    """Its type survives too; it is one line of ASCII, whatever bytes the file names have."""
    line = encode(message)
    assert (line.isascii(), "\n" in line) == (True, False)
    assert decode(line) == message
    assert type(decode(line)) is type(message)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "READY=1",
        "null",
        "1",
        '"Ready"',
        '["type"]',
        "{}",
        "[" * 100_000,
        '{"type": "Ready"',
        '{"type": "Ready", "seconds": 1}',
        '{"type": "Ready", "reason": "done"}',
        '{"type": "Unknown"}',
        '{"type": ["Ready"]}',
        '{"type": "Status"}',
        '{"type": "Status", "text": null}',
        '{"type": "NextRun", "seconds": "1"}',
        '{"type": "NextRun", "seconds": true}',
        '{"type": "NextRun", "seconds": -1}',
        '{"type": "NextRun", "seconds": NaN}',
        '{"type": "NextRun", "seconds": Infinity}',
        '{"type": "NextRun", "seconds": 1e400}',
        '{"type": "Busy", "seconds": 1%s}' % ("0" * 5000),
        '{"type": "Busy", "seconds": null}',
        '{"type": "WatchPaths", "paths": "/etc/environment"}',
        '{"type": "WatchPaths", "paths": [1]}',
        '{"type": "WatchPaths", "paths": ["/etc/\\ud800"]}',
    ],
    ids=lambda line: line[:60],
)
def test_invalid_line_raises_value_error(line: str) -> None:
    """The supervisor has only one exception to catch."""
    with pytest.raises(ValueError, match=r"^not a message$"):
        decode(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["type", "text", "seconds", "paths"]), inner),
)


@given(st.text() | JSON.map(json.dumps))
def test_any_line_is_a_message_or_a_value_error(line: str) -> None:
    """No line raises any other exception."""
    with contextlib.suppress(ValueError):
        decode(line)
