"""Programs in the place of systemctl, docker and others, on the PATH of the agent's commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.edges import command


class Programs:
    """A directory that is the whole PATH, with scripts that write down how they were called."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._directory, self._log = directory, directory / "calls"
        directory.mkdir()
        monkeypatch.setitem(command.BASE_ENVIRONMENT, "PATH", str(directory))  # type: ignore[arg-type]

    def add(self, name: str, script: str = "") -> None:
        """Add a program: its arguments go to `calls`, then it runs the lines of a script."""
        path = self._directory / name
        path.write_text(f'#!/bin/sh\necho {name} "$@" >>{self._log}\nPATH=/usr/bin:/bin\n{script}\n')
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """The command lines so far."""
        return self._log.read_text().splitlines() if self._log.exists() else []
