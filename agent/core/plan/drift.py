"""What the daemon remembers from one pass to the next, until the next reboot: what it wanted, mended and missed.

Pure.  A moment is seconds of a clock that never jumps (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from agent.core.facts.instance import Facts
from agent.core.plan.files.managed_file import Effect, ManagedFile
from agent.core.plan.plan import Change, Plan, digest
from agent.errors import FileError

#: A file that was mended as often as this within an hour is fought over, and left alone.
REPAIRS, HOUR = 5, 3600.0
#: What the metadata service does not name any more counts as gone when it was missing in as many
#: passes, for as long.
PASSES, ABSENT = 3, 300.0
#: How `Memory.missing` calls it.
USER_DATA = "user data"


@attrs.frozen
class Memory:
    """`desired`: what was last wanted of each file (digests, see `desired_digest`), by resolved path.

    `repairs`: when each file was put right, within the last hour; `total` counts them all.
    `contested`: the files that are left alone, and when that was last reported.  `missing`: what
    metadata does not name any more: in how many passes, since when.  `failures`: passes without
    success, one after the other.  `reported`: what was last reported of a kind, so that it is
    reported once.  `ca_changed_at`: when the proxy's CA last changed.  `instance` is empty until
    the first pass since power on.
    """

    instance: str = ""
    desired: Mapping[str, str] = attrs.field(factory=dict)
    repairs: Mapping[str, tuple[float, ...]] = attrs.field(factory=dict)
    total: int = 0
    contested: Mapping[str, float] = attrs.field(factory=dict)
    missing: Mapping[str, tuple[int, float]] = attrs.field(factory=dict)
    failures: int = 0
    reported: Mapping[str, str] = attrs.field(factory=dict)
    ca_changed_at: float | None = None

    def left_alone(self, desired: Mapping[str, str]) -> frozenset[str]:
        """The files that are fought over, as long as nothing else is wanted of them than before."""
        return frozenset(path for path in self.contested if desired.get(path) == self.desired.get(path))

    def drifted(self, plan: Plan, desired: Mapping[str, str]) -> tuple[Change, ...]:
        """The changes of a plan that nobody asked for: the same was wanted before, so somebody else changed the file."""
        return tuple(
            change
            for change in plan.changes
            if change.path in desired and desired[change.path] == self.desired.get(change.path)
        )

    def still_desired(self, desired: Mapping[str, str], failed: Iterable[Change]) -> dict[str, str]:
        """The wishes to be remembered: of a file that could not be written the one before, so that it is still asked for."""
        paths = {change.path for change in failed}
        before = {path: self.desired[path] for path in paths if path in self.desired}
        return {**{path: desired_digest for path, desired_digest in desired.items() if path not in paths}, **before}

    def asked(self, plan: Plan, desired: Mapping[str, str], now: float) -> Memory:
        """The memory once a person's plan was carried out: what differed was no drift, and what was fought over is taken up."""
        ca_changed_at = now if _trusts_anew(plan.changes) else self.ca_changed_at
        return attrs.evolve(self.reset(), desired=dict(desired), ca_changed_at=ca_changed_at)

    def prepared(self, plan: Plan, desired: Mapping[str, str], now: float) -> Memory:
        """The memory once that part of a plan was carried out that goes ahead of a pass: of it only another CA counts."""
        asked_for = set(plan.changes) - set(self.drifted(plan, desired))
        return attrs.evolve(self, ca_changed_at=now) if _trusts_anew(asked_for) else self

    def after(self, plan: Plan, desired: Mapping[str, str], now: float) -> Memory:
        """The memory once a plan of the daemon's own was carried out."""
        repairs = {path: tuple(at for at in moments if now - at < HOUR) for path, moments in self.repairs.items()}
        drifted = [change.path for change in self.drifted(plan, desired)]
        for path in drifted:
            repairs[path] = repairs.get(path, ()) + (now,)
        contested = {path: self.contested[path] for path in self.left_alone(desired)}
        contested.update({path: now - HOUR for path in drifted if len(repairs[path]) >= REPAIRS})
        return attrs.evolve(
            self.prepared(plan, desired, now),
            desired=dict(desired),
            repairs={path: moments for path, moments in repairs.items() if moments and path not in contested},
            contested=contested,
            total=self.total + len(drifted),
        )

    def to_say(self, now: float) -> tuple[tuple[str, ...], Memory]:
        """The fought files of which it has to be said now, at first and once an hour."""
        due = tuple(path for path, at in self.contested.items() if now - at >= HOUR)
        return due, attrs.evolve(
            self, contested={path: now if path in due else at for path, at in self.contested.items()}
        )

    def says(self, kind: str, what: str) -> tuple[bool, Memory]:
        """Whether `what` is news of its kind; empty is no news, and forgets."""
        if self.reported.get(kind, "") == what:
            return False, self
        reported = {
            **{key: value for key, value in self.reported.items() if key != kind},
            **({kind: what} if what else {}),
        }
        return bool(what), attrs.evolve(self, reported=reported)

    def counted(self, *, settled: bool) -> Memory:
        """The memory after a pass: how many failed one after the other; of a trouble that is over the next one is news."""
        if not settled:
            return attrs.evolve(self, failures=self.failures + 1)
        return attrs.evolve(self.says("degraded", "")[1], failures=0)

    def reset(self) -> Memory:
        """The memory when somebody asked for a fresh start: what was fought over is taken up again."""
        return attrs.evolve(self, repairs={}, contested={}, failures=0)


