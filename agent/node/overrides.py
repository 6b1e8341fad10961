"""Drop-ins of others beside those of the agent, for `plan`, `apply` and the journal."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Container, Mapping

from agent.core.intent.inputs import Resolved
from agent.core.plan import overrides
from agent.core.plan.files.environment import assignments
from agent.core.plan.files.systemd_dropin import ClosedGate, EnvironmentDropin, FormerDropin
from agent.core.plan.plan import Plan
from agent.edges.files import FileSystem
from agent.errors import FileError

_OURS = (EnvironmentDropin.name, FormerDropin.name, ClosedGate.name)


def override_warnings(files: FileSystem, resolved: Resolved, plan: Plan) -> tuple[str, ...]:
    """Return a warning for each drop-in of others that overrides a variable of the agent.

    The files count as they are after `plan`.
    """
    if resolved.intent is None:
        return ()
    variables = resolved.intent.variables(secret=True)
    planned = {change.path: change.after for change in plan.changes}
    directories = drop_in_directories(files)
    return tuple(
        text
        for unit in resolved.settings.node.units
        for text in overrides.overriding(
            unit,
            drop_ins_of_others(files, unit, planned, directories),
            lambda path: variables_in(files, path, planned),
            variables,
        )
    )


def overridden_notes(files: FileSystem, plan: Plan) -> tuple[str, ...]:
    """Return a note for each drop-in of others that loses when `plan` creates a drop-in."""
    planned = {change.path: change.after for change in plan.changes}
    notes: list[str] = []
    directories = drop_in_directories(files) if plan.changes else frozenset[str]()
    for change in plan.changes:
        unit = EnvironmentDropin.unit_of(change.path)
        if unit and change.before is None and change.path == EnvironmentDropin.path_of(unit):
            notes += overrides.overridden(
                unit,
                drop_ins_of_others(files, unit, planned, directories),
                lambda path: variables_in(files, path),
                is_rename=planned.get(FormerDropin.path_of(unit), b"") is None,
            )
    return tuple(notes)


def variables_in(files: FileSystem, path: str, planned: Mapping[str, bytes | None] | None = None) -> Mapping[str, str]:
    """Return the variables that a file of EnvironmentFile= sets; none if it cannot be read.

    A path with * or ? stands for several files, which systemd reads in the order of their names.
    """
    directory, _, name = path.rpartition("/")
    paths = [path]
    variables: dict[str, str] = {}
    try:
        if any(char in name for char in "*?["):
            paths = [f"{directory}/{entry}" for entry in fnmatch.filter(files.names(directory), name)]
        for path in paths:
            real = files.resolve(path)
            content = planned[real] if planned and real in planned else files.state(real).content
            variables.update(assignments(content or b""))
    except FileError:
        pass
    return variables


def drop_in_directories(files: FileSystem) -> frozenset[str]:
    """Return the directories of drop-ins that exist, of all units.

    A unit may have ten, so most do not exist, and listing four directories costs less.
    """
    found = set[str]()
    for root in overrides.ROOTS:
        with contextlib.suppress(FileError):
            found.update(f"{root}/{name}" for name in files.names(root) if name.endswith(".d"))
    return frozenset(found)


def drop_ins_of_others(
    files: FileSystem, unit: str, planned: Mapping[str, bytes | None], existing: Container[str]
) -> list[tuple[str, bytes]]:
    """Return the drop-ins of others, in the order in which systemd reads them.

    Of files with the same name the one in the first directory counts.  `existing`: see
    drop_in_directories.
    """
    paths: dict[str, str] = {}
    for directory in (path for path in overrides.directories(unit) if path in existing):
        try:
            names = files.names(directory)
        except FileError:
            continue
        for name in names:
            if name.endswith(".conf") and name not in _OURS:
                paths.setdefault(name, f"{directory}/{name}")
    drop_ins = []
    for name in sorted(paths):
        content = planned[paths[name]] if paths[name] in planned else content_of(files, paths[name])
        if content is not None:
            drop_ins.append((paths[name], content))
    return drop_ins


def content_of(files: FileSystem, path: str) -> bytes | None:
    """Return the content of a file; None if it does not exist or cannot be read."""
    try:
        return files.state(files.resolve(path)).content
    except FileError:
        return None
