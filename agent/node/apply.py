"""Carries out a Plan: the only place that changes the machine's files and reloads systemd.

Each step leaves a state from which the next run converges: the baseline is on disk before the first
file changes, each file is wholly old or wholly new, and the need for a reload is noted before the
first drop-in is written. A file that cannot be written does not hold up the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Callable

import attrs

from agent.core.plan.plan import SAVED, Change, Plan
from agent.edges import trust_store
from agent.edges.files import FileSystem
from agent.edges.state import BASELINE, LockedState
from agent.errors import CommandError, FileError
from agent.node.host import Host


def apply(plan: Plan, host: Host, state: LockedState) -> Plan:
    """Write, remove, make the trust store anew, enable, reload, start.

    Answers the plan as it was carried out: a file that could not be written is one of its problems,
    and no change; so is a command that failed.  Raises FileError when nothing was changed yet.
    """
    files = host.files
    before = state.baseline()
    for path in (BASELINE, *before.files):  # of a run that was killed: it had noted what it was about to write
        files.sweep(path)
        files.sweep(path + SAVED)
    directories_left = (
        before.directories and not before.files
    )  # others used them at the last revert, and may not any more
    if plan.empty and plan.baseline == before and not directories_left:
        return plan
    directories = _missing_directories(plan, files)
    growing = attrs.evolve(
        plan.baseline,
        files={**before.files, **plan.baseline.files},
        directories=tuple(dict.fromkeys(before.directories + tuple(directories))),
        enabled=tuple(dict.fromkeys(before.enabled + plan.baseline.enabled)),
    )
    state.save_baseline(growing)
    if plan.reload and files.live:
        state.set_reload_pending(True)
    if plan.trust:
        state.set_trust_pending(True)
    failed = _carry_out(plan.changes, files)
    kept = _drop_empty_directories(growing.directories, files)
    commands = _tell_the_system(plan, host, state)
    state.save_baseline(attrs.evolve(growing if failed else plan.baseline, directories=tuple(kept)))
    done = tuple(change for change in plan.changes if change.path not in failed)
    return attrs.evolve(plan, changes=done, problems=plan.problems + tuple(failed.values()) + tuple(commands))


def _tell_the_system(plan: Plan, host: Host, state: LockedState) -> list[str]:
    """What follows from changed files; answers what failed, which does not hold up the rest.

    What is pending is noted until all of it is done.  In a tree other than `/` nothing runs, and it
    stays noted there.
    """
    files, units = host.files, host.units
    trust_failed = _attempt([(plan.trust and files.live, lambda: trust_store.update(files))])
    if plan.trust and files.live and not trust_failed:
        state.set_trust_pending(False)
    units_failed = _attempt(
        [
            (bool(plan.enable), lambda: units.enable(plan.enable)),
            (bool(plan.disable), lambda: units.disable(plan.disable)),
            (plan.reload and files.live, units.reload),
            (bool(plan.start), lambda: units.start(plan.start)),
        ]
    )
    if plan.reload and files.live and not units_failed:
        state.set_reload_pending(False)
    return trust_failed + units_failed


def _attempt(steps: Iterable[tuple[bool, Callable[[], None]]]) -> list[str]:
    failed = []
    for due, step in steps:
        try:
            if due:
                step()
        except CommandError as error:
            failed.append(str(error))
    return failed


def _carry_out(changes: tuple[Change, ...], files: FileSystem) -> dict[str, str]:
    """Write and remove; answers what failed, by path.  A file of which no copy could be saved stays."""
    failed: dict[str, str] = {}
    for change in changes:
        if any(path.startswith(change.path + SAVED) for path in failed):
            failed[change.path] = f"{change.path}: not reverted, because the edited file cannot be saved"
            continue
        try:
            if change.after is None:
                files.remove(change.path)
                continue
            for directory in files.missing_directories(change.path):
                files.make_directory(directory)
            files.write(change.path, change.after, change.mode)
        except FileError as error:
            failed[change.path] = str(error)
    return failed


def _missing_directories(plan: Plan, files: FileSystem) -> list[str]:
    found: list[str] = []
    for change in plan.changes:
        if change.after is not None:
            found += files.missing_directories(change.path)
    return list(dict.fromkeys(found))


def _drop_empty_directories(directories: tuple[str, ...], files: FileSystem) -> list[str]:
    """Remove the directories of ours that hold nothing any more, the innermost first; the others are kept in mind."""
    kept = [
        directory for directory in sorted(directories, key=len, reverse=True) if not files.remove_directory(directory)
    ]
    return sorted(kept, key=lambda directory: (len(directory), directory))
