"""The limits are in force: a reader that breaks them, or raises anything else, is reported."""

from __future__ import annotations

import pytest

from agent.errors import AgentError
from tests.fuzz.bounds import Bomb, run


def spin(data: bytes) -> None:
    """Take all of the CPU time there is."""
    while data:
        pass


def swallow(data: bytes) -> None:
    """Take more memory than is allowed."""
    assert len(data * (400 << 20)) > 0


def stumble(data: bytes) -> None:
    """Raise what no reader may raise."""
    raise TypeError(data)


def shout(data: bytes) -> None:
    """Raise an error that a terminal would obey."""
    raise AgentError("\x1b[2J")


def refuse(data: bytes) -> None:
    """Raise what a reader may raise."""
    raise AgentError("no")


@pytest.mark.parametrize(
    ("read", "problem"),
    [
        (spin, "SIGXCPU"),
        (swallow, "MemoryError"),
        (stumble, "TypeError: b'x'"),
        (shout, "AssertionError"),
        (refuse, ""),
    ],
)
def test_what_breaks_a_limit_is_reported(read: object, problem: str) -> None:
    """Each way to break the contract has its report."""
    report = run(Bomb(read, lambda: b"x"), cpu=1)  # type: ignore[arg-type]
    assert problem in report
    assert bool(problem) == bool(report)
