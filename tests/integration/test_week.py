"""Days of the daemon in seconds: real loop, cycles and metadata service, with a simulated clock."""

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

from agent.daemon import boot as boot_module
from agent.daemon import journal_events, outcome
from agent.daemon.boot import boot
from agent.daemon.cycle import finish_cycle, run_cycle
from agent.daemon.daemon import Daemon
from agent.daemon.protocol import Message, encode
from agent.daemon.supervisor import Reason, Supervisor
from agent.demo.instance import Instance
from agent.demo.metadata_service import MetadataService
from agent.edges.child import HandleLine
from agent.edges.inotify import FileWatcher
from agent.edges.signals import watched
from agent.node import reconcile as reconcile_module
from agent.node import status_file
from agent.node.host import host_of
from agent.node.sources import SettingsSources
from tests.integration.command_line import PROXY, Node

pytestmark = pytest.mark.long

DAY, HOUR = 86400.0, 3600.0
WEEK = 7 * DAY


class Clock:
    """Seconds that pass only while the daemon sleeps; its time of day jumps at the test's will."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ahead = 0.0

    def monotonic(self) -> float:
        """Return CLOCK_MONOTONIC."""
        return self.now

    def time(self) -> float:
        """Return CLOCK_REALTIME, as wrong as it was set."""
        return 1.7e9 + self.now + self.ahead

    def gmtime(self, seconds: float | None = None) -> struct_time:
        """Return the same as a struct."""
        return gmtime(self.time() if seconds is None else seconds)

    strftime = staticmethod(strftime)


class Life:
    """A substitute for `Signals`: a sleep moves the clock on, up to the next event."""

    def __init__(self, clock: Clock, events: list[tuple[float, Callable[[], int | None]]]) -> None:
        self._clock = clock
        self._events = sorted(events, key=lambda event: event[0])
        self._begin = clock.now
        self.wakes = 0

    def wait(self, seconds: float | None, *descriptors: int, only_new: bool = False) -> int | None:
        """Sleep; SIGTERM ends the last day."""
        self.wakes += 1
        until = self._clock.now + (seconds or 0)
        seconds_from_begin, action = self._events[0]
        if self._begin + seconds_from_begin > until:
            self._clock.now = until
            return None
        self._clock.now = max(self._clock.now, self._begin + seconds_from_begin)
        self._events.pop(0)
        return action()

    def requeue(self, number: int) -> None:
        """Do nothing: no signal is requeued here."""

    def sleep(self, seconds: float) -> None:
        """Let the retries of a cycle take no time."""


def held() -> tuple[int, int, int]:
    """Return what this process holds: objects, open files, kB of memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(gc.get_objects()), len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE") // 1024


class Week:
    """A daemon on a scratch node, and a record of what it did."""

    def __init__(self, node: Node, service: MetadataService, monkeypatch: pytest.MonkeyPatch) -> None:
        self.node, self.service = node, service
        self.clock = Clock()
        self.cycles: list[Reason] = []
        self.notifications: list[str] = []
        self.samples: list[tuple[int, int, int]] = []
        for module in (status_file, reconcile_module, journal_events, boot_module, outcome):
            monkeypatch.setattr(module, "time", self.clock)
        monkeypatch.setenv("WATCHDOG_USEC", "180000000")

    def live(self, *events: tuple[float, Callable[[], int | None]], days: int = 7) -> Life:
        """Boot, and run for these days with these events; the daemon has to exit with 0."""
        life = Life(self.clock, [*events, (days * DAY, lambda: signal.SIGTERM)])
        host = host_of(argparse.Namespace(root=str(self.node.root)))

        def run_worker(reason: Reason, handle_line: HandleLine, idle: Callable[[], float]) -> int:
            def send(message: Message) -> None:
                handle_line(encode(message))

            self.cycles.append(reason)
            with watched() as signals:
                daemon = Daemon(host, SettingsSources(), send, signals)
                if reason is Reason.BOOT:
                    result = boot(daemon)
                    finish_cycle(daemon, result, is_settled=result is not None, is_boot=True)
                else:
                    run_cycle(daemon, reason)
            if len(self.cycles) % 25 == 0:
                self.samples.append(held())
            return 0

        def record_crash(problem: str, *_: object) -> int:
            raise AssertionError(problem)

        def notify(text: str) -> bool:
            self.notifications.append(text)
            return True

        watcher = FileWatcher()
        try:
            supervisor = Supervisor(run_worker, record_crash, notify, life, watcher, self.clock.monotonic)  # type: ignore[arg-type]
            assert supervisor.run() == 0
        finally:
            watcher.close()
        return life

    def edit(self, text: str = "http_proxy=http://wrong\n") -> None:
        """Edit /etc/environment as another process."""
        self.node.write("etc/environment", text.encode())


