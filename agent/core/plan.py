"""The Plan: which file becomes what, as data.  `apply` carries it out, `plan` prints it, `revert` is one too."""

from __future__ import annotations

import hashlib
from typing import Callable, Dict, List, Mapping, Optional, Tuple

import attrs

from agent.core.files import dropin, environment, yum
from agent.core.intent import Intent
from agent.core.proxy_url import ProxyUrl
from agent.core.settings import Settings
from agent.errors import FileError

NODE_ENV = "/etc/eks-proxy-agent/node.env"
ENVIRONMENT = "/etc/environment"
YUM_CONF = "/etc/yum.conf"
SYSTEMD = "/etc/systemd/system/"
#: What revert adds to the name of a file of ours that somebody edited.
SAVED = ".eks-proxy-agent-save"


@attrs.frozen
class FileState:
    """A file as it is: `content` None when absent; `problem` when it is there and cannot be used."""

    content: Optional[bytes] = attrs.field(default=None, repr=False)
    mode: int = 0o644
    problem: str = ""


@attrs.frozen
class Record:
    """What a file was `before` us (None: absent), kept up with other people's edits, and what we last wrote (digests)."""

    kind: str
    before: Optional[bytes] = attrs.field(default=None, repr=False)
    mode: int = 0o644
    written: Tuple[str, ...] = ()


@attrs.frozen
class Baseline:
    """Machine-wide memory for revert: a Record by resolved path, and the folders that we made."""

    files: Mapping[str, Record] = attrs.field(factory=dict)
    folders: Tuple[str, ...] = ()


@attrs.frozen
class Target:
    """How one file has to be.  `edit` gives the content wanted, from the content there is."""

    path: str
    kind: str
    edit: Callable[[Optional[bytes]], bytes]
    mode: Optional[int] = None


@attrs.frozen
class Change:
    """One file to write (or, `after` None, to remove).  `mode` None keeps the file's own."""

    path: str
    before: Optional[bytes] = attrs.field(repr=False)
    after: Optional[bytes] = attrs.field(repr=False)
    mode: Optional[int] = None

    @property
    def needs_reload(self) -> bool:
        return self.path.startswith(SYSTEMD)


@attrs.frozen
class Plan:
    """Everything to do: `changes` in order, units to enable (and start, without waiting), systemd to be reloaded once.

    `problems` is what could not be planned, `notes` what has to be told.
    """

    changes: Tuple[Change, ...] = ()
    baseline: Baseline = attrs.field(factory=Baseline)
    enable: Tuple[str, ...] = ()
    reload: bool = False
    problems: Tuple[str, ...] = ()
    notes: Tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.changes or self.enable or self.reload)


def static_targets(settings: Settings) -> Tuple[Target, ...]:
    """The drop-ins: they depend on the settings alone, so they can be written before the network is up."""
    targets = [_whole(dropin.environment_path(unit), dropin.environment_text()) for unit in sorted(settings.node.units)]
    if settings.failure.policy == "closed":
        targets += [_whole(dropin.closed_path(unit), dropin.closed_text()) for unit in dropin.GATED_UNITS]
    return tuple(targets)


def targets(settings: Settings, intent: Optional[Intent]) -> Tuple[Target, ...]:
    """All files of a configured node; none when there is no Intent.  node.env comes first: docker's proxy hangs on it."""
    if intent is None:
        return ()
    found = [_whole(NODE_ENV, environment.render(intent.variables(secret=True)), mode=0o600)]
    variables = intent.variables(secret=False)
    if settings.node.environment:
        found.append(Target(ENVIRONMENT, "environment", lambda current: environment.edit(current, variables)))
    if settings.node.yum:
        found.append(_yum(intent.http_proxy))
    return tuple(found) + static_targets(settings)


def make_plan(
    wanted: Tuple[Target, ...],
    states: Mapping[str, FileState],
    baseline: Baseline,
    *,
    complete: bool = True,
    enable: Tuple[str, ...] = (),
    reload_pending: bool = False,
) -> Plan:
    """Compare what is wanted with what is there; `states` has every path of `wanted` and of `baseline`.

    `complete`: files that we wrote once and that are wanted no longer (a unit left node.units) are taken back.
    A file that cannot be planned is a problem of its own and does not hold up the others.
    """
    changes: List[Change] = []
    problems: List[str] = []
    notes: List[str] = []
    records = dict(baseline.files)
    for target in wanted:
        state = states[target.path]
        try:
            after = _content(target, state)
        except FileError as error:
            problems.append("%s: %s" % (target.path, error))
            continue
        if after == state.content and target.mode in (None, state.mode):
            continue
        records[target.path] = _record(target, state, after, records.get(target.path))
        changes.append(Change(target.path, state.content, after, target.mode))
    if complete:
        names = {target.path for target in wanted}
        unwanted = {path: record for path, record in baseline.files.items() if path not in names}
        for path, record in sorted(unwanted.items()):
            _take_back(path, record, states[path], changes, problems, notes)
            if not any(problem.startswith(path + ": ") for problem in problems):
                del records[path]
    return Plan(
        tuple(changes),
        attrs.evolve(baseline, files=records),
        enable,
        bool(reload_pending or enable or any(change.needs_reload for change in changes)),
        tuple(problems),
        tuple(notes),
    )


def make_revert(states: Mapping[str, FileState], baseline: Baseline, *, reload_pending: bool = False) -> Plan:
    """Undo everything: nothing is wanted."""
    return make_plan((), states, baseline, reload_pending=reload_pending)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _whole(path: str, content: bytes, mode: Optional[int] = None) -> Target:
    return Target(path, "whole", lambda current: content, mode)


def _yum(url: ProxyUrl) -> Target:
    return Target(YUM_CONF, "yum", lambda current: yum.edit(current, str(url)))


def _content(target: Target, state: FileState) -> bytes:
    if state.problem:
        raise FileError(state.problem)
    return target.edit(state.content)


_RESTORE: Dict[str, Callable[[bytes, Optional[bytes]], bytes]] = {
    "environment": environment.restore,
    "yum": yum.restore,
}


def _record(target: Target, state: FileState, after: bytes, known: Optional[Record]) -> Record:
    """The Record to keep before `after` is written.  Two digests, because a kill may come between record and write."""
    if known is None:
        return Record(target.kind, state.content, state.mode, (digest(after),))
    before = known.before
    if state.content is not None and not _is_ours(state.content, known) and target.kind in _RESTORE:
        before = _RESTORE[target.kind](state.content, known.before)
    return attrs.evolve(known, before=before, written=(digest(after),) + known.written[:1])


def _is_ours(content: bytes, record: Record) -> bool:
    return content == record.before or digest(content) in record.written


def _take_back(
    path: str, record: Record, state: FileState, changes: List[Change], problems: List[str], notes: List[str]
) -> None:
    """Add what makes `path` what it was before us."""
    if state.problem:
        problems.append("%s: %s" % (path, state.problem))
        return
    after = record.before
    if state.content is not None and not _is_ours(state.content, record):
        if record.kind in _RESTORE:
            try:
                after = _RESTORE[record.kind](state.content, record.before)
            except FileError as error:
                problems.append("%s: %s" % (path, error))
                return
            after = None if record.before is None and not after.strip() else after
            notes.append("%s was edited since; only our lines were taken back" % path)
        else:
            changes.append(Change(path + SAVED, None, state.content, state.mode))
            notes.append("%s was edited since; the edited file is kept as %s" % (path, path + SAVED))
    if after != state.content:
        changes.append(Change(path, state.content, after, record.mode if state.content is None else None))
