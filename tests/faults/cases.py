"""One case: a fault at one call of a command, and what must hold after it."""

from __future__ import annotations

import errno
import fcntl
import os
import random
from collections.abc import Iterator
from pathlib import Path

from agent.core.record import record
from agent.edges.lock import BOOTSTRAP_LOCK, LOCK
from tests.faults.calls import Point, fault_options, hit, opens, points, trace_options
from tests.faults.processes import Command, Outcome, Server, run_whole
from tests.faults.scenarios import SCENARIOS, Node, Scenario
from tests.faults.tree import (
    TEMPORARY,
    Entry,
    Tree,
    differences,
    is_state,
    is_whole_state,
    lasting,
    read_tree,
    temporaries,
    write_tree,
)

#: Bytes that a command may print.
_OUTPUT = 64 * 1024
#: Failures after the fault, by scenario and the tree that the fault left.
_aftermaths: dict[tuple[str, frozenset[tuple[str, Entry]]], list[str]] = {}


@record
class Case:
    """A scenario, and a fault at one of its calls.

    A fault that lasts has more `points`: the first call of each other name from there on.
    """

    scenario: str
    fault: str
    points: tuple[Point, ...]

    @property
    def point(self) -> Point:
        return self.points[0]

    def __str__(self) -> str:
        return f"{self.scenario}: {self.fault} at {self.point.call} number {self.point.number}: {self.point.text}"


class Undisturbed:
    """A scenario without a fault: its calls, and the trees before, after, and after `revert`."""

    def __init__(self, node: Node, scenario: Scenario) -> None:
        self.scenario = scenario
        node.create()
        scenario.prepare(node)
        self.old = read_tree(node.root)
        outcome = _traced(node, scenario.command(node), trace_options(node.log))
        assert outcome.code == 0, outcome
        self.points = points(node.log.read_text(), node.root)
        self.written = read_tree(node.root)
        # A second run may save more, for example that all units are current.
        self.new = node.succeed(*scenario.rerun(node))
        self.reverted = node.succeed(node.command("revert"))

    def cases(self, fault: str) -> list[Case]:
        """Return the cases of a fault."""
        name, chosen = self.scenario.name, [point for point in self.points if point.can_have(fault)]
        if not fault.endswith("+"):
            return [Case(name, fault, (point,)) for point in chosen]
        cases: list[Case] = []
        first: dict[str, Point] = {}
        for point in reversed(chosen):
            first[point.call] = point
            others = (other for other in first.values() if other is not point)
            cases.append(Case(name, fault, (point, *others)))
        return cases


class Bench:
    """Runs cases of all scenarios, each on a fresh tree."""

    def __init__(self, directory: Path) -> None:
        self._server = Server(directory)
        self.node = Node(directory, self._server)
        self._undisturbed: dict[str, Undisturbed] = {}

    def close(self) -> None:
        """End the server."""
        self._server.close()

    def undisturbed(self, name: str) -> Undisturbed:
        """Return a scenario without a fault."""
        if name not in self._undisturbed:
            self._undisturbed[name] = Undisturbed(self.node, SCENARIOS[name])
        return self._undisturbed[name]

    def failures(self, case: Case) -> list[str]:
        """Run a case; return what does not hold after it."""
        undisturbed, node = self.undisturbed(case.scenario), self.node
        write_tree(node.root, undisturbed.old)
        scenario = undisturbed.scenario
        outcome = _traced(node, scenario.command(node), fault_options(node.log, case.fault, case.points))
        disturbed = read_tree(node.root)
        other = hit(node.log.read_text(), case.point, node.root)
        if other:
            return [f"the fault hit another call: {other}"]
        failures = [*_ending(case, outcome, scenario), *_torn(disturbed, undisturbed), *_locked(node)]
        if _is_silent(case, outcome):
            failures += [
                f"exit code 0 without a word, but {difference}"
                for difference in differences(_outside_run(disturbed), _outside_run(undisturbed.written))
            ]
        return failures + self._aftermath(disturbed, undisturbed)

    def failures_of_python(self, fault: str, number: int, seed: int) -> list[str]:
        """Let files fail that Python opens, such as modules; return what does not hold after it.

        Python may print a traceback then, so only files and rerun are compared.
        """
        undisturbed, node = self.undisturbed("apply"), self.node
        words = undisturbed.scenario.command(node).words
        write_tree(node.root, undisturbed.old)
        assert run_whole(words, trace_options(node.log)) == 0
        failures = []
        for point in random.Random(seed).sample(opens(node.log.read_text(), node.root), number):
            write_tree(node.root, undisturbed.old)
            run_whole(words, fault_options(node.log, fault, [point]))
            torn = _torn(read_tree(node.root), undisturbed)
            failures += [f"{fault} at {point.text}: {failure}" for failure in (*torn, *self._reruns(undisturbed))]
        return failures

    def _aftermath(self, disturbed: Tree, undisturbed: Undisturbed) -> list[str]:
        """Return what does not hold after a rerun, and after a revert at once.

        Most faults leave a tree that another fault left before, but for moments: that one counts.
        """
        key = undisturbed.scenario.name, frozenset(lasting(disturbed).items())
        if key not in _aftermaths:
            failures = [*self._reruns(undisturbed)]
            write_tree(self.node.root, disturbed)
            _aftermaths[key] = [*failures, *self._reverts("revert at once", undisturbed)]
        return _aftermaths[key]

    def _reruns(self, undisturbed: Undisturbed) -> Iterator[str]:
        """Yield what does not hold after a rerun without a fault, and after a revert of that."""
        node = self.node
        for command in undisturbed.scenario.rerun(node):
            outcome = node.server.run(command)
            yield from _clean_ending("rerun", outcome)
        tree = read_tree(node.root)
        yield from (f"rerun left {name}" for name in temporaries(tree))
        yield from (f"rerun: {text}" for text in differences(lasting(tree), lasting(undisturbed.new)))
        yield from self._reverts("revert", undisturbed)

    def _reverts(self, name: str, undisturbed: Undisturbed) -> Iterator[str]:
        """Yield what does not hold after `revert`."""
        node = self.node
        yield from _clean_ending(name, node.server.run(node.command("revert")))
        tree = read_tree(node.root)
        yield from (f"{name} left {path}" for path in temporaries(tree))
        expected = undisturbed.reverted
        if name == "revert at once" and undisturbed.scenario.forgets:
            return
        survivors = undisturbed.scenario.survives(tree) | undisturbed.scenario.survives(expected)
        tree, expected = ({path: t[path] for path in t if path not in survivors} for t in (tree, expected))
        yield from (f"{name}: {text}" for text in differences(lasting(tree), lasting(expected)))


