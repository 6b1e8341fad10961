"""`make bench ARGS=idle`: what the daemon costs on a booted node when nothing happens, and how soon
it puts a file right.

The node is the boot tests' own, with default settings: a pass every ten minutes.  Memory is of the
process that stays: PSS as proc(5) has it, which is less where others run the same Python, and what
it would be if nobody did, so the pages of libc are all that it shares.
"""

from __future__ import annotations

import argparse
import statistics
import time

from tests.boot.harness import case as cases
from tests.boot.harness.bed import Bed
from tests.boot.harness.daemon import ENVIRONMENT, RunningAgent

#: Ways to build such a daemon, as what they have in memory while they wait; the first is what the
#: agent does.
WAYS = {
    "waits, a child for each pass": "import agent.cli, agent.commands.run; agent.cli.parser(); from systemd import daemon",
    "re-executed into a slim watcher": "import select, ctypes, time; from systemd import daemon",
    "everything in one process": "import agent.daemon.boot, agent.daemon.cycle, agent.edges.imds, structlog; from systemd import journal",
    "a bare interpreter": "pass",
}
_LIBRARY = "/usr/lib/eks-proxy-agent"


def main(argv: list[str]) -> None:
    """Boot, wait, measure, print."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=idle", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--repairs", type=int, default=10)
    options = parser.parse_args(argv)
    bed = Bed()
    try:
        trial = bed.trial(cases.load("watch"))
        settings = trial.root / "etc/eks-proxy-agent/config.toml"
        settings.write_text(settings.read_text().partition("[watch]")[0])
        life = RunningAgent(trial, limit=options.minutes * 60 + 600)
        for way, code in WAYS.items():
            print(f"{_memory_of(life, code)}  {way}", flush=True)
        time.sleep(90)  # the first look after the boot is over
        _idle(life, options.minutes)
        _repairs(life, options.repairs)
        life.running.finish()
        trial.close()
    finally:
        bed.close()


def _memory(smaps: str) -> str:
    """PSS, and PSS if it were alone with all but libc."""
    pss, alone, library = 0, 0, False
    for line in smaps.splitlines():
        first, *rest = line.split()
        if "-" in first:
            library = bool(rest) and "/libc.so" in rest[-1]
        elif first in ("Pss:", "Rss:"):
            pss += int(rest[0]) * (first == "Pss:")
            alone += int(rest[0]) * ((first == "Pss:") == library)
    return f"{pss / 1024:5.1f} MB PSS, {alone / 1024:4.1f} MB alone"


def _memory_of(life: RunningAgent, code: str) -> str:
    """The memory of a Python that has done this and waits."""
    path = "import sys; sys.path[:0] = [{!r}, {!r}]; ".format(_LIBRARY, _LIBRARY + "/vendor")
    script = """
        python3 -I -c "$1; import signal; print(flush=True); signal.pause()" > /run/ready &
        while [ ! -s /run/ready ]; do sleep 0.05; done
        cat /proc/$!/smaps; kill $!; rm /run/ready"""
    return _memory(life.running.run("sh", "-c", script, "sh", path + code))


def _idle(life: RunningAgent, minutes: float) -> None:
    before, looked = _counters(life), life.status()["updated"]
    begin = time.monotonic()
    time.sleep(minutes * 60)
    after, took = _counters(life), time.monotonic() - begin
    spent = {key: after[key] - before[key] for key in before}
    smaps = life.running.run("cat", f"/proc/{life.pid()}/smaps")
    print(f"{_memory(smaps)}  the daemon itself, after {took / 60:.0f} minutes")
    print("{:6.3f} % of a core, of which the process that waits takes {:.3f} %".format(*tuple(
        100 * ticks / 100 / took for ticks in (spent["own"] + spent["children"], spent["own"])
    )))  # fmt: skip
    print(f"{spent['wakes'] / took * 60:6.2f} wake-ups a minute")
    print("{:>6} was a pass among that".format("there" if life.status()["updated"] != looked else "no"))


def _counters(life: RunningAgent) -> dict[str, int]:
    """proc(5): CPU in ticks of 10 ms, voluntary context switches, which are the times that it went
    to sleep.
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
    """Seconds from the end of somebody's write until the file is right again, by a loop inside the
    node.
    """
    script = f"""import time
with open("{ENVIRONMENT}", "a") as file: file.write("http_proxy=wrong\\n")
begin = time.monotonic()
while b"=wrong" in open("{ENVIRONMENT}", "rb").read(): time.sleep(0.005)
print(time.monotonic() - begin)"""
    took = []
    for number in range(times):
        took.append(float(life.running.run("python3", "-c", script, timeout=120)))
        if number % 3 == 2:  # after five repairs within an hour it would be a fight
            life.running.run("systemctl", "reload", "eks-proxy-agent")
        time.sleep(10)
    print(f"{statistics.median(took):6.2f} s ({min(took):.2f} to {max(took):.2f}) from a change to the repaired file, {times} times")  # fmt: skip
