"""What a worker tells the supervisor: one JSON object a line, and the type of each message.

The supervisor imports this module, so it stays light: no dataclasses, which load inspect.
"""

from __future__ import annotations

import json
import os
from typing import Any, Callable, NamedTuple, Union

#: The most seconds that a message may name, about 30 years: with more of them a clock's sum could
#: overflow.
LONGEST = 1e9


class Status(NamedTuple):
    """A line for `systemctl status`, redacted by the worker."""

    text: str


class Ready(NamedTuple):
    """The node has booted: units that wait for the agent may start."""


class NextRun(NamedTuple):
    """The next pass is due in so many seconds."""

    seconds: float


class WatchPaths(NamedTuple):
    """A change of one of these files is worth a pass; a path that ends in `/` is a directory of which every file counts."""

    paths: tuple[str, ...]


class Busy(NamedTuple):
    """What begins now may take so many seconds without another message."""

    seconds: float


Message = Union[Status, Ready, NextRun, WatchPaths, Busy]
Send = Callable[[Message], None]


def encode(message: Message) -> str:
    """Return the message as one line of ASCII, without the line feed; the name of a file may be any bytes."""
    return json.dumps({"type": type(message).__name__, **message._asdict()})


def decode(line: str) -> Message:
    """Return the message of a line.  Raises ValueError, without quoting the line, if it is not one."""
    try:
        fields = json.loads(line)
        kind = _KINDS[fields.pop("type")]
        return kind(**{name: _FIELDS[name](value) for name, value in fields.items()})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ValueError("not a message") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not 0 <= value <= LONGEST:
        raise ValueError
    return float(value)


def _paths(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    for path in value:
        os.fsencode(path)  # raises for what cannot be a name here
    return tuple(value)


_KINDS: dict[str, Callable[..., Message]] = {kind.__name__: kind for kind in (Status, Ready, NextRun, WatchPaths, Busy)}
_FIELDS: dict[str, Callable[[Any], Any]] = {"text": _text, "seconds": _seconds, "paths": _paths}
