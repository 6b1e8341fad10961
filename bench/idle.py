"""`make bench ARGS=idle`: cost of the idle daemon on a booted node, and its time to repair a file.

The node is that of the boot tests, with default settings: a cycle every ten minutes.  Before that
it has a cycle every ten seconds, to measure the CPU of one with nothing to do.  Memory is
that of the supervisor: its PSS (proc(5)), which is lower if other processes run the same Python,
and its PSS alone, if no other process did and it shared only the pages of libc.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from tests.boot.harness import case as cases
from tests.boot.harness.bed import Bed
from tests.boot.harness.daemon import AGENT, ENVIRONMENT, RunningAgent
from tests.boot.harness.waiting import wait_for

#: Designs of such a daemon → the code that each has in memory while it waits; the first is the
#: agent's.
DESIGNS = {
    "waits, forks a child for each cycle": "import agent.cli, agent.commands.run; agent.cli.parser(only_run=True); from systemd import daemon",
    "re-executes into a small watcher": "import select, ctypes, time; from systemd import daemon",
    "everything in one process": "import agent.daemon.boot, agent.daemon.cycle, agent.edges.imds, structlog; from systemd import journal",
    "a bare interpreter": "pass",
}
_LIBRARY = "/usr/lib/eks-proxy-agent"


def main(argv: list[str]) -> None:
    """Boot a node, wait, measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=idle", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--repairs", type=int, default=10)
    parser.add_argument("--cycles", type=int, default=12)
    options = parser.parse_args(argv)
    bed = Bed()
    try:
        trial = bed.trial(cases.load("watch"))
        life = RunningAgent(trial, limit=options.minutes * 60 + 900)
        if options.cycles:
            _cycles(life, options.cycles)
        life.running.run("sed", "-i", "/^.watch./,$ d", "/etc/eks-proxy-agent/config.toml")
        for design, code in DESIGNS.items():
            print(f"{_memory_of(life, code)}  {design}", flush=True)
        time.sleep(90)  # until the first cycle after the boot is over
        _idle(life, options.minutes)
        _repairs(life, options.repairs)
        life.running.finish()
        trial.close()
    finally:
        bed.close()


def _memory(smaps: str) -> str:
    """Return the PSS as text, and the PSS if the process shared only libc."""
    pss, alone, is_libc = 0, 0, False
    for line in smaps.splitlines():
        first, *rest = line.split()
        if "-" in first:
            is_libc = bool(rest) and "/libc.so" in rest[-1]
        elif first in ("Pss:", "Rss:"):
            pss += int(rest[0]) * (first == "Pss:")
            alone += int(rest[0]) * ((first == "Pss:") == is_libc)
    return f"{pss / 1024:5.1f} MB PSS, {alone / 1024:4.1f} MB alone"


def _memory_of(life: RunningAgent, code: str) -> str:
    """Return the memory of a Python that has run this code and waits."""
    path = f"import sys; sys.path[:0] = [{_LIBRARY!r}, {_LIBRARY + '/vendor'!r}]; "
    script = """
        python3 -I -c "$1; import signal; print(flush=True); signal.pause()" > /run/ready &
        while [ ! -s /run/ready ]; do sleep 0.05; done
        cat /proc/$!/smaps; kill $!; rm /run/ready"""
    return _memory(life.running.run("sh", "-c", script, "sh", path + code))


def _cycles(life: RunningAgent, times: int) -> None:
    """Print the CPU of a cycle with nothing to do, children such as systemctl included.

    In the network of the boot tests the preflight fails, and is repeated.  On a node it succeeds
    once in a boot, so it is off here.
    """
    life.running.run("sh", "-c", r"""printf "[failure]\npreflight = 'off'\n" >> /etc/eks-proxy-agent/config.toml""")
    for _ in range(2):  # the one after the boot, which checks more, and the one of the new settings
        _wait_for_cycle(life)
    costs: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(times):
        begin = _cpu(life)
        _wait_for_cycle(life)
        memory = json.loads(life.running.run("cat", "/run/eks-proxy-agent/watch.json"))
        costs[memory["facts_age"] == 1].append(_cpu(life) - begin)
    for is_requested, text in ((False, "with cached facts"), (True, "that requests metadata")):
        print(f"{_spread(costs[is_requested])} of CPU for a cycle with nothing to do, {text}", flush=True)
    everything = costs[True] + costs[False]
    print(f"{statistics.mean(everything):6.3f} s on average", flush=True)


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):6.3f} s ({min(seconds):.3f} to {max(seconds):.3f}, {len(seconds)} times)"


def _cpu(life: RunningAgent) -> float:
    """Return the CPU of the agent's unit so far, in seconds."""
    path = f"system.slice/{AGENT}.service/cpu.stat"
    text = life.running.run("sh", "-c", f"cd /sys/fs/cgroup; cat unified/{path} 2>/dev/null || cat {path}")
    return int(text.split()[1]) / 1e6  # usage_usec


def _wait_for_cycle(life: RunningAgent) -> None:
    before = life.status()["next_pass"]
    wait_for("the next cycle", lambda: life.status()["next_pass"] != before, limit=120, interval=1)
    time.sleep(2)  # its worker may still be running


def _idle(life: RunningAgent, minutes: float) -> None:
    before, updated = _counters(life), life.status()["updated"]
    begin = time.monotonic()
    time.sleep(minutes * 60)
    after, seconds = _counters(life), time.monotonic() - begin
    spent = {key: after[key] - before[key] for key in before}
    smaps = life.running.run("cat", f"/proc/{life.pid()}/smaps")
    print(f"{_memory(smaps)}  the daemon itself, after {seconds / 60:.0f} minutes")
    # A tick is 1/100 s, so ticks a second are percent of a core.
    total, supervisor = ((spent["own"] + spent["children"]) / seconds, spent["own"] / seconds)
    print(f"{total:6.3f} % of a core, of which the supervisor takes {supervisor:.3f} %")
    print(f"{spent['wakes'] / seconds * 60:6.2f} wake-ups a minute")
    print(f"{'a' if life.status()['updated'] != updated else 'no':>6} cycle ran in that time")


def _counters(life: RunningAgent) -> dict[str, int]:
    """Return the CPU of the daemon in ticks of 10 ms, and its wake-ups.

    Source: proc(5).  Voluntary context switches are how often it went to sleep.
    """
    pid = life.pid()
    text = life.running.run("cat", *(f"/proc/{pid}/{name}" for name in ("stat", "status")))
    ticks = text.splitlines()[0].rpartition(")")[2].split()[11:15]
    values = {line.split()[0]: int(line.split()[1]) for line in text.splitlines() if line.startswith("voluntary")}
    return {
        "own": int(ticks[0]) + int(ticks[1]),
        "children": int(ticks[2]) + int(ticks[3]),
        "wakes": values["voluntary_ctxt_switches:"],
    }


def _repairs(life: RunningAgent, times: int) -> None:
    """Print the seconds from the end of a write until the file is repaired.

    A loop inside the node polls the file.
    """
    script = f"""import time
with open("{ENVIRONMENT}", "a") as file: file.write("http_proxy=wrong\\n")
begin = time.monotonic()
while b"=wrong" in open("{ENVIRONMENT}", "rb").read(): time.sleep(0.005)
print(time.monotonic() - begin)"""
    seconds = []
    for number in range(times):
        seconds.append(float(life.running.run("python3", "-c", script, timeout=120)))
        if number % 3 == 2:  # after five repairs within an hour the file would be contested
            life.running.run("systemctl", "reload", "eks-proxy-agent")
        time.sleep(10)
    print(f"{_spread(seconds)} from a change to the repaired file")
