"""The sandbox of the agent's unit as it is installed; in other boots `kill` replaces EPERM."""

from __future__ import annotations

from typing import Callable

import pytest

from tests.boot.harness.bed import Trial
from tests.boot.harness.node import Running
from tests.boot.harness.prepare import SANDBOX
from tests.boot.harness.verify import verify

AGENT = "eks-proxy-agent.service"


def test_unit_as_it_is_installed_configures_the_node(trial: Callable[[str], Trial]) -> None:
    """A refused call would be an error (EPERM), and there is none."""
    node = trial("fresh-node")
    (node.root / SANDBOX).unlink()
    running = node.start(hold=True)
    running.wait_settled()
    assert running.show(AGENT, "SystemCallErrorNumber") == "1"
    allowed = running.show(AGENT, "SystemCallFilter").split()
    assert {"fchown", "rename", "inotify_add_watch"} <= set(allowed)
    assert not {"setuid", "setrlimit", "mount", "ptrace", "reboot", "bpf"} & set(allowed)
    node.finish(running)


#: A program of proxy.credentials_command that examines its sandbox; it may write to /etc.
INSIDE = """#!/bin/sh
exec 3>/etc/inside 2>&3
grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status >&3
for path in /usr/a /var/a /root/a /opt/a; do touch $path; done
echo me:sec'ret'4711
"""


def test_the_command_runs_in_the_sandbox(trial: Callable[[str], Trial]) -> None:
    """The program that prints the credentials is a child of the daemon, and has no more rights."""
    node = trial("fresh-node")
    program = node.root / "opt/inside"
    program.write_text(INSIDE)
    program.chmod(0o755)
    settings = node.root / "etc/eks-proxy-agent/config.d/credentials.toml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text('[proxy]\ncredentials_command = ["/opt/inside"]\n')
    node.node.watch.know("me:secret4711")
    running = node.start(hold=True)
    running.wait_settled()
    agent = dict(line.split(":\t") for line in running.run("cat", status_of(running)).splitlines())
    running.finish()
    inside = (node.root / "etc/inside").read_text().splitlines()
    assert inside[:3] == [f"{name}:\t{agent[name]}" for name in ("CapEff", "NoNewPrivs", "Seccomp")]
    assert inside[1:3] == ["NoNewPrivs:\t1", "Seccomp:\t2"]
    assert len([line for line in inside[3:] if "Read-only file system" in line]) == 4
    assert "me:secret4711@" in (node.root / "etc/eks-proxy-agent/node.env").read_text()


def status_of(running: Running) -> str:
    """Return the status file of the daemon's process."""
    return f"/proc/{running.show(AGENT, 'MainPID')}/status"


@pytest.mark.parametrize(
    ("error", "text"), [("kill", "worker process killed by signal 31"), ("EPERM", "Operation not permitted")]
)
def test_refused_call_fails_the_boot_test(trial: Callable[[str], Trial], error: str, text: str) -> None:
    """If the unit refused a call that the agent makes, the checks of every boot would report it."""
    node = trial("fresh-node")
    (node.root / SANDBOX).write_text(f"[Service]\nSystemCallErrorNumber={error}\nSystemCallFilter=~fchmod\n")
    boot = node.start().finish()
    with pytest.raises(AssertionError, match=f"the sandbox refused something: .*{text}"):
        verify(node.case, boot, node.root, node.requests())
