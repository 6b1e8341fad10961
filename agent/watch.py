"""The daemon's life after boot: a pass when asked (SIGHUP), and again and again while the node is degraded."""

from __future__ import annotations

import os
import random
import signal
from typing import Optional

from agent.boot import Daemon, after_ready, degraded, one_pass
from agent.configure import Pass
from agent.discover import baked
from agent.core.settings import Settings
from agent.errors import AgentError
from agent.log import get_logger

#: Seconds between the tries of a degraded node: the first pause and the longest.
RETRY_FIRST, RETRY_LONGEST = 2.0, 60.0


def watch(daemon: Daemon, done: Optional[Pass]) -> int:
    """Stay until SIGTERM; answers the exit code."""
    retry = None if done else RETRY_FIRST
    ping = _watchdog_interval()
    waited = 0.0
    while True:
        pauses = [pause for pause in (retry and retry - waited, ping) if pause]
        pause = min(pauses) if pauses else None
        number = daemon.signals.wait(pause)
        if number in (signal.SIGTERM, signal.SIGINT):
            daemon.notify("STOPPING=1")
            return 0
        if ping:
            daemon.notify("WATCHDOG=1")
        if number == signal.SIGHUP:
            daemon.notify("RELOADING=1")
        elif retry is None or waited + (pause or 0.0) < retry:
            waited += pause or 0.0
            continue
        waited = 0.0
        fresh = _try(daemon)
        retry = None if fresh else _longer(retry)
        if number == signal.SIGHUP:
            daemon.notify("READY=1")
        if fresh:
            after_ready(daemon, fresh)


def _try(daemon: Daemon) -> Optional[Pass]:
    """A pass that may fail: the last good values stay in place then."""
    try:
        return one_pass(daemon)
    except AgentError as error:
        degraded(daemon, _settings(daemon), error)
        return None


def _settings(daemon: Daemon) -> Settings:
    try:
        return baked(daemon.machine.disk, daemon.options).settings
    except AgentError as error:
        get_logger().error("settings.wrong", error=str(error))
        return Settings()


def _longer(retry: Optional[float]) -> float:
    return min((retry or RETRY_FIRST) * random.uniform(1.5, 2.0), RETRY_LONGEST)


def _watchdog_interval() -> Optional[float]:
    """Seconds between pings: half of what systemd allows (sd_watchdog_enabled(3)), or None without a watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2e6 if microseconds.isdigit() and int(microseconds) else None
