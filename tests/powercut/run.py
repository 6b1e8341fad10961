"""`make powercut`: a virtual machine whose power is cut at random moments of its boot.

The result is a line for each cut and a summary; README.md explains both.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.boot.harness import case as cases
from tests.boot.harness.boot import Boot
from tests.boot.harness.command import run
from tests.boot.harness.root import REPOSITORY
from tests.boot.harness.verify import verify

from . import checks, image, replay
from .machine import Machine, Moment, Run

CASE = cases.load("power-cut")
#: The settings with which a node was configured before, for cuts while they change.
FORMER = '[proxy]\nurl = "http://former.example.test:8080"\n'
#: Cuts of each kind, in turn.  Most aim at the seconds in which the agent writes.
KINDS = ("write", "write", "time")


@dataclass(frozen=True)
class Scenario:
    """A disk to start from, and what an undisturbed boot makes of it."""

    name: str
    base: Path
    old: Mapping[str, checks.Entry]
    new: Mapping[str, checks.Entry]
    reference: Run


class Bench:
    """The machine, its disks, and the results."""

    def __init__(self, directory: Path, seed: int, *, sync: bool = True) -> None:
        """Create the disk of a new node; takes a minute, or three if no root is cached."""
        self.directory = directory
        self._chance = random.Random(seed)
        parts = image.layers()
        self._machine = Machine(directory, parts.kernel, parts.initrd)
        self._disk = directory / "disk"
        new_node = directory / "new-node"
        image.create(new_node, CASE, parts, sync=sync)
        with image.mounted(new_node) as root:
            self._pristine = checks.tree(root)
        self.scenarios = [
            self._scenario("first boot", new_node),
            self._scenario("new settings", self._former(new_node)),
        ]

    def cut(self, number: int) -> tuple[str, list[str]]:
        """Cut the power once, and boot again; return the line of the report, and the problems."""
        scenario = self.scenarios[number % len(self.scenarios)]
        moment = self._moment(KINDS[number // len(self.scenarios) % len(KINDS)], scenario.reference)
        while True:
            image.copy(scenario.base, self._disk)
            ended = self._machine.run(self._disk, self._chance, moment)
            if ended.loss is not None:
                break
            moment = moment.halved()  # it was off before: the boot without a cut was slower
        line = f"{number + 1:2d} {scenario.name}, {moment} ({ended.stage}): "
        loss = ended.loss
        line += f"{loss.cached} writes cached, {loss.kept} kept, {loss.torn} torn; "
        problems = []
        recovered = self.directory / "recovered"
        image.copy(self._disk, recovered)
        problems += _recover(recovered)
        with image.mounted(recovered) as root:
            problems += checks.at_the_cut(root, scenario.old, scenario.new)
            line += f"{checks.changed(root, scenario.old)} of {self._changes(scenario)} files new, "
            line += f"{len(checks.temporaries(root))} temporary; "
        again = self._machine.run(self._disk, self._chance)
        problems += self._after_boot(again, scenario.new)
        problems += self._after_revert()
        return f"{line}configured after {again.seconds:.0f} s, reverted", problems

    def replay(self, scenario: Scenario) -> tuple[str, list[str]]:
        """Cut the power before each flush while the agent starts; return as `cut` does."""
        count, mixed, problems = 0, 0, []
        reference = scenario.reference
        for disk in replay.disks(scenario.base, reference.history, reference.window, self._chance):
            count += 1
            problems += [f"flush {count}: {problem}" for problem in _recover(disk)]
            with image.mounted(disk) as root:
                problems += [f"flush {count}: {text}" for text in checks.at_the_cut(root, scenario.old, scenario.new)]
                mixed += 0 < checks.changed(root, scenario.old) < self._changes(scenario)
        return f"{scenario.name}, replayed: {count} flushes, at {mixed} of them some files were new", problems

    def _moment(self, kind: str, reference: Run) -> Moment:
        if kind == "write":
            return Moment(writes=self._chance.randint(1, reference.agent_writes))
        return Moment(seconds=self._chance.uniform(1, reference.seconds))

    def _scenario(self, name: str, base: Path) -> Scenario:
        """Boot a copy of `base` without a cut."""
        image.copy(base, self._disk)
        reference = self._machine.run(self._disk, self._chance, is_recorded=True)
        with image.mounted(self._disk) as root:
            new = {name: checks.entry(root / name) for name in checks.managed(root)}
        with image.mounted(base) as root:
            old = {name: checks.entry(root / name) for name in new}
        problems = [*self._after_boot(reference, new), *self._after_revert()]
        _report(
            f"{name}, no cut: {reference.seconds:.0f} s, {reference.agent_writes} writes while the agent starts",
            problems,
        )
        if problems:
            raise SystemExit("error: the boot without a cut has problems")
        return Scenario(name, base, old, new, reference)

    def _former(self, new_node: Path) -> Path:
        """Return the disk of a node that was configured once, and has got other settings since."""
        base = self.directory / "configured-node"
        image.copy(new_node, base)
        settings = Path("etc/eks-proxy-agent/config.toml")
        with image.mounted(base, writable=True) as root:
            current = (root / settings).read_text()
            (root / settings).write_text(FORMER)
        self._machine.run(base, self._chance)
        with image.mounted(base, writable=True) as root:
            (root / settings).write_text(current)
            for path in (root / "probe").iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return base

    def _changes(self, scenario: Scenario) -> int:
        return sum(scenario.old[name] != content for name, content in scenario.new.items())

    def _after_boot(self, ended: Run, new: Mapping[str, checks.Entry]) -> Iterator[str]:
        """Yield what is wrong with the node on the disk after a boot to the end."""
        evidence = self.directory / "evidence"
        shutil.rmtree(evidence, ignore_errors=True)
        with image.mounted(self._disk) as root:
            shutil.copytree(root / "probe", evidence, symlinks=True)
            (evidence / "console.log").write_text(ended.console)
            if not (evidence / "done").exists():
                yield f"the boot did not settle:\n{ended.console[-3000:]}"
                return
            boot = Boot(evidence, 1)
            clock = int(boot.journal[-1]["__MONOTONIC_TIMESTAMP"]) / 1e6
            if not 0.5 < clock / ended.seconds < 1.2:
                yield f"the machine's clock is wrong: {clock:.0f} s instead of {ended.seconds:.0f} s"
            try:
                verify(CASE, boot, root, [])
            except AssertionError as error:
                yield str(error)
            yield from checks.differences(new, {name: checks.entry(root / name) for name in new})
            yield from (f"/{name}: temporary file left" for name in checks.temporaries(root))

    def _after_revert(self) -> Iterator[str]:
        """Revert the node on the disk; yield what differs from the node that never booted."""
        with image.mounted(self._disk, writable=True) as root:
            command = [sys.executable, "-m", "agent", "revert", "--root", root]
            done = run(command, cwd=REPOSITORY, check=False)
            if done.returncode != 0:
                yield f"revert: exit code {done.returncode}: {done.stdout}{done.stderr}"
            yield from checks.differences(self._pristine, checks.tree(root))


def _recover(disk: Path) -> list[str]:
    """Replay the journal; return problems of the file system (e2fsck(8), exit codes)."""
    done = run(["e2fsck", "-p", disk], check=False, timeout=300)
    return [f"e2fsck: {done.stdout}{done.stderr}"] if done.returncode & ~1 else []


def _report(line: str, problems: list[str]) -> None:
    print(f"{time.strftime('%H:%M:%S')} {'FAILED ' if problems else ''}{line}", flush=True)
    for problem in problems:
        print(f"    {problem}", flush=True)


def main() -> int:
    """Return 0 if no cut has a problem."""
    parser = argparse.ArgumentParser(prog="python -m tests.powercut.run")
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--without-fsync", action="store_true", help="make the agent's fsync(2) do nothing")
    arguments = parser.parse_args()
    begin = time.monotonic()
    print(f"seed {arguments.seed}, {arguments.cuts} cuts", flush=True)
    results: Counter[str] = Counter()
    with image.workspace() as directory:
        bench = Bench(directory, arguments.seed, sync=not arguments.without_fsync)
        steps = [partial(bench.replay, scenario) for scenario in bench.scenarios]
        steps += [partial(bench.cut, number) for number in range(arguments.cuts)]
        for step in steps:
            line, problems = step()
            _report(line, problems)
            results["failed" if problems else "good"] += 1
    print(f"{dict(results)}, {(time.monotonic() - begin) / 60:.0f} min")
    return 1 if results["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
