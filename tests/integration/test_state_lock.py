"""State is written only under the lock.

A write without it would remove the temporary file of another run.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.demo.instance import Instance
from agent.demo.metadata_service import MetadataService
from tests.integration.command_line import Node, run
from tests.integration.daemon import Start, configure, starter, status
from tests.integration.moods import free_port


class Guarded(Node):
    """A node on which lock_guard.py watches the agent's writes."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.log = directory / "guard.log"
        self.write("etc/machine-id", b"0123456789abcdef0123456789abcdef\n")

    def argv(self, command: str, *flags: str, facts: bool = True) -> list[str]:
        """The command line with the guard around it."""
        return [
            sys.executable,
            "-m",
            "tests.integration.lock_guard",
            str(self.log),
            *super().argv(command, *flags, facts=facts)[3:],
        ]

    def assert_locked(self) -> None:
        """State was written, and only under the lock."""
        writes = self.log.read_text().splitlines()
        unlocked = [line for line in dict.fromkeys(writes) if line.startswith("unlocked ")]
        assert writes
        assert not unlocked, "\n".join(unlocked)


@pytest.fixture
def node(tmp_path: Path) -> Guarded:
    """A node; `configure` gives it settings."""
    return Guarded(tmp_path)


@pytest.fixture
def service() -> Iterator[MetadataService]:
    """The metadata service of these nodes."""
    with MetadataService() as service:
        yield service


@pytest.fixture
def start(node: Guarded) -> Iterator[Start]:
    """A function that starts daemons on the node; they are stopped after the test."""
    with starter(node) as start:
        yield start


def run_daemon(start: Start) -> str:
    """A boot, a reload and a stop; returns the log.

    When the reload begins, the work of the boot is done.
    """
    daemon = start()
    daemon.wait_for("READY=1")
    daemon.send_signal(signal.SIGHUP)
    daemon.wait_for("RELOADING=1")
    daemon.wait_for("READY=1")
    assert daemon.stop() == 0
    return daemon.log.read_text()


def test_commands_write_state_under_the_lock(node: Guarded) -> None:
    """`apply`, `clean` and `revert` on a tree."""
    configure(node, "http://127.0.0.1:1")
    for command in ("apply", "clean", "apply", "revert"):
        done = run(node.argv(command))
        assert done.code == 0, done.both
    node.assert_locked()


def test_a_degraded_daemon_writes_state_under_the_lock(node: Guarded, start: Start) -> None:
    """The daemon writes the error to status.json."""
    configure(node, "http://{}:{}".format(*free_port("127.0.0.1")), deadline=0.2)
    run_daemon(start)
    assert status(node)["phase"] == "degraded"
    node.assert_locked()


def test_prepared_units_are_written_under_the_lock(node: Guarded, service: MetadataService, start: Start) -> None:
    """User data opens a closed image: the reconcile records that for the next boot."""
    service.instance = Instance(
        user_data=b'Content-Type: application/x-eks-proxy-agent\n\n[failure]\npolicy = "open"\n'
    )
    configure(node, service.endpoint, '[failure]\npolicy = "closed"')
    run_daemon(start)
    assert status(node)["phase"] == "configured"
    node.assert_locked()


def test_a_restart_is_recorded_under_the_lock(node: Guarded, service: MetadataService, start: Start) -> None:
    """The record is written before the stale unit is restarted."""
    configure(node, service.endpoint, '[watch]\nrestart = "changed"')
    node.settings('[node]\nunits = ["kubelet"]\n', "config.d/units.toml")
    assert "unit.restarted unit=kubelet.service" in run_daemon(start)
    node.assert_locked()
