"""The daemon as a real process that tells its notification socket what a systemd would hear."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

from tests.integration.command_line import PROXY, REPOSITORY, Node, environment

#: Seconds after which a test gives up on the daemon; nothing here takes more than five.
PATIENCE = 20.0


class Running:
    """The daemon on a node, and all that it has told systemd so far."""

    def __init__(self, node: Node, directory: Path, env: dict[str, str] | None = None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(directory / "notify"))
        self.said: list[str] = []
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                node.argv("run", facts=False),
                cwd=REPOSITORY,
                env=environment({"NOTIFY_SOCKET": str(directory / "notify"), **(env or {})}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def hear(self, what: str) -> str:
        """Wait until it says a line that starts with `what`, from now on; answers the line."""
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            self._socket.settimeout(0.1)
            try:
                lines = self._socket.recv(65536).decode().splitlines()
            except socket.timeout:
                if self.process.poll() is not None:
                    break
                continue
            self.said += lines
            found = [line for line in lines if line.startswith(what)]
            if found:
                return found[0]
        raise AssertionError(f"never said {what}, but {self.said}\n{self.log.read_text()}")

    def tell(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end; answers the exit code."""
        code = self.process.wait(PATIENCE)
        self._socket.setblocking(False)
        while True:
            try:
                self.said += self._socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                return code

    def stop(self) -> int:
        """SIGTERM, and its end."""
        self.tell(signal.SIGTERM)
        return self.end()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._socket.close()


Start = Callable[..., Running]


@contextmanager
def starter(node: Node) -> Iterator[Start]:
    """Starts daemons on the node; they are gone afterwards."""
    running: list[Running] = []
    with tempfile.TemporaryDirectory(prefix="run-") as directory:  # a socket's path may have 107 bytes only

        def start(env: dict[str, str] | None = None) -> Running:
            home = Path(directory, str(len(running)))
            home.mkdir()
            running.append(Running(node, home, env))
            return running[-1]

        try:
            yield start
        finally:
            for one in running:
                one.close()


def configure(node: Node, endpoint: str, more: str = "", proxy: str = PROXY, deadline: float = 10) -> None:
    """Write config.toml; `more` may open sections of its own."""
    text = (
        '[metadata]\nendpoint = "%s"\ndeadline = %g\n[node]\nunits = ["docker"]\nenable = []\n[proxy]\nurl = "%s"\n%s\n'
    )
    node.settings(text % (endpoint, deadline, proxy, more))


def status(node: Node) -> dict[str, object]:
    """status.json as it stands."""
    found = json.loads(node.read("run/eks-proxy-agent/status.json"))
    assert isinstance(found, dict)
    return found
