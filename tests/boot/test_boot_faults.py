"""Power cuts and kills of the agent, which must never leave a half-written file."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Callable

from tests.boot.harness import trace
from tests.boot.harness.bed import Trial
from tests.boot.harness.case import Case
from tests.boot.harness.waiting import wait_for

OURS = ("etc", "var/lib/eks-proxy-agent")
# Points of the power cuts, in turn, boot after boot on the same disk: after a file is written and
# before it is renamed, and just after a rename (strace(1): after the Nth call of that name).
CUTS = [("fsync", 2), ("renameat", 3)]
BOOTS = 60  # many more than needed


def outcome(evidence: Path) -> str:
    """Return "stopped" for a stopped agent, "settled" if nothing stopped it, or nothing yet."""
    return "stopped" if trace.stopped(evidence / "trace") else "settled" if (evidence / "settled").exists() else ""


def contents(root: Path, case: Case) -> dict[str, bytes]:
    """Return the files that the case expects, as they are now; a missing file is empty."""
    names = [name for name, _ in case.expected(1) if not (root / name).is_symlink()]
    return {name: (root / name).read_bytes() if (root / name).exists() else b"" for name in names}


def test_power_cuts_during_apply_leave_whole_files(
    trial: Callable[[str], Trial],
) -> None:
    """After each power cut every file is completely old or completely new.

    An undisturbed boot then completes the change.
    """
    node = trial("power-cut")
    old = contents(node.root, node.case)
    new = {name: content for name, content in node.case.expected(1) if name in old}
    seen: set[frozenset[str]] = set()
    for (call, count), _ in zip(cycle(CUTS), range(BOOTS)):
        trace.install(node.root, trace.stop_at(call, count))
        running = node.start(hold=True)
        wait_for("the agent to stop", partial(outcome, running.directory))
        running.kill()
        current = contents(node.root, node.case)
        torn = [name for name in current if current[name] not in (old[name], new[name])]
        assert torn == [], f"after {call} {count}"
        seen.add(frozenset(name for name in current if current[name] == new[name] != old[name]))
        if current == new:  # later cuts would only affect files in /run
            break
    assert current == new, f"after {BOOTS} cuts"
    trace.remove(node.root)
    node.boot()
    assert len(seen) > len(new) / 2, "cuts must have occurred between files"
    leftovers = [
        path for top in OURS for path in (node.root / top).rglob("*") if path.name.endswith(".eks-proxy-agent")
    ]
    assert leftovers == []
    assert node.boot().reloads() == 0


def test_files_are_replaced_by_write_fsync_rename_fsync(trial: Callable[[str], Trial]) -> None:
    """strace shows that order for each file: write, fsync, rename, fsync of the directory."""
    node = trial("power-cut")
    trace.install(node.root)
    boot = node.boot()
    steps: dict[str, str] = defaultdict(str)  # by temporary file
    renamed: dict[str, tuple[str, str]] = {}  # temporary file: its new directory and path
    for call in trace.calls(boot.directory / "trace"):
        steps[call.path] += f"{call.name} "
        if call.name == "rename":
            renamed[call.path] = (str(Path(call.target).parent), call.target)
        for source, (directory, _) in renamed.items():
            if (call.name, call.path) == ("fsync", directory):
                steps[source] += "directory "
    durable = {target: steps[source] for source, (_, target) in renamed.items() if not target.startswith("/run/")}
    order = re.compile("((write )+fsync rename (directory )+)+")
    assert {target: taken for target, taken in durable.items() if not order.fullmatch(taken)} == {}
    assert {f"/{name}" for name in contents(node.root, node.case)} <= set(durable)


def test_kill_and_restart_of_the_agent_do_not_affect_docker(
    trial: Callable[[str], Trial],
) -> None:
    """Also with policy closed, docker keeps its process.

    No readable file has the password.
    """
    node = trial("credentials")
    running = node.start(hold=True)
    running.wait_settled()

    def pids() -> dict[str, str]:
        return {unit: running.show(unit, "MainPID") for unit in ("docker", "containerd", "kubelet")}

    before, agent = pids(), running.show("eks-proxy-agent", "MainPID")
    assert "0" not in before.values()
    running.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "eks-proxy-agent")
    running.wait_until("the agent to come back", "sh", "-c", f"""
        systemctl is-active --quiet eks-proxy-agent &&
        test "$(systemctl show --value --property=MainPID eks-proxy-agent)" != {agent}""")  # fmt: skip
    assert pids() == before
    running.run("systemctl", "restart", "eks-proxy-agent")
    assert pids() == before
    assert running.run("stat", "--format=%a", "/run/eks-proxy-agent") == "755\n"
    running.run("systemctl", "stop", "eks-proxy-agent")
    running.run("systemctl", "restart", "docker")  # the ready file survives the agent
    running.run("systemctl", "start", "eks-proxy-agent")
    node.finish(running)
