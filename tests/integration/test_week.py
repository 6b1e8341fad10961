"""Days of the daemon's life in seconds: the real loop, real passes and a real metadata service,
with a clock of its own.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import gmtime, strftime, struct_time
from typing import Callable

import pytest

from agent.daemon import boot as booting
from agent.daemon import cycle as turning
from agent.daemon import journal_events
from agent.daemon.boot import Daemon, boot
from agent.daemon.cycle import finish_cycle, run_cycle
from agent.daemon.protocol import Message, encode
from agent.daemon.supervisor import Reason, Supervisor
from agent.demo.instance import Instance
from agent.demo.metadata_service import MetadataService
from agent.edges.child import HandleLine
from agent.edges.inotify import FileWatcher
from agent.edges.signals import watched
from agent.node import reconcile as configuring
from agent.node import status_file
from agent.node.host import host_of
from agent.node.sources import SettingsSources
from tests.integration.command_line import PROXY, Node

pytestmark = pytest.mark.long

DAY, HOUR = 86400.0, 3600.0
WEEK = 7 * DAY


class Clock:
    """Seconds that pass when the daemon sleeps; the time of day is somebody else's and jumps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ahead = 0.0

    def monotonic(self) -> float:
        """CLOCK_MONOTONIC."""
        return self.now

    def time(self) -> float:
        """CLOCK_REALTIME, as wrong as it has been set."""
        return 1.7e9 + self.now + self.ahead

    def gmtime(self, seconds: float | None = None) -> struct_time:
        """The same in parts."""
        return gmtime(self.time() if seconds is None else seconds)

    strftime = staticmethod(strftime)


class Life:
    """In the place of `Signals`: sleeping makes the clock go on, up to the next thing that
    happens.
    """

    def __init__(self, clock: Clock, events: list[tuple[float, Callable[[], int | None]]]) -> None:
        self._clock = clock
        self._events = sorted(events, key=lambda event: event[0])
        self._begin = clock.now
        self.wakes = 0

    def wait(self, seconds: float | None, *descriptors: int, only_new: bool = False) -> int | None:
        """Sleep; the end of the days is a SIGTERM."""
        self.wakes += 1
        until = self._clock.now + (seconds or 0)
        at, action = self._events[0]
        if self._begin + at > until:
            self._clock.now = until
            return None
        self._clock.now = max(self._clock.now, self._begin + at)
        self._events.pop(0)
        return action()

    def requeue(self, number: int) -> None:
        """Nothing is put back here."""

    def sleep(self, seconds: float) -> None:
        """Retries inside a pass take no time."""


