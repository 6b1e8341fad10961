"""systemd's units, through systemctl."""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Sequence

import attrs

from agent.edges import command

_PROPERTIES = "Id,LoadState,UnitFileState,ActiveState,MainPID,AssertResult,AssertTimestampMonotonic"


@attrs.frozen
class Unit:
    """A unit as systemd sees it.  `blocked`: its last start was refused by an Assert...= line."""

    name: str
    exists: bool
    enabled: str
    active: str
    main_pid: int
    blocked: bool


class Systemd:
    """The running systemd of this machine."""

    def show(self, names: Sequence[str]) -> Dict[str, Unit]:
        """State by name; one call for all, because each costs 10 ms at boot."""
        if not names:
            return {}
        output = command.run(["systemctl", "show", "--property=" + _PROPERTIES, "--"] + list(names)).stdout
        blocks = [_properties(block.splitlines()) for block in output.strip().split("\n\n")]
        return {name: _unit(name, block) for name, block in zip(names, blocks)}

    def reload(self) -> None:
        command.run(["systemctl", "daemon-reload"], timeout=120)

    def enable(self, names: Sequence[str]) -> None:
        """Enable; ask first, because systemctl runs all generators again even when nothing changes."""
        command.run(["systemctl", "enable", "--"] + list(names), timeout=120)

    def disable_now(self, names: Sequence[str]) -> None:
        command.run(["systemctl", "disable", "--now", "--"] + list(names), timeout=120)

    def start(self, names: Sequence[str]) -> None:
        """Queue the start and return: waiting for a unit that is ordered after us would be a deadlock."""
        command.run(["systemctl", "start", "--no-block", "--"] + list(names))


class NoSystemd(Systemd):
    """For a tree other than `/`: nothing runs there, nothing is asked or done."""

    def show(self, names: Sequence[str]) -> Dict[str, Unit]:
        return {}

    def reload(self) -> None:
        return None

    enable = disable_now = start = lambda self, names: None


def _properties(lines: Iterable[str]) -> Mapping[str, str]:
    pairs: List[Sequence[str]] = [line.partition("=") for line in lines]
    return {key: value for key, _, value in pairs}


def _unit(name: str, block: Mapping[str, str]) -> Unit:
    asked = block.get("AssertTimestampMonotonic", "0") not in ("", "0")
    return Unit(
        name=name,
        exists=block.get("LoadState") == "loaded",
        enabled=block.get("UnitFileState", ""),
        active=block.get("ActiveState", ""),
        main_pid=int(block.get("MainPID") or 0),
        blocked=asked and block.get("AssertResult") == "no",
    )
