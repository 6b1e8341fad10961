"""Programs of the control plane: started in the background, ended by their ids, and never left
behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.boot.harness.command import CLEAN_ENVIRONMENT, Argument, BedError


class Process:
    """A program in the background; the kernel ends it when the process that started it dies,
    however that came about.
    """

    def __init__(self, argv: Sequence[Argument], log: Path, inside: Sequence[Argument] = ()) -> None:
        """Start it, with what it says in `log`; `inside` is a command to enter a network with,
        which must exec.
        """
        self.log = log
        self.name = Path(argv[0]).name
        # PR_SET_PDEATHSIG of prctl(2): also after SIGKILL or Ctrl-C no etcd is left.
        command = [*inside, "setpriv", "--pdeathsig", "KILL", *argv]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [os.fspath(part) for part in command],
                env=dict(CLEAN_ENVIRONMENT),
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for pytest alone, which then ends them in their order
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise BedError with the end of its log when it has ended."""
        if self._process.poll() is not None:
            said = self.log.read_text(errors="replace")[-3000:]
            raise BedError(f"{self.name} ended with {self._process.returncode}:\n{said}")

    def stop(self) -> None:
        """End it; no harm when it has ended already."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def pause(self) -> None:
        """Let it stand still, as a server that does not answer."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)
