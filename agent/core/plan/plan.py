"""The Plan: all changes of files and units, as data.

`apply` applies it, `plan` prints it, and `revert` is a Plan too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from agent.core.plan.baseline import Attributes, Baseline, FileState, Record
from agent.core.plan.files.managed_file import PRIVATE, Effect, ManagedFile
from agent.core.plan.saved_copies import copy_names
from agent.core.record import evolve, field, record
from agent.errors import FileError

#: The mode of a drop-in and of a certificate.
_PUBLIC = 0o644


@record
class Change:
    """One file to write, or to remove if `after` is None.

    `mode` and `attributes` None keep those of the file.  `replaces_owner`: neither root nor this
    user owns it, and a `mode` alone ends that.  `requires`: the path of another change; if that
    fails, this one is not made.
    """

    path: str
    before: bytes | None = field(repr=False)
    after: bytes | None = field(repr=False)
    mode: int | None = None
    effect: Effect = Effect.NONE
    attributes: Attributes | None = field(default=None, repr=False)
    requires: str = ""
    replaces_owner: bool = False

    @property
    def mode_text(self) -> str:
        """Return what happens to the mode and the owner."""
        return f"mode becomes {self.mode or 0:04o}" + (", owner root" if self.replaces_owner else "")


@record
class Plan:
    """All steps of one change of the machine, in this order.

    Files, trust store, units to enable and disable, one reload of systemd, units to start.
    `problems`: what could not be planned.  `notes`: messages for the operator.  `spare`: the paths
    of files that the units of node.units do not need.
    """

    changes: tuple[Change, ...] = ()
    baseline: Baseline = field(factory=Baseline)
    enable: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    reload: bool = False
    trust: bool = False
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    spare: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        return not (self.changes or self.enable or self.start or self.disable or self.reload or self.trust)

    def fails(self, path: str) -> bool:
        """Return True if a file could not be planned; its problem begins with its path."""
        return any(problem.startswith(path + ": ") for problem in self.problems)


def make_plan(
    desired: tuple[ManagedFile, ...],
    states: Mapping[str, FileState],
    baseline: Baseline,
    *,
    complete: bool = True,
    scope: Effect | None = None,
    skip: Collection[str] = (),
    enable: tuple[str, ...] = (),
    start: tuple[str, ...] = (),
    reload_pending: bool = False,
    trust_pending: bool = False,
) -> Plan:
    """Compare the desired state with the current one and return the changes.

    `states` has every path of `desired` and of `baseline`.  `complete`: also restore files that
    the agent wrote earlier and that are no longer desired, for example after a unit was removed
    from node.units; with a `scope`, only files with that effect.  `skip`: files that keep their
    content and their record.  A file that cannot be planned becomes a problem.  It holds up only
    the files that it replaces, which come after it in `desired`.
    """
    changes: list[Change] = []
    problems: list[str] = []
    notes: list[str] = []
    records = dict(baseline.files)
    paths = {file.path for file in desired}
    missing = {path for path in paths & set(skip) if states[path].content is None}
    for file in desired:
        if file.path in skip or file.replaced_by in missing:
            continue
        state, record = states[file.path], records.get(file.path) or _former(file, baseline, paths)
        try:
            after = _content(file, state, record)
        except FileError as error:
            problems.append(f"{file.path}: {error}")
            missing.add(file.path)
            continue
        mode = file.mode or _public_mode(state, record) or _repaired_mode(file, state)
        if after == state.content and (after is None or not _has_wrong_mode(file, state, mode)):
            if record is not None and file.path not in records:
                records[file.path] = _record(file, state, after, record)
            continue
        if record is None and state.content is not None:
            notes += filter(None, [file.note(state.content)])
        records[file.path] = _record(file, state, after, record)
        attributes = None if file.mode else _public_attributes(state, record)
        requires = file.replaced_by if file.replaced_by in paths else ""
        is_foreign = state.is_foreign and mode is not None and attributes is None
        changes.append(Change(file.path, state.content, after, mode, file.effect, attributes, requires, is_foreign))
    if complete:
        obsolete = {
            path: record
            for path, record in baseline.files.items()
            if path not in paths and scope in (None, record.file.effect)
        }
        for path, record in sorted(obsolete.items()):
            _add_restore(path, record, states, changes, problems, notes)
            if not any(problem.startswith(path + ": ") for problem in problems):
                del records[path]
    effects = {change.effect for change in changes}
    written = {change.path for change in changes if change.after is not None}
    absent = {path for path, state in states.items() if state == FileState()} - written
    absent.update(change.path for change in changes if change.after is None)
    # A file that was absent and is absent again has nothing to revert.
    kept = {path: record for path, record in records.items() if record.before is not None or path not in absent}
    spare = frozenset(file.path for file in desired if not file.needed_by_units)
    spare |= {path for path, record in baseline.files.items() if not record.file.needed_by_units}
    return Plan(
        tuple(changes),
        evolve(baseline, files=kept, enabled=tuple(dict.fromkeys(baseline.enabled + enable))),
        enable,
        start,
        (),
        bool(reload_pending or enable or Effect.DAEMON_RELOAD in effects),
        trust_pending or Effect.TRUST_STORE in effects,
        tuple(problems),
        tuple(notes),
        spare,
    )


def make_revert(
    states: Mapping[str, FileState], baseline: Baseline, *, reload_pending: bool = False, trust_pending: bool = False
) -> Plan:
    """Return the Plan that reverts all changes: no file is desired and no unit enabled.

    Running units are not stopped.
    """
    plan = make_plan((), states, baseline, reload_pending=reload_pending, trust_pending=trust_pending)
    remaining = Baseline(plan.baseline.files, baseline.directories)
    return evolve(plan, baseline=remaining, disable=baseline.enabled, reload=plan.reload or bool(baseline.enabled))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(file: ManagedFile, state: FileState, record: Record | None) -> bytes | None:
    """Return the new content of a file; None if a file that the agent created becomes empty."""
    if state.problem:
        raise FileError(state.problem)
    after = file.merge(state.content)
    return None if file.own_lines and not after and record and record.before is None else after


def _former(file: ManagedFile, baseline: Baseline, paths: Collection[str]) -> Record | None:
    """Return the Record of the file that was at this place before, such as the target of a link.

    An editor that renames puts a copy in the place of a link, with the agent's lines in it.
    """
    records = (record for path, record in baseline.files.items() if path not in paths and record.kind == file.kind)
    return next(records, None) if file.own_lines else None


def _record(file: ManagedFile, state: FileState, after: bytes | None, record: Record | None) -> Record:
    """Return the Record to save before `after` is written.

    It also lists the agent's current content, because a kill may come between record and write.
    """
    written = (digest(after),) if after is not None else ()
    if record is None:
        attributes = None if state.content is None else state.attributes
        return Record(file.kind, state.content, state.mode, written, attributes)
    if record.file.own_lines and state.content is not None and state.mode != PRIVATE:  # others may have changed these
        record = evolve(record, mode=state.mode, attributes=state.attributes)
    if state.content in (None, record.before):
        return evolve(record, written=written)
    if _is_ours(state.content, record):
        current = (digest(state.content),)
        return evolve(record, written=written + current)
    return evolve(record, before=_restored(state.content, record), written=written)


def _restored(content: bytes, record: Record) -> bytes | None:
    """Return the content of an edited file without the agent's part.

    None if nothing is left and there was no file before.
    """
    text = record.file.restore(content, record.before)
    return None if record.before is None and not (text or b"").strip() else text


def _public_mode(state: FileState, record: Record | None) -> int | None:
    """Return the original mode of a file that the agent made private for its credentials.

    For a file that no longer holds credentials; None if its mode needs no change.
    """
    return record.mode if record and record.file.may_be_private and state.mode == PRIVATE != record.mode else None


def _repaired_mode(file: ManagedFile, state: FileState) -> int | None:
    """Return the mode of a file of the agent that others may change; None if they may not.

    A user who may write a drop-in is root once the unit starts.  A stricter mode is not drift, and
    of a file with lines of others the owner of those decides.
    """
    is_loose = bool(state.mode & ~0o755) or state.is_foreign
    return _PUBLIC if state.content is not None and not file.own_lines and is_loose else None


def _has_wrong_mode(file: ManagedFile, state: FileState, mode: int | None) -> bool:
    return mode not in (None, state.mode) or (state.is_foreign and (mode == PRIVATE or not file.own_lines))


def _public_attributes(state: FileState, record: Record | None) -> Attributes | None:
    """Return the original owner, group, ACL and the like of such a file, None to keep its own."""
    return record.attributes if record and record.file.may_be_private and state.mode == PRIVATE else None


def _is_ours(content: bytes, record: Record) -> bool:
    return content == record.before or digest(content) in record.written


def _is_free(content: bytes, state: FileState) -> bool:
    """Return True if a copy may have this name: no file has it, or the same copy."""
    return state.content == content or state == FileState()


def _add_restore(
    path: str,
    record: Record,
    states: Mapping[str, FileState],
    changes: list[Change],
    problems: list[str],
    notes: list[str],
) -> None:
    """Append the changes that restore `path`, or a problem, and notes.

    `states` also has the existing copies (`copy_names`).
    """
    state = states[path]
    if state.problem:
        problems.append(f"{path}: {state.problem}")
        return
    after, requires = record.before, ""
    if state.content is not None and not _is_ours(state.content, record):
        if record.file.own_lines:
            try:
                after = _restored(state.content, record)
            except FileError as error:
                problems.append(f"{path}: {error}")
                return
            notes.append(f"{path}: edited since the agent wrote it; only the agent's lines are reverted")
        elif not record.written:
            notes.append(f"{path}: created again since the agent removed it; the new file stays")
            return
        else:
            copy = next(name for name in copy_names(path) if _is_free(state.content, states.get(name, FileState())))
            requires = copy
            if copy not in states:
                changes.append(Change(copy, None, state.content, state.mode, attributes=state.attributes))
            notes.append(f"{path}: edited since the agent wrote it; the edited file is kept as {copy}")
    mode: int | None = record.mode
    attributes = record.attributes
    if state.content is not None and record.file.own_lines:
        mode, attributes = _public_mode(state, record), _public_attributes(state, record)
    if after is None:
        mode, attributes = None, None
    if after != state.content or (after is not None and mode not in (None, state.mode)):
        changes.append(Change(path, state.content, after, mode, record.file.effect, attributes, requires))
