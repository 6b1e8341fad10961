"""The sandbox of the agent's unit as it is installed; in other boots `kill` replaces EPERM."""

from __future__ import annotations

from typing import Callable

import pytest

from tests.boot.harness.bed import Trial
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
