"""The Plan: which file becomes what, as data.  `apply` carries it out, `plan` prints it, `revert` is one too."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Iterator, Mapping

import attrs

from agent.core.plan.files.kinds import KINDS
from agent.core.plan.files.managed_file import PRIVATE, Effect, ManagedFile
from agent.errors import FileError

#: What revert adds to the name of a file of ours that somebody edited.
SAVED = ".eks-proxy-agent-save"


@attrs.frozen
class FileState:
    """A file as it is: `content` None when absent; `problem` when it is there and cannot be used."""

    content: bytes | None = attrs.field(default=None, repr=False)
    mode: int = 0o644
    problem: str = ""


@attrs.frozen
class Record:
    """What a file was `before` us (None: absent), kept up with other people's edits, and what we last wrote (digests)."""

    kind: str
    before: bytes | None = attrs.field(default=None, repr=False)
    mode: int = 0o644
    written: tuple[str, ...] = ()

    @property
    def file(self) -> type[ManagedFile]:
        """The class that knows how to take it back."""
        return KINDS[self.kind]


@attrs.frozen
class Baseline:
    """Machine-wide memory for revert: a Record by resolved path, the directories that we made, the units that we enabled.

    `baked`: the drop-ins belong to the image, and stay on an instance that has no proxy.
    """

    files: Mapping[str, Record] = attrs.field(factory=dict)
    directories: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()
    baked: bool = False


@attrs.frozen
class Change:
    """One file to write (or, `after` None, to remove).  `mode` None keeps the file's own."""

    path: str
    before: bytes | None = attrs.field(repr=False)
    after: bytes | None = attrs.field(repr=False)
    mode: int | None = None
    effect: Effect = Effect.NONE


@attrs.frozen
class Plan:
    """Everything to do, in this order: changes, trust store, units to enable, one reload of systemd, units to start.

    `problems` is what could not be planned, `notes` what has to be told.
    """

    changes: tuple[Change, ...] = ()
    baseline: Baseline = attrs.field(factory=Baseline)
    enable: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    reload: bool = False
    trust: bool = False
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.changes or self.enable or self.start or self.disable or self.reload or self.trust)


def forget_instance(baseline: Baseline) -> Baseline:
    """What a cleaned image remembers: drop-ins and CA; to what its other files held before, nobody wants to go back."""
    kept = {
        path: record
        for path, record in baseline.files.items()
        if record.before is None and record.file.effect is not Effect.NONE
    }
    return attrs.evolve(baseline, files=kept)


def make_plan(
    wanted: tuple[ManagedFile, ...],
    states: Mapping[str, FileState],
    baseline: Baseline,
    *,
    complete: bool = True,
    scope: Effect | None = None,
    leave: Collection[str] = (),
    enable: tuple[str, ...] = (),
    start: tuple[str, ...] = (),
    reload_pending: bool = False,
    trust_pending: bool = False,
) -> Plan:
    """Compare what is wanted with what is there; `states` has every path of `wanted` and of `baseline`.

    `complete`: files that we wrote once and that are wanted no longer (a unit left node.units) are
    taken back, those with the effect `scope` alone, if one is given.  `leave`: files that stay as
    they are, and remembered as they were. A file that cannot be planned is a problem of its own and
    does not hold up the others.
    """
    changes: list[Change] = []
    problems: list[str] = []
    notes: list[str] = []
    records = dict(baseline.files)
    for file in wanted:
        if file.path in leave:
            continue
        state, record = states[file.path], records.get(file.path)
        try:
            after = _content(file, state, record)
        except FileError as error:
            problems.append(f"{file.path}: {error}")
            continue
        mode = file.mode or _open_again(state, record)
        if after == state.content and (after is None or mode in (None, state.mode)):
            continue
        if record is None and state.content is not None:
            notes += filter(None, [file.note(state.content)])
        records[file.path] = _record(file, state, after, record)
        changes.append(Change(file.path, state.content, after, mode, file.effect))
    if complete:
        names = {file.path for file in wanted}
        unwanted = {
            path: record
            for path, record in baseline.files.items()
            if path not in names and scope in (None, record.file.effect)
        }
        for path, record in sorted(unwanted.items()):
            _take_back(path, record, states, changes, problems, notes)
            if not any(problem.startswith(path + ": ") for problem in problems):
                del records[path]
    effects = {change.effect for change in changes}
    return Plan(
        tuple(changes),
        attrs.evolve(baseline, files=records, enabled=tuple(dict.fromkeys(baseline.enabled + enable))),
        enable,
        start,
        (),
        bool(reload_pending or enable or Effect.DAEMON_RELOAD in effects),
        trust_pending or Effect.TRUST_STORE in effects,
        tuple(problems),
        tuple(notes),
    )


