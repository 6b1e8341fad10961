"""The loop of the soak: an event, a bounded wait, the invariants, and a line for people."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from tests.boot.harness.bed import Bed
from tests.boot.harness.command import BedError

from . import events, figures
from .figures import Sample
from .invariants import Judge, Seen
from .node import SoakNode
from .world import World

#: Seconds until a violation that stays is one, and until the operator sends a reload to a node
#: whose next retry is minutes away.
LIMIT, PATIENCE = 150.0, 20.0
PAUSE = 0.5
#: Seconds from an event to the first look, one of these: the next event then meets the agent at
#: another moment, and a condition may last for a cycle.
DWELL = (0, 0, 1, 3, 11)


class Violation(Exception):
    """An invariant does not hold."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Soak:
    """A node, its world, and what was measured."""

    def __init__(
        self,
        bed: Bed,
        seed: int,
        limit: float,
        say: Callable[[str], None] = print,
        dwell: Sequence[float] = DWELL,
    ) -> None:
        """Boot the node; it is killed `limit` seconds later."""
        self.seed, self.say, self.dwell = seed, say, dwell
        self.world = World()
        self.samples: list[Sample] = []
        self.begin = time.monotonic()
        self.node = SoakNode(bed, self.world, limit)
        self.judge = Judge(self.node)

    def close(self) -> None:
        """Remove the node."""
        self.node.close()

    def run(self, seconds: float, names: tuple[str, ...] = ()) -> None:
        """Run events until the time is over, or those of these names.  Raises Violation."""
        self.settle()
        step = 0
        while (step < len(names)) if names else (time.monotonic() - self.begin < seconds):
            step += 1
            rng = random.Random(f"{self.seed} {step}")  # of each step alone: a replay does not depend on draws before
            self.step(step, events.named(names[step - 1]) if names else events.draw(self.world, rng), rng)

    def step(self, step: int, event: events.Event, rng: random.Random) -> None:
        """Run one event and check the invariants."""
        begin = time.monotonic()
        label = f"seed={self.seed} step={step} t={begin - self.begin:.0f}s {event.name}"
        try:
            done = event.act(self.node, self.world, rng)
            self.judge.expect(self.node.observe(), done.restarts)
            time.sleep(rng.choice(self.dwell))
            if done.problems:
                raise Violation(*done.problems)
            seen, notes = self.settle()
        except (Violation, BedError) as error:
            self.say(f"{label} VIOLATED: {error}")
            raise
        phase = json.loads(seen["status"] or "{}").get("phase", "no status")
        conditions = ",".join(self.world.conditions) or "none"
        took = time.monotonic() - begin
        self.say(f"{label} ({done.text}): ok in {took:.1f} s, {phase}, conditions: {conditions}{notes}")
        self._sample(event.name, seen, took)
        if phase == "configured" and self.world.is_metadata_well:
            self.judge.quiet()

    def settle(self) -> tuple[Seen, str]:
        """Wait until all invariants hold; return the look at the node, and notes.

        Raises Violation after LIMIT seconds, and at once for the journal, which does not improve.
        """
        begin, notes = time.monotonic(), ""
        while True:
            seen = self.node.observe()
            worst = self.judge.at_once(seen)
            if worst:
                raise Violation(*worst)
            problems = self.judge.quick(seen) or self.judge.deep(seen)
            if not problems:
                return seen, notes
            elapsed = time.monotonic() - begin
            if elapsed > LIMIT:
                raise Violation(f"after {elapsed:.0f} s:", *problems)
            if elapsed > PATIENCE and not notes and self._waits_for_long(seen):
                self.node.reload()
                notes = f", reloaded after {elapsed:.0f} s, because: {problems[0]}"
            time.sleep(PAUSE)

    def _waits_for_long(self, seen: Seen) -> bool:
        """Return True if a degraded node retries only in minutes: then its operator reloads."""
        status = json.loads(seen["status"] or "{}")
        return status.get("phase") == "degraded"

    def _sample(self, event: str, seen: Seen, took: float) -> None:
        found = seen["figures"] or {"rss_kb": 0, "threads": 0, "descriptors": 0}
        self.samples.append(
            Sample(
                event,
                took,
                rss_kb=found["rss_kb"],
                threads=found["threads"],
                descriptors=found["descriptors"],
                temporaries=len(seen["temporaries"]),
                state_bytes=seen["state_bytes"],
                state_files=seen["state_files"],
                journal_lines=self.judge.journal_lines,
            )
        )
        self.judge.journal_lines = 0

    def revert(self) -> None:
        """End all conditions, revert, and check that only the lines of others remain."""
        for name in ("room.free", "settings.back", "metadata.well", "proxy.start", "file.unblock"):
            event = events.named(name)
            while event.when(self.world):
                event.act(self.node, self.world, random.Random(self.seed))
        self.node.reload()
        self.settle()
        code, output = self.node.result("eks-proxy-agent revert")
        seen = self.node.observe()
        problems = [f"revert: exit code {code}: {output[-500:]}"] if code else []
        problems += self.judge.reverted(seen)
        if problems:
            raise Violation(*problems)

    def save_evidence(self, directory: Path) -> None:
        """Write the journal, the console and the status of the node below a directory."""
        directory.mkdir(parents=True, exist_ok=True)
        journal = self.node.running.run("journalctl", "--quiet", "--all", "--output=short-monotonic", check=False)
        (directory / "journal.txt").write_text(journal)
        (directory / "console.txt").write_text(self.node.running.console())
        seen = self.node.observe()
        (directory / "node.json").write_text(json.dumps(seen, indent=1))
        listing = self.node.sh(
            "ls -laR /etc/eks-proxy-agent /run/eks-proxy-agent /var/lib/eks-proxy-agent; cat /run/eks-proxy-agent/*.json; true"
        )
        (directory / "state.txt").write_text(listing)

    def summary(self) -> tuple[list[str], list[str]]:
        """Return the lines of the summary, and the figures that are not flat."""
        return figures.summary(self.samples)