def held() -> tuple[int, int, int]:
    """What this process holds: objects, open files, kB of memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(gc.get_objects()), len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE") // 1024


class Week:
    """A daemon on a scratch node, and what it did."""

    def __init__(self, node: Node, service: MetadataService, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node, self.service = node, service
        self.clock = Clock()
        self.passes: list[Reason] = []
        self.said: list[str] = []
        self.samples: list[tuple[int, int, int]] = []
        for module in (status_file, configuring, journal_events, booting, turning):
            monkeypatch.setattr(module, "time", self.clock)
        monkeypatch.setenv("WATCHDOG_USEC", "180000000")

    def live(self, *events: tuple[float, Callable[[], int | None]], days: int = 7) -> Life:
        """Boot, and live through these days with these events; the daemon has to end with 0."""
        life = Life(self.clock, [*events, (days * DAY, lambda: signal.SIGTERM)])
        machine = host_of(argparse.Namespace(root=str(self.node.root)))

        def perform(reason: Reason, handle_line: HandleLine, idle: Callable[[], float]) -> int:
            def send(message: Message) -> None:
                handle_line(encode(message))

            self.passes.append(reason)
            with watched() as signals:
                daemon = Daemon(machine, SettingsSources(), send, signals)
                if reason is Reason.BOOT:
                    result = boot(daemon)
                    finish_cycle(daemon, result, is_settled=result is not None, is_boot=True)
                else:
                    run_cycle(daemon, reason)
            if len(self.passes) % 25 == 0:
                self.samples.append(held())
            return 0

        watcher = FileWatcher()
        try:
            supervisor = Supervisor(perform, self.said.append, life, watcher, self.clock.monotonic)  # type: ignore[arg-type]
            assert supervisor.run() == 0
        finally:
            watcher.close()
        return life

    def edit(self, text: str = "http_proxy=http://wrong\n") -> None:
        """Somebody writes /etc/environment."""
        self.node.write("etc/environment", text.encode())


@pytest.fixture
def week(monkeypatch: pytest.MonkeyPatch) -> Iterator[Week]:
    """A node that looks every ten minutes, as by default, which makes a thousand passes; in memory,
    where fsync costs nothing.
    """
    shared = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as directory,
        MetadataService() as service,
    ):
        node = Node(Path(directory))
        node.settings(
            f'[metadata]\nendpoint = "{service.endpoint}"\ndeadline = 1\n[node]\nunits = ["docker"]\nenable = []\n[proxy]\nurl = "{PROXY}"\n'
        )
        yield Week(node, service, monkeypatch)


def test_a_quiet_week_costs_nothing(week: Week, capfd: pytest.CaptureFixture[str]) -> None:
    """A thousand passes over a node that is as planned: no file is touched, no line logged, nothing
    grows.
    """
    stamps: dict[str, tuple[int, int]] = {}

    def remember() -> None:
        stamps.update(week.node.stamps())
        capfd.readouterr()

    life = week.live((HOUR, remember))
    assert 950 < len(week.passes) < 1100
    assert week.passes.count(Reason.FILES) <= 1, "our own writes are no news"
    assert week.node.stamps() == stamps
    assert capfd.readouterr().err == ""
    nothing_grows(week)
    assert life.wakes <= WEEK / 60, "at most one wake-up a minute"
    pings = week.said.count("WATCHDOG=1")
    assert WEEK / 100 < pings <= WEEK / 90 + 1, "pinged in half of the time that systemd allows, and no more"


def test_three_eventful_days(week: Week, capfd: pytest.CaptureFixture[str]) -> None:
    """Edits, reloads, lies and absences of metadata, broken settings and jumps of the clock: all
    mended, nothing grows.
    """
    settings = week.node.read("etc/eks-proxy-agent/config.toml")
    usual = week.service.instance
    grown = Instance(vpc_cidrs_v4=(*usual.vpc_cidrs_v4, "10.77.0.0/16"))
    lying = Instance(vpc_cidrs_v4=("100.64.0.0/16",))
    seen: list[bool] = []

    def be(instance: Instance) -> None:
        week.service.instance = instance

    def jump(seconds: float) -> None:
        week.clock.ahead += seconds

    events: list[tuple[float, Callable[[], int | None]]] = []
    for day in range(3):
        at = day * DAY + 3 * HOUR
        events += [
            (at, week.edit),
            (at + HOUR, lambda: be(grown)),
            (at + 2 * HOUR, lambda: be(lying)),
            (at + 2 * HOUR + 700, lambda: seen.append("10.77.0.0/16" in week.node.no_proxy())),
            (at + 2 * HOUR + 720, lambda: be(grown)),
            (at + 3 * HOUR, lambda: be(usual)),
            (at + 4 * HOUR, lambda: week.node.settings(settings + "oops = 1\n") and None),
            (at + 5 * HOUR, lambda: week.node.settings(settings) and None),
            (at + 6 * HOUR, lambda: signal.SIGHUP),
            (at + 7 * HOUR, lambda: jump(-365 * DAY)),
            (at + 8 * HOUR, lambda: jump(366 * DAY)),
        ]
    week.live(*events, days=3)
    log = capfd.readouterr().err
    assert log.count("drift.repaired") == 3
    assert log.count("node.degraded") == 3
    assert seen == [True] * 3, "a CIDR that is missing in one pass stays"
    assert log.count("metadata.missing") >= 6
    assert week.passes.count(Reason.RELOAD) == 3
    assert week.node.variables()["http_proxy"] == PROXY
    assert set(usual.vpc_cidrs_v4) <= set(week.node.no_proxy())
    assert "10.77.0.0/16" not in week.node.no_proxy(), "and one that stays away goes"
    nothing_grows(week)


def nothing_grows(week: Week) -> None:
    """The second half of the days holds what the first half did, with a margin for caches and
    fragments.
    """
    half = len(week.samples) // 2
    assert half >= 5
    early, late = week.samples[half - 1], week.samples[-1]
    assert late[0] <= early[0] * 1.02 + 200, "objects"
    assert late[1] <= early[1], "open files"
    assert late[2] <= early[2] + 2048, "kB of memory"
    assert len(list(week.node.root.rglob("*"))) < 100, "files"