def make_revert(
    states: Mapping[str, FileState], baseline: Baseline, *, reload_pending: bool = False, trust_pending: bool = False
) -> Plan:
    """Undo everything: no file is wanted, no unit enabled; what runs is not stopped."""
    plan = make_plan((), states, baseline, reload_pending=reload_pending, trust_pending=trust_pending)
    nothing = Baseline(plan.baseline.files, baseline.directories)
    return attrs.evolve(plan, baseline=nothing, disable=baseline.enabled, reload=plan.reload or bool(baseline.enabled))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(file: ManagedFile, state: FileState, known: Record | None) -> bytes | None:
    """What becomes of a file: none when nothing is left in one that we made."""
    if state.problem:
        raise FileError(state.problem)
    after = file.merge(state.content)
    return None if file.own_lines and not after and known and known.before is None else after


def _record(file: ManagedFile, state: FileState, after: bytes | None, known: Record | None) -> Record:
    """The Record to keep before `after` is written: a kill may come in between, so what is there now stays known too."""
    written = (digest(after),) if after is not None else ()
    if known is None:
        return Record(file.kind, state.content, state.mode, written)
    if state.content is None or _is_ours(state.content, known):
        now = (digest(state.content),) if state.content is not None else ()
        return attrs.evolve(known, written=written + now)
    return attrs.evolve(known, before=_restored(state.content, known), written=written)


def _restored(content: bytes, record: Record) -> bytes | None:
    """What others made of a file, without what is ours; None when that is nothing and there was no file."""
    text = record.file.restore(content, record.before)
    return None if record.before is None and not (text or b"").strip() else text


def _open_again(state: FileState, record: Record | None) -> int | None:
    """The old mode of a file that we made private for the credentials in it, and which holds none any more."""
    return record.mode if record and record.file.may_be_private and state.mode == PRIVATE != record.mode else None


def _is_ours(content: bytes, record: Record) -> bool:
    return content == record.before or digest(content) in record.written


def copy_names(path: str) -> Iterator[str]:
    """The names under which revert keeps an edited file, in turn: what an earlier one kept is not overwritten."""
    yield path + SAVED
    for number in itertools.count(2):
        yield f"{path}{SAVED}.{number}"


def _fits(content: bytes, there: FileState) -> bool:
    """Whether a copy may have a name: nothing has it yet, or the same copy."""
    return there.content == content or there == FileState()


def _take_back(
    path: str,
    record: Record,
    states: Mapping[str, FileState],
    changes: list[Change],
    problems: list[str],
    notes: list[str],
) -> None:
    """Add what makes `path` what it was before us; `states` has the copies that are there too (`copy_names`)."""
    state = states[path]
    if state.problem:
        problems.append(f"{path}: {state.problem}")
        return
    after = record.before
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
            kept = next(name for name in copy_names(path) if _fits(state.content, states.get(name, FileState())))
            if kept not in states:
                changes.append(Change(kept, None, state.content, state.mode))
            notes.append(f"{path}: edited since the agent wrote it; the edited file is kept as {kept}")
    mode = _open_again(state, record) if state.content is not None and record.file.own_lines else record.mode
    if after != state.content or (after is not None and mode not in (None, state.mode)):
        changes.append(Change(path, state.content, after, mode if after is not None else None, record.file.effect))
