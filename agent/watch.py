"""The daemon's life after boot: a pass when asked (SIGHUP), and again and again while the node is degraded."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Optional

import attrs

from agent.boot import Daemon, after_ready, bootstrap_again, degraded, one_pass
from agent.configure import Pass
from agent.core.settings import Settings
from agent.errors import AgentError
from agent.log import get_logger
from agent.owner import baked

#: Seconds between the tries of a degraded node: the first pause and the longest.
RETRY_FIRST, RETRY_LONGEST = 2.0, 60.0
#: Seconds that such a try asks for metadata.
RETRY_PATIENCE = 2.0


def watch(daemon: Daemon, done: Optional[Pass]) -> int:
    """Stay until SIGTERM; answers the exit code."""
    daemon = attrs.evolve(daemon, patience=RETRY_PATIENCE)
    pause = None if done else RETRY_FIRST
    retry_at = pause and time.monotonic() + pause
    ping = _watchdog_interval()
    while True:
        waits = [
            seconds for seconds in (retry_at and max(0.0, retry_at - time.monotonic()), ping) if seconds is not None
        ]
        number = daemon.signals.wait(min(waits) if waits else None)
        if number in (signal.SIGTERM, signal.SIGINT):
            daemon.notify("STOPPING=1")
            return 0
        daemon.notify("WATCHDOG=1")
        if number != signal.SIGHUP and (retry_at is None or time.monotonic() < retry_at):
            continue
        reloading = number == signal.SIGHUP
        if reloading:
            daemon.notify("RELOADING=1")
        fresh = _try(daemon)
        if reloading:
            daemon.notify("READY=1")
        settled = fresh is not None and after_ready(daemon, fresh)
        if fresh and pause:
            bootstrap_again(daemon)
        pause = None if settled else _longer(pause)
        retry_at = pause and time.monotonic() + pause


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
