"""systemd's notification socket, sd_notify(3)."""

from __future__ import annotations

import os
from typing import Callable

from agent.errors import AgentError

Notify = Callable[[str], None]


def notifier() -> Notify:
    """A function that sends lines such as `READY=1` to systemd; outside systemd it does nothing.

    Raises AgentError when systemd waits for us and systemd-python is not there.
    """
    if not os.environ.get("NOTIFY_SOCKET"):
        return lambda message: None
    try:
        from systemd import daemon
    except ImportError:  # a namespace package of the same name hides the reason: no ModuleNotFoundError here
        raise AgentError(
            "cannot send READY=1 to systemd: the Python package systemd-python is not installed",
            hint="install systemd-python for this Python",
        ) from None
    return lambda message: daemon.notify(_plain(message)) and None


def _plain(message: str) -> str:
    """Return what the socket takes: the name of a file may be any bytes, and a text from a file may hold NUL."""
    return message.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")
