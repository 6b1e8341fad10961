"""Programs of the control plane: background processes that never outlive the tests."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.boot.harness.command import CLEAN_ENVIRONMENT, Argument, BedError


class Process:
    """Background program; the kernel kills it when the process that started it dies."""

    def __init__(self, argv: Sequence[Argument], log: Path, inside: Sequence[Argument] = ()) -> None:
        """Start it with its output in `log`.

        `inside` is a command that enters a network, and must exec.
        """
        self.log = log
        self.name = Path(argv[0]).name
        # PR_SET_PDEATHSIG of prctl(2): no etcd remains after SIGKILL or Ctrl-C either.
        command = [*inside, "setpriv", "--pdeathsig", "KILL", *argv]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [os.fspath(part) for part in command],
                env=dict(CLEAN_ENVIRONMENT),
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # only pytest gets Ctrl-C, and stops them in order
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise BedError with the end of its log if it has exited."""
        if self._process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-3000:]
            raise BedError(f"{self.name} exited with {self._process.returncode}:\n{tail}")

    def stop(self) -> None:
        """Stop it, if it still runs."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def pause(self) -> None:
        """Suspend it (SIGSTOP), so that it does not respond."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume it (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)