def sample(cases: list[Case], number: int, seed: int) -> list[Case]:
    """Return so many of the cases: of each system call one, then of each again."""
    shuffled = random.Random(seed).sample(cases, len(cases))
    seen: dict[str, int] = {}
    ranked = []
    for case in shuffled:
        seen[case.point.call] = seen.get(case.point.call, 0) + 1
        ranked.append((seen[case.point.call], case))
    return [case for _, case in sorted(ranked, key=lambda item: item[0])[:number]]


def _traced(node: Node, command: Command, options: list[str]) -> Outcome:
    return node.server.run(command, lambda pid: ["strace", *options, "-p", str(pid)])


def _ending(case: Case, outcome: Outcome, scenario: Scenario) -> Iterator[str]:
    """Yield what is wrong with exit code and output of the disturbed command."""
    expected = {-9} if case.fault == "SIGKILL" else scenario.codes
    if outcome.code not in expected:
        yield f"exit code {outcome.code}, expected {sorted(expected)}: {outcome.err}"
    elif outcome.code > 0 and "eks-proxy-agent: " not in outcome.err and "error" not in outcome.err:
        yield f"exit code {outcome.code} without an error text: {outcome.err}"
    yield from _output(outcome)


def _output(outcome: Outcome) -> Iterator[str]:
    both = outcome.out + outcome.err
    for text in ("Traceback", "Exception ignored", "unexpected error"):
        if text in both:
            yield f"output has {text!r}: {outcome.err}"
    if len(both.encode()) > _OUTPUT:
        yield f"output of {len(both)} characters"


def _clean_ending(name: str, outcome: Outcome) -> Iterator[str]:
    if outcome.code != 0:
        yield f"{name}: exit code {outcome.code}: {outcome.err}"
    yield from (f"{name}: {text}" for text in _output(outcome))


def _is_silent(case: Case, outcome: Outcome) -> bool:
    """Return True if neither exit code nor output has the fault."""
    return case.fault != "SIGKILL" and outcome.code == 0 and _error(case.fault) not in outcome.out + outcome.err


def _error(fault: str) -> str:
    return os.strerror(getattr(errno, fault.rstrip("+")))


def _outside_run(tree: Tree) -> Tree:
    """Return what outlives a reboot: that is what a command may not lose without a word."""
    return {name: entry for name, entry in lasting(tree).items() if not name.startswith("run/")}


def _torn(tree: Tree, undisturbed: Undisturbed) -> Iterator[str]:
    """Yield the files that are neither wholly old nor wholly new."""
    old, new = undisturbed.old, undisturbed.written
    for name in sorted({*tree, *(set(old) & set(new))}):
        entry = tree.get(name)
        if entry is None:
            if not is_state(name):
                yield f"{name} is missing"
        elif TEMPORARY.search(name):
            continue
        elif is_state(name):
            if not is_whole_state(name, entry):
                yield f"{name} is not whole: {entry}"
        elif entry not in (old.get(name), new.get(name)):
            yield from (f"torn: {text}" for text in differences({name: entry}, {name: old.get(name, new.get(name))}))


def _locked(node: Node) -> Iterator[str]:
    for path in (*LOCK, *BOOTSTRAP_LOCK):
        try:
            descriptor = os.open(node.root / path[1:], os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield f"{path} is locked"
        finally:
            os.close(descriptor)