@pytest.fixture
def week(monkeypatch: pytest.MonkeyPatch) -> Iterator[Week]:
    """A node with a cycle every ten minutes, the default, so a thousand cycles a week.

    It is in memory, where fsync costs nothing.
    """
    shared = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as directory,
        MetadataService() as service,
    ):
        node = Node(Path(directory))
        node.settings(
            f'[metadata]\nendpoint = "{service.endpoint}"\n[node]\nunits = ["docker"]\nenable = []\n[proxy]\nurl = "{PROXY}"\n'
        )
        yield Week(node, service, monkeypatch)


def test_quiet_week_changes_nothing(week: Week, capfd: pytest.CaptureFixture[str]) -> None:
    """In a thousand cycles without drift no file is written, nothing logged, and nothing grows."""
    stamps: dict[str, tuple[int, int]] = {}

    def record_stamps() -> None:
        stamps.update(week.node.stamps())
        capfd.readouterr()

    life = week.live((HOUR, record_stamps))
    assert 950 < len(week.cycles) < 1100
    assert week.cycles.count(Reason.FILES) <= 1, "writes of the agent start no cycle"
    assert week.node.stamps() == stamps
    assert capfd.readouterr().err == ""
    assert_nothing_grows(week)
    assert life.wakes <= WEEK / 60, "at most one wake-up a minute"
    pings = week.notifications.count("WATCHDOG=1")
    assert WEEK / 100 < pings <= WEEK / 90 + 1, "a ping each half of WatchdogSec=, and no more"


def test_three_days_of_faults_are_repaired(week: Week, capfd: pytest.CaptureFixture[str]) -> None:
    """Edits, reloads, lost and wrong metadata, wrong settings and clock jumps are all repaired.

    Nothing grows.
    """
    settings = week.node.read("etc/eks-proxy-agent/config.toml")
    usual = week.service.instance
    grown = Instance(vpc_cidrs_v4=(*usual.vpc_cidrs_v4, "10.77.0.0/16"))
    wrong = Instance(vpc_cidrs_v4=("100.64.0.0/16",))
    kept: list[bool] = []

    def become(instance: Instance) -> None:
        week.service.instance = instance

    def jump(seconds: float) -> None:
        week.clock.ahead += seconds

    events: list[tuple[float, Callable[[], int | None]]] = []
    for day in range(3):
        start = day * DAY + 3 * HOUR
        events += [
            (start, week.edit),
            (start + HOUR, lambda: become(grown)),
            (start + 2 * HOUR, lambda: become(wrong)),
            (start + 2 * HOUR + 1, lambda: signal.SIGHUP),  # or the next request may miss it
            (start + 2 * HOUR + 700, lambda: kept.append("10.77.0.0/16" in week.node.no_proxy())),
            (start + 2 * HOUR + 720, lambda: become(grown)),
            (start + 3 * HOUR, lambda: become(usual)),
            (start + 4 * HOUR, lambda: week.node.settings(settings + "oops = 1\n") and None),
            (start + 5 * HOUR, lambda: week.node.settings(settings) and None),
            (start + 6 * HOUR, lambda: signal.SIGHUP),
            (start + 7 * HOUR, lambda: jump(-365 * DAY)),
            (start + 8 * HOUR, lambda: jump(366 * DAY)),
        ]
    week.live(*events, days=3)
    log = capfd.readouterr().err
    assert log.count("drift.repaired") == 3
    assert log.count("node.degraded") == 3
    assert kept == [True] * 3, "a CIDR that is missing in one cycle stays"
    assert log.count("metadata.missing") >= 6
    assert week.cycles.count(Reason.RELOAD) == 6
    assert week.node.variables()["http_proxy"] == PROXY
    assert set(usual.vpc_cidrs_v4) <= set(week.node.no_proxy())
    assert "10.77.0.0/16" not in week.node.no_proxy(), "a CIDR that stays missing goes"
    assert_nothing_grows(week)


def assert_nothing_grows(week: Week) -> None:
    """Compare the second half of the days with the first, with a margin for caches."""
    half = len(week.samples) // 2
    assert half >= 5
    early, late = week.samples[half - 1], week.samples[-1]
    assert late[0] <= early[0] * 1.02 + 200, "objects"
    assert late[1] <= early[1], "open files"
    assert late[2] <= early[2] + 2048, "kB of memory"
    assert len(list(week.node.root.rglob("*"))) < 100, "files"
