"""`make bench`: boots of a node with the agent and with the shell recipe, and their ratios.

Each pair is two boots with the agent and two with the recipe, on new copies of one root, in the bed
of the boot tests. The metadata service becomes reachable some seconds after power on, as on a slow
network, or is reachable from the beginning (`--late 0`).
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.boot.harness import tree
from tests.boot.harness.bed import Bed, Trial
from tests.boot.harness.case import Case
from tests.boot.harness.command import run
from tests.boot.harness.namespace import METADATA
from tests.boot.harness.prepare import BOOT_TESTS

HERE = Path(__file__).resolve().parent
UNITS = {"agent": "eks-proxy-agent", "recipe": "eks-proxy-recipe"}
FIGURES = {
    "configured": "ms from metadata reachable to node configured",
    "docker": "ms from metadata reachable to docker active",
    "cpu": "ms of CPU for the boot (children included)",
    "memory": "MB peak memory of the largest process",
    "reloads": "daemon-reloads",
}
Row = dict[str, float]


def main() -> None:
    """Boot the nodes, measure, and print the figures."""
    if sys.argv[1:2] == ["verify"]:
        from bench import verify

        verify.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["idle"]:
        from bench import idle

        idle.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["imports"]:
        from bench import imports

        imports.main(sys.argv[2:])
        return
    if sys.argv[1:2] == ["scale"]:
        from bench import scale

        scale.main(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--late", type=float, default=3.0, help="seconds from power on until metadata is reachable")
    options = parser.parse_args()
    rows: dict[str, list[Row]] = {f"{name} {boot}": [] for boot in (1, 2) for name in UNITS}
    bed = Bed()
    try:
        for number in range(options.pairs):
            for name in UNITS:
                for boot, row in enumerate(_two_boots(bed, name, options.late), 1):
                    rows[f"{name} {boot}"].append(row)
            print(f"pair {number + 1} of {options.pairs}", file=sys.stderr)
    finally:
        bed.close()
    _report(rows, options)


def _two_boots(bed: Bed, name: str, late: float) -> list[Row]:
    case = Case(name="bench-" + name, directory=HERE / name, agent=name == "agent", serve_after=-1, phase="")
    trial = bed.trial(case)
    try:
        shutil.copy("/usr/bin/time", trial.root / "usr/bin/time")
        if name == "recipe":
            tree.install(BOOT_TESTS / "recipe/tree", trial.root)
            tree.install(HERE / "recipe/image", trial.root)
            run(["systemctl", f"--root={trial.root}", "enable", UNITS[name] + ".service"])
        return [_boot(trial, name, late) for _ in range(2)]
    finally:
        trial.close()


def _boot(trial: Trial, name: str, late: float) -> Row:
    argv = [sys.executable, "-m", "bench.serve", METADATA, str(HERE / "metadata.json")]
    with subprocess.Popen(
        [str(word) for word in trial.bed.namespace.inside(argv)],
        cwd=str(HERE.parent),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        assert service.stdin is not None
        assert service.stdout is not None
        service.stdout.readline()
        if late == 0:
            service.stdin.write("\n")
            service.stdin.flush()
        running = trial.node.start(hold=True)
        if late:
            time.sleep(late)
            service.stdin.write("\n")
            service.stdin.flush()
        reachable = int(service.stdout.readline())
        running.wait_settled()
        cpu, memory = _cost(running.run("sh", "-c", COST[name]), name)
        boot = running.finish()
        service.stdin.close()
    begin = reachable if late else int(boot.unit(UNITS[name])["InactiveExitTimestampMonotonic"])
    return {
        "configured": (boot.active_at(UNITS[name]) - begin) / 1000,
        "docker": (boot.active_at("docker") - begin) / 1000,
        "cpu": cpu,
        "memory": memory,
        "reloads": boot.reloads(),
    }


#: proc(5): utime, stime, cutime and cstime are the fields 14 to 17, in ticks of 10 ms; VmHWM is the
#: peak in kB. A child does the agent's work, and its time counts when it has exited. The peak is
#: that of `apply`, which does the same work.
COST = {
    "agent": "pid=$(systemctl show --value --property=MainPID eks-proxy-agent); "
    'timeout 30 sh -c "while grep -q . /proc/$pid/task/$pid/children; do sleep 0.05; done"; cat /proc/$pid/stat; '
    "time -o /run/agent.peak -f 'VmHWM: %M kB' eks-proxy-agent apply >/dev/null 2>&1; cat /run/agent.peak",
    "recipe": "cat /run/recipe.cost",
}


def _cost(text: str, name: str) -> list[float]:
    if name == "recipe":
        user, system, memory = map(float, text.split(":"))
        return [(user + system) * 1000, memory / 1024]
    stat, peak = text.splitlines()
    ticks = stat.rpartition(")")[2].split()[11:15]
    return [sum(map(int, ticks)) * 10.0, int(peak.split()[1]) / 1024]


def _report(rows: dict[str, list[Row]], options: argparse.Namespace) -> None:
    when = (
        f"{options.late:g} s after power on" if options.late else "from the beginning (counted from the unit's start)"
    )
    print(f"metadata reachable {when}, {options.pairs} pairs; median (min to max)")
    for boot, title in ((1, "first boot"), (2, "second boot")):
        print(f"\n{title:<48} {'agent':>22} {'recipe':>22} {'ratio':>9}")
        for key, text in FIGURES.items():
            agent, recipe = ([row[key] for row in rows[f"{name} {boot}"]] for name in UNITS)
            ratios = [a / b for a, b in zip(agent, recipe) if b]
            ratio = f"{statistics.median(ratios):.2f}" if ratios else "-"
            print(f"{text:<48} {_spread(agent):>22} {_spread(recipe):>22} {ratio:>9}")


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


main()