def steady(facts: Facts, known: Facts | None, memory: Memory, now: float) -> tuple[Facts, Memory]:
    """Facts in which nothing vanishes at once: a metadata service that lies for one pass takes nothing away.

    A new CIDR counts immediately.  A CIDR, or the user data, that is missing stays as in the
    `known` facts of this instance until it was missing in PASSES passes and for ABSENT seconds.
    """
    if known is None or known.instance_id != facts.instance_id or memory.instance != facts.instance_id:
        return facts, attrs.evolve(memory, missing={}, instance=facts.instance_id)
    gone = set(known.vpc_cidrs_v4 + known.vpc_cidrs_v6) - set(facts.vpc_cidrs_v4 + facts.vpc_cidrs_v6)
    if known.user_data and not facts.user_data:
        gone.add(USER_DATA)
    counted = {what: _again(memory.missing.get(what), now) for what in sorted(gone)}
    kept = {what for what, (passes, since) in counted.items() if passes < PASSES or now - since < ABSENT}
    return (
        attrs.evolve(
            facts,
            vpc_cidrs_v4=_with(facts.vpc_cidrs_v4, known.vpc_cidrs_v4, kept),
            vpc_cidrs_v6=_with(facts.vpc_cidrs_v6, known.vpc_cidrs_v6, kept),
            user_data=known.user_data if USER_DATA in kept else facts.user_data,
        ),
        attrs.evolve(memory, missing={what: counted[what] for what in sorted(kept)}),
    )


def desired_digest(file: ManagedFile) -> str:
    """A digest of what is wanted of a file, whatever stands in it now: what becomes of none, and of next to nothing."""
    try:
        made = (file.merge(None) or b"") + b"\0" + (file.merge(b"[main]\n") or b"")
    except FileError:
        return ""
    return f"{digest(made)} {file.mode}"


def _trusts_anew(changes: Iterable[Change]) -> bool:
    """Whether the proxy's CA changes; one that was missing for a moment is what running programs have trusted all along."""
    return any(change.effect is Effect.TRUST_STORE for change in changes)


def _again(before: tuple[int, float] | None, now: float) -> tuple[int, float]:
    return (before[0] + 1, before[1]) if before else (1, now)


def _with(found: tuple[str, ...], known: tuple[str, ...], kept: Iterable[str]) -> tuple[str, ...]:
    """What was found, and what is kept of the known, sorted by number as Facts are."""
    stay = [cidr for cidr in known if cidr in kept and cidr not in found]
    return tuple(sorted((*found, *stay), key=ipaddress.ip_network)) if stay else found


#: What version 0.1 called the fields: an upgrade at run time forgets nothing.
_NAMES_IN_0_1 = {"wishes": "desired", "fought": "contested", "told": "reported", "anchored": "ca_changed_at"}


def memory_from_json(data: Mapping[str, Any] | None) -> Memory:
    """Return the Memory that `attrs.asdict` made; a new one if it is not that: nothing of it is worth failing for."""
    if data is None:
        return Memory()
    data = {_NAMES_IN_0_1.get(name, name): value for name, value in data.items()}
    try:
        return Memory(
            instance=str(data["instance"]),
            desired={str(path): str(digest) for path, digest in data["desired"].items()},
            repairs={str(path): tuple(map(float, at)) for path, at in data["repairs"].items()},
            total=int(data["total"]),
            contested={str(path): float(at) for path, at in data["contested"].items()},
            missing={str(what): (int(passes), float(since)) for what, (passes, since) in data["missing"].items()},
            failures=int(data["failures"]),
            reported={str(kind): str(what) for kind, what in data["reported"].items()},
            ca_changed_at=None if data["ca_changed_at"] is None else float(data["ca_changed_at"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return Memory()
