"""Carries out a Plan: the only place that changes the machine's files and reloads systemd.

Each step leaves a state from which the next run converges: the baseline is on disk before the first file changes,
each file is wholly old or wholly new, and the need for a reload is noted before the first drop-in is written.
A file that cannot be written does not hold up the others.
"""

from __future__ import annotations

from typing import Dict, List, Tuple

import attrs

from agent.core.plan import SAVED, Change, Plan
from agent.edges import trust
from agent.edges.disk import Disk
from agent.edges.state import BASELINE, State
from agent.edges.units import Systemd
from agent.errors import FileError


@attrs.frozen
class Machine:
    """What a Plan is carried out on."""

    disk: Disk
    state: State
    units: Systemd


def apply(plan: Plan, machine: Machine) -> None:
    """Write, remove, make the trust store anew, enable, reload, start.  Raises FileError or CommandError; what was done by then is whole."""
    disk, state = machine.disk, machine.state
    before = state.baseline()
    for path in (BASELINE, *before.files):  # of a run that was killed: it had noted what it was about to write
        disk.sweep(path)
        disk.sweep(path + SAVED)
    folders_left = before.folders and not before.files  # others used them at the last revert, and may not any more
    if plan.empty and plan.baseline == before and not folders_left:
        return
    folders = _missing_folders(plan, disk)
    growing = attrs.evolve(
        plan.baseline,
        files={**before.files, **plan.baseline.files},
        folders=tuple(dict.fromkeys(before.folders + tuple(folders))),
        enabled=tuple(dict.fromkeys(before.enabled + plan.baseline.enabled)),
    )
    state.save_baseline(growing)
    if plan.reload and disk.live:
        state.set_reload_pending(True)
    if plan.trust:
        state.set_trust_pending(True)
    failed = _carry_out(plan.changes, disk)
    kept = _drop_empty_folders(growing.folders, disk)
    _tell_the_system(plan, machine)
    state.save_baseline(attrs.evolve(growing if failed else plan.baseline, folders=tuple(kept)))
    if failed:
        raise FileError("\n".join(failed.values()))


def _tell_the_system(plan: Plan, machine: Machine) -> None:
    """What follows from changed files; in a tree other than `/` nothing runs, and what is pending stays so."""
    disk, state, units = machine.disk, machine.state, machine.units
    if plan.trust and disk.live:
        trust.update(disk)
        state.set_trust_pending(False)
    if plan.enable:
        units.enable(plan.enable)
    if plan.disable:
        units.disable(plan.disable)
    if plan.reload and disk.live:
        units.reload()
    if plan.start:
        units.start(plan.start)
    if plan.reload and disk.live:
        state.set_reload_pending(False)


def _carry_out(changes: Tuple[Change, ...], disk: Disk) -> Dict[str, str]:
    """Write and remove; answers what failed, by path.  A file of which no copy could be saved stays."""
    failed: Dict[str, str] = {}
    for change in changes:
        if change.path + SAVED in failed:
            continue
        try:
            if change.after is None:
                disk.remove(change.path)
                continue
            for folder in disk.missing_folders(change.path):
                disk.make_folder(folder)
            disk.write(change.path, change.after, change.mode)
        except FileError as error:
            failed[change.path] = str(error)
    return failed


def _missing_folders(plan: Plan, disk: Disk) -> List[str]:
    found: List[str] = []
    for change in plan.changes:
        if change.after is not None:
            found += disk.missing_folders(change.path)
    return list(dict.fromkeys(found))


def _drop_empty_folders(folders: Tuple[str, ...], disk: Disk) -> List[str]:
    """Remove the folders of ours that hold nothing any more, the innermost first; the others are kept in mind."""
    kept = [folder for folder in sorted(folders, key=len, reverse=True) if not disk.remove_folder(folder)]
    return sorted(kept, key=lambda folder: (len(folder), folder))
