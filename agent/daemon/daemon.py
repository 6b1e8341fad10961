"""Host, settings and channels of one worker of the daemon."""

from __future__ import annotations

import time

from agent.core.record import evolve, field, record
from agent.core.redact import redact
from agent.core.settings.schema import Settings
from agent.daemon.facts_process import FactsProcess
from agent.daemon.protocol import Busy, Send, Status
from agent.edges.signals import Signals
from agent.node.budget import Budget
from agent.node.host import Host
from agent.node.sources import SettingsSources, StaticSettings, static_settings, usable_settings

#: Bytes of STATUS= and its text together (sd_notify(3)): the text may name many files or units.
_STATUS_LIMIT = 1024 - len("STATUS=")


@record
class Daemon:
    """Host, settings and channels that a boot or a cycle works with.

    `started`: the moment at which the daemon started (CLOCK_MONOTONIC).  `facts_process`: requests
    the facts of a boot meanwhile.
    """

    host: Host
    sources: SettingsSources
    send: Send
    signals: Signals
    started: float = field(factory=time.monotonic)
    facts_process: FactsProcess | None = None

    def set_status(self, text: str) -> None:
        """Report to systemd what the daemon is doing (`systemctl status`)."""
        set_status(self.send, text)

    def expect_silence(self, seconds: float) -> None:
        """Announce that no message may follow for so many seconds."""
        self.send(Busy(seconds))

    def static_settings(self) -> StaticSettings:
        """Read the settings of files and flags.  Raises SettingsError and FileError."""
        return static_settings(self.host.files, self.sources)

    def usable_settings(self) -> Settings:
        """Read the settings of files and flags; those that are wrong have their defaults."""
        return usable_settings(self.host.files, self.sources)

    def with_budget(self, budget: Budget) -> Daemon:
        """Return the same with a limit for all waits."""
        return evolve(self, host=evolve(self.host, budget=budget))


def set_status(send: Send, text: str) -> None:
    """Send a status line without credentials, and short enough for sd_notify(3)."""
    send(Status(_one_line(redact(text))))


def _one_line(text: str) -> str:
    """Return the first line, shortened so that it is one of `systemctl status`."""
    line = text.partition("\n")[0].encode("utf-8", "backslashreplace")
    shown = line if len(line) <= _STATUS_LIMIT else line[: _STATUS_LIMIT - 3] + b"..."
    return shown.decode("utf-8", "ignore")
