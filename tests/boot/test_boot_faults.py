"""The power goes away, the agent is killed, and no file is ever half written."""

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
# Where the power is cut, in turn, boot after boot on the same disk: when a file has been written
# and not renamed yet, and when it has just been renamed (strace(1): after the Nth call of that
# name).
CUTS = [("fsync", 2), ("rename", 3)]
BOOTS = 60  # many more than it takes


def how_it_went(evidence: Path) -> str:
    """What became of a boot whose agent is to be stopped: "stopped", "settled" when nothing stopped
    it, or nothing yet.
    """
    return "stopped" if trace.stopped(evidence / "trace") else "settled" if (evidence / "settled").exists() else ""


def contents(root: Path, case: Case) -> dict[str, bytes]:
    """The files the case expects, as they are now; a missing file is empty."""
    names = [name for name, _ in case.expected(1) if not (root / name).is_symlink()]
    return {name: (root / name).read_bytes() if (root / name).exists() else b"" for name in names}


def test_power_cut_in_the_middle_of_apply_leaves_whole_files_and_the_next_boot_converges(
    trial: Callable[[str], Trial],
) -> None:
    """However often the node dies in mid-apply, every file is wholly old or wholly new, and an
    undisturbed boot ends it.
    """
    node = trial("power-cut")
    old = contents(node.root, node.case)
    new = {name: content for name, content in node.case.expected(1) if name in old}
    seen: set[frozenset[str]] = set()
    for (call, count), _ in zip(cycle(CUTS), range(BOOTS)):
        trace.install(node.root, trace.stop_at(call, count))
        running = node.start(hold=True)
        wait_for("the agent to stop", partial(how_it_went, running.directory))
        running.kill()
        now = contents(node.root, node.case)
        torn = [name for name in now if now[name] not in (old[name], new[name])]
        assert torn == [], f"after {call} {count}"
        seen.add(frozenset(name for name in now if now[name] == new[name] != old[name]))
        if now == new:  # from here on it would only be cut in the middle of what lies in /run
            break
    assert now == new, f"after {BOOTS} cuts"
    trace.remove(node.root)
    node.boot()
    assert len(seen) > len(new) / 2, "the cuts must have fallen between the files"
    left = [path for top in OURS for path in (node.root / top).rglob("*") if path.name.endswith(".eks-proxy-agent")]
    assert left == []
    assert node.boot().reloads() == 0


def test_every_replaced_file_is_written_synced_renamed_and_its_directory_synced(trial: Callable[[str], Trial]) -> None:
    """By strace, each file comes to its place by write, fsync, rename and fsync of the directory,
    in that order.
    """
    node = trial("power-cut")
    trace.install(node.root)
    boot = node.boot()
    steps: dict[str, str] = defaultdict(str)  # by temporary file
    renamed: dict[str, tuple[str, str]] = {}  # temporary file: the directory it was renamed into, and what it became
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


def test_killing_and_restarting_the_agent_leaves_docker_alone_and_no_password_shows(
    trial: Callable[[str], Trial],
) -> None:
    """Under policy closed too, SIGKILL and restart of the agent keep docker's process; nothing
    readable has the password.
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
    running.run("systemctl", "restart", "docker")  # what the policy makes it wait for outlives the agent
    running.run("systemctl", "start", "eks-proxy-agent")
    node.finish(running)
