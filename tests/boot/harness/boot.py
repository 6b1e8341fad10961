"""The evidence of one boot, as the probe in the node wrote it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.status_schema import problems

from .command import BedError


class Boot:
    """The state at the end of a boot, just before the node powered off."""

    def __init__(self, directory: Path, number: int) -> None:
        """Read the directory that the node sees as /probe; `number` counts its boots from 1."""
        self.directory = directory
        self.number = number

    def text(self, name: str) -> str:
        """Return one piece of evidence as text."""
        return (self.directory / name).read_text(errors="replace")

    @cached_property
    def units(self) -> dict[str, dict[str, str]]:
        """The properties of every loaded unit."""
        loaded: dict[str, dict[str, str]] = json.loads(self.text("units.json"))
        return loaded

    def unit(self, name: str) -> Mapping[str, str]:
        """Return the properties of a service, named without suffix.

        A unit that was never loaded is inactive.
        """
        return self.units.get(f"{name}.service", {"ActiveState": "inactive", "LoadState": "not-found"})

    def active_at(self, name: str) -> int:
        """Return when a service became active, in microseconds of the monotonic clock.

        Host and node share that clock.  Raises BedError if it was never active.
        """
        return self._moment(name, "ActiveEnterTimestampMonotonic")

    def began_at(self, name: str) -> int:
        """Return when the start of a service began, like `active_at`."""
        return self._moment(name, "InactiveExitTimestampMonotonic")

    def _moment(self, name: str, key: str) -> int:
        moment = int(self.unit(name).get(key, "0"))
        if moment == 0:
            raise BedError(f"{name} was never active in boot {self.number}")
        return moment

    def environment(self, name: str) -> dict[str, str] | None:
        """Return /proc/PID/environ of a service's main process; None if it had none."""
        environments: dict[str, dict[str, str] | None] = json.loads(self.text("environ.json"))
        return environments.get(f"{name}.service")

    @cached_property
    def etc(self) -> dict[str, list[Any]]:
        """Every path below /etc with its modification time, inode, mode and size."""
        paths: dict[str, list[Any]] = json.loads(self.text("etc.json"))
        return paths

    @cached_property
    def journal(self) -> list[dict[str, Any]]:
        """Every journal entry of the boot."""
        return [json.loads(line) for line in self.text("journal.jsonl").splitlines()]

    def messages(self, unit: str = "") -> list[str]:
        """Return the texts of journal entries, of one service or of all.

        What systemd logs about that service is included, as by `journalctl -u`, and what a worker
        logged that had ended when journald looked for its unit (OBJECT_PID).
        """
        name = f"{unit}.service"
        fields = ("_SYSTEMD_UNIT", "UNIT", "OBJECT_SYSTEMD_UNIT")
        return [
            _text(entry.get("MESSAGE"))
            for entry in self.journal
            if not unit or any(name in _values(entry.get(field)) for field in fields)
        ]

    def reloads(self) -> int:
        """Return how often systemd reloaded its units (systemd 252 logs "Reloading." each time)."""
        messages = [_text(entry.get("MESSAGE")) for entry in self.journal if entry.get("_PID") == "1"]
        return sum(message.startswith("Reloading") and "unit" not in message for message in messages)

    def status(self) -> dict[str, Any]:
        """Return status.json at the end of the boot, or an empty dict; checks its schema."""
        if not (self.directory / "run/status.json").exists():
            return {}
        status: dict[str, Any] = json.loads(self.text("run/status.json"))
        assert problems(status, file=True) == []
        return status


def _values(field: object) -> list[object]:
    """Return the values of a journal field: one, or a list if an entry has it several times."""
    return field if isinstance(field, list) else [field]


def _text(message: object) -> str:
    """Return a message as text.

    journalctl --output=json prints a message that is not plain text as a list of its bytes.
    """
    if isinstance(message, list):
        return bytes(message).decode("utf-8", "replace")
    return str(message or "")
