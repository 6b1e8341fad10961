"""The daemon as a real process, with a notification socket in the place of systemd."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable

from agent.daemon.facts_process import COMMAND
from tests.integration.command_line import PROXY, REPOSITORY, Node, environment

#: Seconds until a test fails that waits for the daemon; nothing here takes more than five.
TIMEOUT = 20.0


class Running:
    """A daemon on a node, and the notifications that it has sent so far."""

    def __init__(self, node: Node, directory: Path, env: dict[str, str] | None = None, redirection: str = "") -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(directory / "notify"))
        self.notifications: list[str] = []
        self.log = directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *node.argv("run", facts=False)],
                cwd=REPOSITORY,
                env=environment({"NOTIFY_SOCKET": str(directory / "notify"), **(env or {})}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_for(self, prefix: str) -> str:
        """Wait for a new notification that starts with `prefix`, and return it."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            self._socket.settimeout(0.1)
            try:
                lines = self._socket.recv(65536).decode().splitlines()
            except socket.timeout:
                if self.process.poll() is not None:
                    break
                continue
            self.notifications += lines
            matches = [line for line in lines if line.startswith(prefix)]
            if matches:
                return matches[0]
        raise AssertionError(f"no notification {prefix}, but {self.notifications}\n{self.log.read_text()}")

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill_worker(self, number: int = signal.SIGKILL) -> None:
        """Wait for a worker, and send it a signal."""
        wait_until("the worker", self._worker)
        os.kill(self._worker() or 0, number)

    def _worker(self) -> int | None:
        """Return the process id of the worker, not of the process that requests the facts."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        names = {int(child): Path(f"/proc/{child}/comm").read_text().strip() for child in children}
        return next((child for child, name in names.items() if name != COMMAND), None)

    def wait(self) -> int:
        """Wait until it ends; return the exit code."""
        code = self.process.wait(TIMEOUT)
        self._socket.setblocking(False)
        while True:
            try:
                self.notifications += self._socket.recv(65536).decode().splitlines()
            except BlockingIOError:
                return code

    def stop(self) -> int:
        """Send SIGTERM, and wait until it ends; return the exit code."""
        self.send_signal(signal.SIGTERM)
        return self.wait()

    def close(self) -> None:
        """Kill it if it runs, and close the socket."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._socket.close()


def wait_until(event: str, condition: Callable[[], object]) -> None:
    """Wait for a condition, with a limit that is not a measurement."""
    limit = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < limit, event
        time.sleep(0.02)


Start = Callable[..., Running]


@contextmanager
def starter(node: Node) -> Iterator[Start]:
    """Yield a function that starts daemons on the node; they are killed afterwards."""
    running: list[Running] = []
    with tempfile.TemporaryDirectory(prefix="run-") as directory:  # the path of a socket has a limit of 107 bytes

        def start(env: dict[str, str] | None = None, redirection: str = "") -> Running:
            home = Path(directory, str(len(running)))
            home.mkdir()
            running.append(Running(node, home, env, redirection))
            return running[-1]

        try:
            yield start
        finally:
            for daemon in running:
                daemon.close()


def configure(node: Node, endpoint: str, more: str = "", proxy: str = PROXY, deadline: float = 10) -> None:
    """Write config.toml; `more` may open more sections."""
    node.settings(
        f'[metadata]\nendpoint = "{endpoint}"\ndeadline = {deadline:g}\n'
        f'[node]\nunits = ["docker"]\nenable = []\n[proxy]\nurl = "{proxy}"\n{more}\n'
    )


def status(node: Node) -> dict[str, object]:
    """Return status.json."""
    document = json.loads(node.read("run/eks-proxy-agent/status.json"))
    assert isinstance(document, dict)
    return document
