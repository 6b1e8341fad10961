"""The Plan: which file becomes what, as data.  `apply` carries it out, `plan` prints it, `revert` is one too."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Iterator, Mapping
from typing import Callable

import attrs

from agent.core.plan.files import environment, yum_conf
from agent.errors import FileError

SYSTEMD = "/etc/systemd/system/"
#: The mode of files that hold credentials.
PRIVATE = 0o600
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


@attrs.frozen
class Baseline:
    """Machine-wide memory for revert: a Record by resolved path, the folders that we made, the units that we enabled.

    `baked`: the drop-ins belong to the image, and stay on an instance that has no proxy.
    """

    files: Mapping[str, Record] = attrs.field(factory=dict)
    folders: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()
    baked: bool = False


@attrs.frozen
class CaCertificates:
    """The owner's CA certificates as a file of the trust store; `summaries` is a line about each, for people."""

    path: str
    pem: bytes = attrs.field(repr=False)
    summaries: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@attrs.frozen
class Target:
    """How one file has to be.  `edit` gives the content wanted, None for no file, from the content there is.

    `note` says, from the content there was before us, what else a person should know.
    """

    path: str
    kind: str
    edit: Callable[[bytes | None], bytes | None]
    mode: int | None = None
    note: Callable[[bytes], str] = attrs.field(default=lambda before: "")


@attrs.frozen
class Change:
    """One file to write (or, `after` None, to remove).  `mode` None keeps the file's own."""

    path: str
    before: bytes | None = attrs.field(repr=False)
    after: bytes | None = attrs.field(repr=False)
    mode: int | None = None


def _needs_reload(path: str) -> bool:
    return path.startswith(SYSTEMD)


def needs_trust(path: str) -> bool:
    """Whether the distribution's trust store has to be made anew when this file changes."""
    return path.rpartition("/")[2] in ("eks-proxy-agent.pem", "eks-proxy-agent.crt")


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
    baked = {path: record for path, record in baseline.files.items() if record.before is None}
    kept = {path: baked[path] for path in baked if _needs_reload(path) or needs_trust(path)}
    return attrs.evolve(baseline, files=kept)


def make_plan(
    wanted: tuple[Target, ...],
    states: Mapping[str, FileState],
    baseline: Baseline,
    *,
    complete: bool = True,
    scope: str = "",
    leave: Collection[str] = (),
    enable: tuple[str, ...] = (),
    start: tuple[str, ...] = (),
    reload_pending: bool = False,
    trust_pending: bool = False,
) -> Plan:
    """Compare what is wanted with what is there; `states` has every path of `wanted` and of `baseline`.

    `complete`: files that we wrote once and that are wanted no longer (a unit left node.units) are taken back,
    those whose path begins with `scope`.  `leave`: files that stay as they are, and remembered as they were.
    A file that cannot be planned is a problem of its own and does not hold up the others.
    """
    changes: list[Change] = []
    problems: list[str] = []
    notes: list[str] = []
    records = dict(baseline.files)
    for target in wanted:
        if target.path in leave:
            continue
        state = states[target.path]
        try:
            after = _content(target, state)
        except FileError as error:
            problems.append(f"{target.path}: {error}")
            continue
        mode = target.mode or _open_again(state, records.get(target.path))
        if after == state.content and (after is None or mode in (None, state.mode)):
            continue
        if target.path not in records and state.content is not None:
            notes += filter(None, [target.note(state.content)])
        records[target.path] = _record(target, state, after, records.get(target.path))
        changes.append(Change(target.path, state.content, after, mode))
    if complete:
        names = {target.path for target in wanted}
        unwanted = {
            path: record for path, record in baseline.files.items() if path not in names and path.startswith(scope)
        }
        for path, record in sorted(unwanted.items()):
            _take_back(path, record, states, changes, problems, notes)
            if not any(problem.startswith(path + ": ") for problem in problems):
                del records[path]
    return Plan(
        tuple(changes),
        attrs.evolve(baseline, files=records, enabled=tuple(dict.fromkeys(baseline.enabled + enable))),
        enable,
        start,
        (),
        bool(reload_pending or enable or any(_needs_reload(change.path) for change in changes)),
        trust_pending or any(needs_trust(change.path) for change in changes),
        tuple(problems),
        tuple(notes),
    )


def make_revert(
    states: Mapping[str, FileState], baseline: Baseline, *, reload_pending: bool = False, trust_pending: bool = False
) -> Plan:
    """Undo everything: no file is wanted, no unit enabled; what runs is not stopped."""
    plan = make_plan((), states, baseline, reload_pending=reload_pending, trust_pending=trust_pending)
    nothing = Baseline(plan.baseline.files, baseline.folders)
    return attrs.evolve(plan, baseline=nothing, disable=baseline.enabled, reload=plan.reload or bool(baseline.enabled))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(target: Target, state: FileState) -> bytes | None:
    if state.problem:
        raise FileError(state.problem)
    return target.edit(state.content)


_RESTORE: dict[str, Callable[[bytes, bytes | None], bytes]] = {
    "environment": environment.restore,
    "yum": yum_conf.restore,
}
#: What a Target or a Record may be.
KINDS = ("whole", *_RESTORE)


def _record(target: Target, state: FileState, after: bytes | None, known: Record | None) -> Record:
    """The Record to keep before `after` is written: a kill may come in between, so what is there now stays known too."""
    written = (digest(after),) if after is not None else ()
    if known is None:
        return Record(target.kind, state.content, state.mode, written)
    if state.content is None or _is_ours(state.content, known):
        now = (digest(state.content),) if state.content is not None else ()
        return attrs.evolve(known, written=written + now)
    before = _restored(state.content, known) if target.kind in _RESTORE else known.before
    return attrs.evolve(known, before=before, written=written)


def _restored(content: bytes, record: Record) -> bytes | None:
    """What others made of a file, without our lines; None when that is nothing and there was no file."""
    text = _RESTORE[record.kind](content, record.before)
    return None if record.before is None and not text.strip() else text


def _open_again(state: FileState, record: Record | None) -> int | None:
    """The old mode of a file that we made private for the credentials in it, and which holds none any more."""
    return record.mode if record and record.kind == "yum" and state.mode == PRIVATE != record.mode else None


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
        if record.kind in _RESTORE:
            try:
                after = _restored(state.content, record)
            except FileError as error:
                problems.append(f"{path}: {error}")
                return
            notes.append(f"{path} was edited since; only our lines were taken back")
        elif not record.written:
            notes.append(f"{path} was made since we removed one of that name; it stays")
            return
        else:
            kept = next(name for name in copy_names(path) if _fits(state.content, states.get(name, FileState())))
            if kept not in states:
                changes.append(Change(kept, None, state.content, state.mode))
            notes.append(f"{path} was edited since; the edited file is kept as {kept}")
    mode = record.mode if state.content is None or record.kind == "whole" else _open_again(state, record)
    if after != state.content or (after is not None and mode not in (None, state.mode)):
        changes.append(Change(path, state.content, after, mode if after is not None else None))
