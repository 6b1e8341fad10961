"""The evidence of one boot, as the probe in the node left it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.status_schema import problems

from .command import BedError


class Boot:
    """What was seen at the end of a boot, just before the node powered off."""

    def __init__(self, directory: Path, number: int) -> None:
        """Take what the node saw as /probe; number counts the boots of that node from 1."""
        self.directory = directory
        self.number = number

    def text(self, name: str) -> str:
        """One piece of evidence as text."""
        return (self.directory / name).read_text(errors="replace")

    @cached_property
    def units(self) -> dict[str, dict[str, str]]:
        """The properties of every loaded unit."""
        loaded: dict[str, dict[str, str]] = json.loads(self.text("units.json"))
        return loaded

    def unit(self, name: str) -> Mapping[str, str]:
        """The properties of a service, named without its suffix; a unit that was never loaded is
        inactive.
        """
        return self.units.get(f"{name}.service", {"ActiveState": "inactive", "LoadState": "not-found"})

    def active_at(self, name: str) -> int:
        """When a service became active, in microseconds of the monotonic clock, which host and node
        share.
        """
        moment = int(self.unit(name).get("ActiveEnterTimestampMonotonic", "0"))
        if moment == 0:
            raise BedError(f"{name} was never active in boot {self.number}")
        return moment

    def environment(self, name: str) -> dict[str, str] | None:
        """What /proc/PID/environ of a service's main process held; None when it had none."""
        found: dict[str, dict[str, str] | None] = json.loads(self.text("environ.json"))
        return found.get(f"{name}.service")

    @cached_property
    def etc(self) -> dict[str, list[Any]]:
        """Every path below /etc with modification time, inode, mode and size."""
        found: dict[str, list[Any]] = json.loads(self.text("etc.json"))
        return found

    @cached_property
    def journal(self) -> list[dict[str, Any]]:
        """Every journal entry of the boot."""
        return [json.loads(line) for line in self.text("journal.jsonl").splitlines()]

    def messages(self, unit: str = "") -> list[str]:
        """The text of the journal's entries, of one service or of all; also what systemd says about
        that service.
        """
        name = f"{unit}.service"
        return [
            _text(entry.get("MESSAGE"))
            for entry in self.journal
            if not unit or name in (*_values(entry.get("_SYSTEMD_UNIT")), *_values(entry.get("UNIT")))
        ]

    def reloads(self) -> int:
        """How often systemd reloaded its units (systemd 252 writes "Reloading." each time)."""
        own = [_text(entry.get("MESSAGE")) for entry in self.journal if entry.get("_PID") == "1"]
        return sum(message.startswith("Reloading") and "unit" not in message for message in own)

    def status(self) -> dict[str, Any]:
        """The agent's /run/eks-proxy-agent/status.json at the end of the boot, which is as
        documented; empty without one.
        """
        if not (self.directory / "run/status.json").exists():
            return {}
        found: dict[str, Any] = json.loads(self.text("run/status.json"))
        assert problems(found, file=True) == []
        return found


def _values(field: object) -> list[object]:
    """The values of a journal field: one, or a list when an entry has it several times."""
    return field if isinstance(field, list) else [field]


def _text(message: object) -> str:
    """Text of a message: journalctl --output=json gives a message that is not plain text as a list
    of its bytes.
    """
    if isinstance(message, list):
        return bytes(message).decode("utf-8", "replace")
    return str(message or "")
