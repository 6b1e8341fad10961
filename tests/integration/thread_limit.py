"""The limit of threads of a machine: more are refused."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from agent.edges import threads


def limit_program(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Let the program start no more than so many threads; those of the test are not limited."""
    start, started = threads.start, list[threading.Thread]()

    def some(wanted: Sequence[threading.Thread]) -> list[threading.Thread]:
        started.extend(start(wanted[: limit - len(started)]))
        return started

    monkeypatch.setattr(threads, "start", some)


def limit_threads(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Let no more than so many threads start; the others fail as at the limit of the system."""
    start, started = threading.Thread.start, list[threading.Thread]()

    def refuse(thread: threading.Thread) -> None:
        if len(started) >= limit:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
