"""The notification socket of systemd, sd_notify(3)."""

from __future__ import annotations

import os
from typing import Callable

from agent.errors import AgentError

#: Sends lines such as `READY=1`; returns False if systemd did not receive them.
Notify = Callable[[str], bool]


def notifier() -> Notify:
    """Return a function that sends lines such as `READY=1` to systemd, and raises nothing.

    Outside systemd it does nothing.

    Raises AgentError if systemd waits for them and systemd-python is not installed.
    """
    if not os.environ.get("NOTIFY_SOCKET"):
        return lambda message: True
    try:
        from systemd import daemon
    except ImportError:  # not ModuleNotFoundError: an empty namespace package may have the same name
        raise AgentError(
            "cannot send READY=1 to systemd: the Python package systemd-python is not installed",
            hint="install systemd-python for this Python",
        ) from None

    def notify(message: str) -> bool:
        try:
            return bool(daemon.notify(_plain(message)))
        except (OSError, ValueError):
            return False

    return notify


def _plain(message: str) -> str:
    """Escape what the socket refuses: bytes of file names that are not UTF-8, and NUL."""
    return message.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\0")
