"""The Plan of a node from its desired and its current files; reads files, changes none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from agent.core.intent.inputs import Resolved
from agent.core.plan import drift
from agent.core.plan.baseline import Baseline, FileState
from agent.core.plan.desired import desired_files
from agent.core.plan.files.managed_file import Effect, ManagedFile
from agent.core.plan.plan import Change, Plan, digest, make_plan, make_revert
from agent.core.plan.saved_copies import copy_names
from agent.core.record import evolve
from agent.core.settings.schema import Settings
from agent.core.systemd import considered, to_enable
from agent.errors import FileError
from agent.node.host import Host
from agent.node.overrides import overridden_notes
from agent.node.waiting import order_notes, with_order


def node_files(host: Host, resolved: Resolved) -> tuple[ManagedFile, ...]:
    """Return the desired files of the node with this Intent."""
    baked = host.state.baseline().baked
    inputs = resolved.inputs
    desired = desired_files(
        inputs.settings, resolved.intent, inputs.ca, baked=baked, needs_yum_conf=inputs.needs_yum_conf
    )
    return with_order(host, desired)


def desired_digests(host: Host, files: tuple[ManagedFile, ...]) -> dict[str, str]:
    """Return the digest of each file's desired state, by resolved path."""
    digests = {}
    for file in files:
        try:
            digests[host.files.resolve(file.path)] = drift.desired_digest(file)
        except FileError:
            continue  # it is one of the problems of the plan
    return digests


def plan_node(
    host: Host,
    desired: Sequence[ManagedFile],
    settings: Settings | None = None,
    *,
    complete: bool = True,
    scope: Effect | None = None,
    skip: Collection[str] = (),
) -> Plan:
    """Read the files and return the Plan for them, except for the paths to `skip`.

    Links are resolved first, so that they stay links.  With `settings` the units of node.enable are
    queried too, with one call of systemctl.
    """
    baseline = _located(host, host.state.baseline())
    states: dict[str, FileState] = {}
    resolved: list[ManagedFile] = []
    links: dict[str, str] = {}
    for file in desired:
        try:
            path = host.files.resolve(file.path)
        except FileError as error:
            path, states[file.path] = file.path, FileState(problem=str(error))
        else:
            states[path] = host.files.state(path)
            if path != file.path and states[path].problem:  # a target such as /dev/null says little
                states[file.path] = FileState(problem=f"link to {path}: {states[path].problem}")
                path = file.path
        links[file.path] = path
        if path not in (other.path for other in resolved):  # yum.conf is usually a link to dnf.conf
            replaced_by = links.get(file.replaced_by, file.replaced_by)
            resolved.append(evolve(file, path=path, replaced_by=replaced_by))
    for path in [file.path for file in resolved] + list(baseline.files):
        if path not in states:
            states[path] = host.files.state(path)
    states = _with_copies(host, baseline, states)
    # What reloads in the background counts as done; `finish_commands` says what failed.
    pending = host.state.reload_pending and host.state.reload_mark != host.units.background
    units = host.units.show(considered(settings)) if settings else {}
    enable = to_enable(settings, units, interrupted=pending) if settings else ()
    plan = make_plan(
        tuple(resolved),
        states,
        baseline,
        complete=complete,
        scope=scope,
        skip=skip,
        enable=enable,
        start=enable,
        reload_pending=pending,
        trust_pending=host.state.trust_pending and host.files.live,  # an image does this at its first boot
    )
    return evolve(plan, notes=plan.notes + overridden_notes(host.files, plan) + order_notes(host, plan))


def plan_revert(host: Host) -> Plan:
    """Read the files that the agent changed and return the Plan that reverts them."""
    baseline = _located(host, host.state.baseline())
    states = {path: host.files.state(path) for path in baseline.files}
    states = _with_copies(host, baseline, states)
    state = host.state
    trust = state.trust_pending and host.files.live
    return make_revert(states, baseline, reload_pending=state.reload_pending, trust_pending=trust)


def _located(host: Host, baseline: Baseline) -> Baseline:
    """Return the baseline with the records of moved files at their present paths.

    A file, or its directory, was moved and linked: the link leads to the agent's file, and stays.
    A link that leads to another file is of others, and the agent's file is gone.
    """
    located = dict(baseline.files)
    for path, record in baseline.files.items():
        try:
            target = host.files.resolve(path)
        except FileError:
            continue  # it is one of the problems of the plan
        state = host.files.state(target) if target != path else FileState(problem="not moved")
        if state.problem:
            continue
        del located[path]
        if record.file.own_lines or (state.content is not None and digest(state.content) in record.written):
            located.setdefault(target, record)
    return evolve(baseline, files=located)


def _with_copies(host: Host, baseline: Baseline, states: Mapping[str, FileState]) -> dict[str, FileState]:
    """Return the states, with existing files that have the names of copies that revert would make.

    A file that cannot be read is not restored and needs no copy.  If it is unknown which names are
    free, the file cannot be restored either; a search among them might not end.
    """
    known = dict(states)
    for path in baseline.files:
        try:
            for name in copy_names(path) if not states[path].problem else ():
                if host.files.status(name) is None:
                    break
                known[name] = host.files.state(name)
        except FileError as error:
            known[path] = FileState(problem=f"no name for its copy: {error}")
    return known


def changed_paths(plan: Plan) -> list[tuple[str, str]]:
    """Return what a plan does to each file, for output: (verb, path)."""
    return [(_verb(change), change.path) for change in plan.changes]


def _verb(change: Change) -> str:
    if change.before is None:
        return "created"
    return "removed" if change.after is None else "changed"
