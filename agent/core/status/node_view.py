"""The node as `status` shows it: status.json and the current state of files and units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.record import asdict, field, record
from agent.core.status.document import StatusDocument
from agent.core.status.records import BootstrapStatus
from agent.core.systemd import ALIVE


@record
class DaemonStatus:
    """systemd's view of the daemon: ActiveState, UnitFileState and main process."""

    state: str
    enabled: str
    pid: int | None

    @property
    def is_alive(self) -> bool:
        """Return True if the daemon runs or is about to run."""
        return self.state in ALIVE


@record
class NodeView:
    """All that `status` shows.

    `files`: path → state.  `links`: path → the file that it leads to, only for links.
    `units`: unit → state.  `daemon`: None where systemd does not run.  `bootstrap`: the result of
    bootstrap.sh.  `signal`: that of the wait for kubelet, without bootstrap.sh.  `held_units`:
    units that failure.policy = "closed" does not allow to start now.
    """

    document: StatusDocument
    files: Mapping[str, str] = field(factory=dict)
    links: Mapping[str, str] = field(factory=dict)
    units: Mapping[str, str] = field(factory=dict)
    daemon: DaemonStatus | None = None
    bootstrap: BootstrapStatus | None = None
    signal: BootstrapStatus | None = None
    held_units: tuple[str, ...] = ()

    @property
    def has_live_daemon(self) -> bool:
        """Return True if a daemon manages the node."""
        return self.daemon is not None and self.daemon.is_alive

    def to_json(self) -> dict[str, Any]:
        """Return the output of `status --json`."""
        return {
            **self.document.to_json(),
            "files": [{"path": path, "state": state} for path, state in self.files.items()],
            "units": [{"unit": unit, "state": state} for unit, state in self.units.items()],
            "daemon": asdict(self.daemon) if self.daemon else None,
            "bootstrap": self.bootstrap.to_json() if self.bootstrap else None,
            "signal": self.signal.to_json() if self.signal else None,
            "held_units": list(self.held_units),
        }
