"""Memory of the daemon until a reboot: desired state, repairs, missing facts.

Pure.  A moment is in seconds of a clock that never jumps (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from agent.core.facts.instance import Facts
from agent.core.plan.accepted import Accepted
from agent.core.plan.baseline import plain_path
from agent.core.plan.files.managed_file import Effect, ManagedFile
from agent.core.plan.plan import Change, Plan, digest
from agent.core.record import evolve, field, record
from agent.errors import FileError

#: A file with this many repairs within an hour is contested, and the agent leaves it alone.
REPAIRS, HOUR = 5, 3600.0
#: A value that the metadata service no longer returns counts as removed after it was missing in
#: PASSES reconciles and for ABSENT seconds.
PASSES, ABSENT = 3, 300.0
#: The name of the user data in `Memory.missing`.
USER_DATA = "user data"


@record
class Memory:
    """Memory of the daemon.

    `instance`: the instance-id; empty until the first reconcile since power-on.
    `desired`: the last desired state of each file (see `desired_digest`), by resolved path.
    `repairs`: the moments of each file's repairs within the last hour; `total` counts all repairs.
    `contested`: the files that are left alone, and the moment of the last report of each.
    `missing`: values that the metadata service no longer returns: in how many reconciles, since
    when.
    `failures`: consecutive failed reconciles.
    `reported`: the last report of each kind, so that it is logged only once.
    `ca_changed_at`: the moment of the last change of the proxy's CA.
    `accepted`: the NO_PROXY values with which a process is current.
    `credentials_source`: digest of the proxy.credentials_command that gave the credentials in
    force, and `credentials_due`: the moment from which it is run again.
    `facts_age`: cycles since the metadata service was requested; None if the cached facts do not
    replace a request.
    """

    instance: str = ""
    desired: Mapping[str, str] = field(factory=dict)
    repairs: Mapping[str, tuple[float, ...]] = field(factory=dict)
    total: int = 0
    contested: Mapping[str, float] = field(factory=dict)
    missing: Mapping[str, tuple[int, float]] = field(factory=dict)
    failures: int = 0
    reported: Mapping[str, str] = field(factory=dict)
    ca_changed_at: float | None = None
    accepted: Accepted = field(factory=Accepted)
    credentials_source: str = ""
    credentials_due: float = 0.0
    facts_age: int | None = None

    def contested_paths(self, desired: Mapping[str, str]) -> frozenset[str]:
        """Return the contested files whose desired state has not changed since."""
        return frozenset(path for path in self.contested if desired.get(path) == self.desired.get(path))

    def drifted(self, plan: Plan, desired: Mapping[str, str]) -> tuple[Change, ...]:
        """Return the changes of a plan that repair drift.

        The desired state of these files is the same as before, so another process changed them.
        """
        return tuple(
            change
            for change in plan.changes
            if change.path in desired and desired[change.path] == self.desired.get(change.path)
        )

    def still_desired(self, desired: Mapping[str, str], failed: Iterable[Change]) -> dict[str, str]:
        """Return the desired state to remember after some changes `failed`.

        A file that could not be written keeps its earlier desired state, so that the change is not
        taken for drift when it succeeds later.
        """
        paths = {change.path for change in failed}
        before = {path: self.desired[path] for path in paths if path in self.desired}
        return {**{path: desired_digest for path, desired_digest in desired.items() if path not in paths}, **before}

    def after_command(self, plan: Plan, desired: Mapping[str, str], now: float) -> Memory:
        """Return the memory after an operator's command applied a plan.

        What differed was not drift, and contested files are managed again.
        """
        ca_changed_at = now if _changes_ca(plan.changes) else self.ca_changed_at
        return evolve(self.reset(), desired=dict(desired), ca_changed_at=ca_changed_at)

    def after_preparation(self, plan: Plan, desired: Mapping[str, str], now: float) -> Memory:
        """Return the memory after the part of a plan that is applied before the reconcile.

        Only a new CA is recorded.
        """
        requested = set(plan.changes) - set(self.drifted(plan, desired))
        return evolve(self, ca_changed_at=now) if _changes_ca(requested) else self

    def after_daemon(self, plan: Plan, desired: Mapping[str, str], now: float) -> Memory:
        """Return the memory after the daemon applied a plan."""
        repairs = {
            path: tuple(moment for moment in moments if now - moment < HOUR) for path, moments in self.repairs.items()
        }
        drifted = [change.path for change in self.drifted(plan, desired)]
        for path in drifted:
            repairs[path] = repairs.get(path, ()) + (now,)
        contested = {path: self.contested[path] for path in self.contested_paths(desired)}
        contested.update({path: now - HOUR for path in drifted if len(repairs[path]) >= REPAIRS})
        return evolve(
            self.after_preparation(plan, desired, now),
            desired=dict(desired),
            repairs={path: moments for path, moments in repairs.items() if moments and path not in contested},
            contested=contested,
            total=self.total + len(drifted),
        )

    def after_list(self, inputs: Mapping[str, str], value: str, written: str, units: Iterable[str] = ()) -> Memory:
        """Return the memory once `value` is NO_PROXY for these inputs, and `units` are new.

        `written` is the list in status.json, empty without one.  It counts if no list is recorded:
        the version that wrote it recorded none.
        """
        accepted = self.accepted if self.accepted.values or not written else Accepted({}, (written,))
        return evolve(self, accepted=accepted.after(inputs, value, units))

    def due_reports(self, now: float) -> tuple[tuple[str, ...], Memory]:
        """Return the contested files to report now: at first, then once an hour."""
        due = tuple(path for path, moment in self.contested.items() if now - moment >= HOUR)
        return due, evolve(
            self, contested={path: now if path in due else moment for path, moment in self.contested.items()}
        )

    def report_once(self, kind: str, text: str) -> tuple[bool, Memory]:
        """Return True if `text` differs from the last report of its kind.

        An empty text is never reported; it makes the next text a new one.
        """
        if self.reported.get(kind, "") == text:
            return False, self
        reported = {
            **{key: value for key, value in self.reported.items() if key != kind},
            **({kind: text} if text else {}),
        }
        return bool(text), evolve(self, reported=reported)

    def record_outcome(self, *, settled: bool) -> Memory:
        """Return the memory after a reconcile, with the number of consecutive failures.

        Success ends a degraded state, so that the next error is reported again.
        """
        age = None if self.facts_age is None else self.facts_age + 1
        if not settled:
            return evolve(self, failures=self.failures + 1, facts_age=age)
        return evolve(self.report_once("degraded", "")[1], failures=0, facts_age=age)

    def are_facts_current(self, cycles: int) -> bool:
        """Return True if the facts were requested in the last `cycles` and nothing was missing."""
        return self.facts_age is not None and self.facts_age < cycles and not self.missing

    def reset(self) -> Memory:
        """Return the memory for a fresh start at an operator's request.

        No file is contested, and credentials are read again.
        """
        return evolve(self, repairs={}, contested={}, failures=0, credentials_source="")

    def are_credentials_due(self, source: str, now: float) -> bool:
        """Return True if the command with this digest has to be run (again)."""
        return source != self.credentials_source or now >= self.credentials_due


def debounce_facts(facts: Facts, cached: Facts | None, memory: Memory, now: float) -> tuple[Facts, Memory]:
    """Return facts that keep, for a while, what the metadata service no longer returns.

    So one wrong response removes nothing.  A new CIDR counts immediately.  A missing CIDR, or
    missing user data, stays as in the `cached` facts of this instance until it was missing in
    PASSES reconciles and for ABSENT seconds.
    """
    memory = evolve(memory, facts_age=None if facts.warnings else 0)  # the cache has no warnings
    if cached is None or cached.instance_id != facts.instance_id or memory.instance != facts.instance_id:
        return facts, evolve(memory, missing={}, instance=facts.instance_id)
    gone = set(cached.vpc_cidrs_v4 + cached.vpc_cidrs_v6) - set(facts.vpc_cidrs_v4 + facts.vpc_cidrs_v6)
    if cached.user_data and not facts.user_data:
        gone.add(USER_DATA)
    missing = {name: _count_missing(memory.missing.get(name), now) for name in sorted(gone)}
    kept = {name for name, (passes, since) in missing.items() if passes < PASSES or now - since < ABSENT}
    return (
        evolve(
            facts,
            vpc_cidrs_v4=_with_kept(facts.vpc_cidrs_v4, cached.vpc_cidrs_v4, kept),
            vpc_cidrs_v6=_with_kept(facts.vpc_cidrs_v6, cached.vpc_cidrs_v6, kept),
            user_data=cached.user_data if USER_DATA in kept else facts.user_data,
        ),
        evolve(memory, missing={name: missing[name] for name in sorted(kept)}),
    )


def desired_digest(file: ManagedFile) -> str:
    """Return a digest of a file's desired state that does not depend on its current content.

    It is made of the results for an absent file and for an almost empty one; empty if these cannot
    be merged.
    """
    try:
        made = (file.merge(None) or b"") + b"\0" + (file.merge(b"[main]\n") or b"")
    except FileError:
        return ""
    return f"{digest(made)} {file.mode}"


def _changes_ca(changes: Iterable[Change]) -> bool:
    """Return True if the proxy's CA is among the changes.

    The daemon leaves out drift: running programs trusted a CA that was only missing for a while.
    """
    return any(change.effect is Effect.TRUST_STORE for change in changes)


def _count_missing(before: tuple[int, float] | None, now: float) -> tuple[int, float]:
    return (before[0] + 1, before[1]) if before else (1, now)


def _with_kept(current: tuple[str, ...], cached: tuple[str, ...], kept: Iterable[str]) -> tuple[str, ...]:
    """Return the current CIDRs and the kept ones of the cache, sorted by number as Facts are."""
    added = [cidr for cidr in cached if cidr in kept and cidr not in current]
    return tuple(sorted((*current, *added), key=ipaddress.ip_network)) if added else current


#: The names of the fields in version 0.1, so that an upgrade at run time forgets nothing.
_NAMES_IN_0_1 = {"wishes": "desired", "fought": "contested", "told": "reported", "anchored": "ca_changed_at"}


def memory_from_json(data: Mapping[str, Any]) -> Memory:
    """Return the Memory from the JSON of `asdict`.  Raises ValueError for invalid data."""
    data = {_NAMES_IN_0_1.get(name, name): value for name, value in data.items()}
    try:
        return Memory(
            instance=str(data["instance"]),
            desired={plain_path(path): str(digest) for path, digest in data["desired"].items()},
            repairs={plain_path(path): tuple(map(float, moments)) for path, moments in data["repairs"].items()},
            total=int(data["total"]),
            contested={plain_path(path): float(moment) for path, moment in data["contested"].items()},
            missing={str(name): (int(passes), float(since)) for name, (passes, since) in data["missing"].items()},
            failures=int(data["failures"]),
            reported={str(kind): str(text) for kind, text in data["reported"].items()},
            ca_changed_at=None if data["ca_changed_at"] is None else float(data["ca_changed_at"]),
            accepted=Accepted.from_json(data["accepted"]) if "accepted" in data else Accepted(),
            credentials_source=str(data.get("credentials_source", "")),
            credentials_due=float(data.get("credentials_due", 0)),
            facts_age=None if data.get("facts_age") is None else int(data["facts_age"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"memory: {error!r}") from None
