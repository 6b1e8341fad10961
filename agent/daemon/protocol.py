"""Messages from a worker to the supervisor: their types, and their form of one JSON object a line.

The supervisor imports this module, so it stays light: no dataclasses, which load inspect.
"""

from __future__ import annotations

import json
import os
from typing import Any, Callable, NamedTuple, Union

#: Most seconds that a message may hold, about 30 years: a larger sum with a clock could overflow.
LONGEST = 1e9


class Status(NamedTuple):
    """Line for `systemctl status`, redacted by the worker."""

    text: str


class Ready(NamedTuple):
    """End of the boot: units that wait for the agent may start."""


class ReadyWithin(NamedTuple):
    """Seconds after which the units start even if the boot has not ended by then."""

    seconds: float


class NextRun(NamedTuple):
    """Seconds until the next cycle."""

    seconds: float


class WatchPaths(NamedTuple):
    """Files whose change starts a cycle.

    A path that ends in `/` is a directory; every file in it counts.
    """

    paths: tuple[str, ...]


class Busy(NamedTuple):
    """Seconds of silence that the worker announces before a long operation."""

    seconds: float


Message = Union[Status, Ready, ReadyWithin, NextRun, WatchPaths, Busy]
Send = Callable[[Message], None]


def encode(message: Message) -> str:
    """Return the message as a line of ASCII without line feed; file names may hold any bytes."""
    return json.dumps({"type": type(message).__name__, **message._asdict()})


def decode(line: str) -> Message:
    """Return the message of a line.

    Raises ValueError, without quoting the line, if it is not a message.
    """
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
        os.fsencode(path)  # raises ValueError if it cannot be a file name
    return tuple(value)


_KINDS: dict[str, Callable[..., Message]] = {
    kind.__name__: kind for kind in (Status, Ready, ReadyWithin, NextRun, WatchPaths, Busy)
}
_FIELDS: dict[str, Callable[[Any], Any]] = {"text": _text, "seconds": _seconds, "paths": _paths}
