"""Application of a Plan: the only place that changes the machine's files and reloads systemd.

Each step leaves a state from which the next run converges: the baseline is on disk before the first
file changes, each file is wholly old or wholly new, and a pending reload is recorded before the
first drop-in is written.  A file that cannot be written does not hold up the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Callable

from agent.core.plan.plan import Change, Plan
from agent.core.plan.saved_copies import SAVED
from agent.core.record import evolve
from agent.edges import trust_store
from agent.edges.files import FileSystem
from agent.edges.state import BASELINE, LockedState
from agent.errors import CommandError, FileError
from agent.node.host import Host


def apply(plan: Plan, host: Host, state: LockedState, *, in_background: bool = False) -> Plan:
    """Write and remove files, rebuild the trust store, then enable, reload and start units.

    Returns the plan as it was applied: a file that could not be written, or a command that failed,
    is one of its problems and not a change.  With `in_background` systemd still reloads when it
    returns, see `finish_commands`.  Raises FileError if nothing was changed yet.
    """
    files = host.files
    before = state.baseline()
    # Temporary files of a killed run: the baseline names each file before it is written.
    files.sweep(BASELINE)
    unswept = _sweep((name for path in before.files for name in (path, path + SAVED)), files)
    # Others used these directories at the last revert; by now they may be empty.
    has_stale_directories = bool(before.directories) and not before.files
    if plan.empty and plan.baseline == before and not has_stale_directories:
        return evolve(plan, problems=plan.problems + tuple(unswept))
    directories, unknown = _missing_directories(plan, files)
    growing = evolve(
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
    failed = _write_files(plan.changes, files, unknown)
    remaining, stuck = _remove_empty_directories(growing.directories, files)
    failed_commands, disabled = _run_commands(plan, host, state, in_background=in_background)
    # The record of what could not be done stays, for the next run.
    kept = {path: record for path, record in growing.files.items() if path in failed}
    final = evolve(
        plan.baseline,
        files={**plan.baseline.files, **kept},
        directories=tuple(remaining),
        enabled=plan.baseline.enabled if disabled else growing.enabled,
    )
    state.save_baseline(final)
    done = tuple(change for change in plan.changes if change.path not in failed)
    problems = (*plan.problems, *unswept, *failed.values(), *stuck, *failed_commands)
    return evolve(plan, changes=done, problems=problems)


def _sweep(paths: Iterable[str], files: FileSystem) -> list[str]:
    """Remove the temporary files of these paths; return the errors."""
    errors = []
    for path in paths:
        try:
            files.sweep(path)
        except FileError as error:
            errors.append(str(error))
    return errors


def finish_commands(plan: Plan, host: Host, state: LockedState) -> Plan:
    """Wait for the commands that `apply` left in the background; return the plan with their errors.

    The reload stays pending after an error, and if another run has written drop-ins meanwhile.
    """
    mark = host.units.background
    errors = host.units.finish()
    if errors == [] and state.reload_mark == mark:
        state.set_reload_pending(False)
    return evolve(plan, problems=(*plan.problems, *errors)) if errors else plan


def _run_commands(plan: Plan, host: Host, state: LockedState, *, in_background: bool) -> tuple[list[str], bool]:
    """Run the commands that must follow the changes.

    Returns the errors of those that failed, and True if the units are disabled that should be.

    A failed command does not hold up the others.  Reload and trust store stay recorded as pending
    until all of their commands succeeded.  In a tree other than `/` these do not run and stay
    pending.
    """
    files, units = host.files, host.units
    unfinished = (units.finish() or []) if plan.reload else []
    trust_failed = _attempt([(plan.trust and files.live, lambda: trust_store.update(files))])
    if plan.trust and files.live and not trust_failed:
        state.set_trust_pending(False)
    not_disabled = _attempt([(bool(plan.disable), lambda: units.disable(plan.disable))])
    changes: list[tuple[bool, Callable[[], None]]] = [
        (bool(plan.enable), lambda: units.enable(plan.enable)),
        (plan.reload and files.live, units.reload),
        (bool(plan.start), lambda: units.start(plan.start)),
    ]
    if in_background and plan.reload and files.live:
        units.begin(lambda: not_disabled + _attempt(changes), state.reload_mark)
        return trust_failed, not not_disabled
    units_failed = unfinished + not_disabled + _attempt(changes)
    if plan.reload and files.live and not units_failed:
        state.set_reload_pending(False)
    return trust_failed + units_failed, not not_disabled


def _attempt(steps: Iterable[tuple[bool, Callable[[], None]]]) -> list[str]:
    failed = []
    for due, step in steps:
        try:
            if due:
                step()
        except (CommandError, FileError) as error:
            failed.append(str(error))
    return failed


def _write_files(changes: tuple[Change, ...], files: FileSystem, unknown: Mapping[str, str]) -> dict[str, str]:
    """Write and remove files, in order; return the errors by path.

    A file stays as it is if another one, which has to be in place before, could not be written.
    `unknown`: the errors of files whose missing directories are not recorded.
    """
    failed = dict(unknown)
    for change in changes:
        if change.path in failed:
            continue
        if change.requires in failed:
            failed[change.path] = f"{change.path}: left as it is, because {change.requires} cannot be written"
            continue
        try:
            if change.after is None:
                files.remove(change.path)
                continue
            for directory in files.missing_directories(change.path):
                files.make_directory(directory)
            files.write(change.path, change.after, change.mode, change.attributes)
        except FileError as error:
            failed[change.path] = str(error)
    return failed


def _missing_directories(plan: Plan, files: FileSystem) -> tuple[list[str], dict[str, str]]:
    """Return the directories to create, and the errors by path of files for which they are unknown.

    These files are not written: revert would not remove the directories.
    """
    missing: list[str] = []
    unknown: dict[str, str] = {}
    for change in plan.changes:
        try:
            missing += files.missing_directories(change.path) if change.after is not None else ()
        except FileError as error:
            unknown[change.path] = str(error)
    return list(dict.fromkeys(missing)), unknown


def _remove_empty_directories(directories: tuple[str, ...], files: FileSystem) -> tuple[list[str], list[str]]:
    """Remove the agent's empty directories, the innermost first.

    Returns the remaining ones, and the errors.
    """
    remaining, errors = [], []
    for directory in sorted(directories, key=len, reverse=True):
        try:
            if files.remove_directory(directory):
                continue
        except FileError as error:
            errors.append(str(error))
        remaining.append(directory)
    return sorted(remaining, key=lambda directory: (len(directory), directory)), errors
