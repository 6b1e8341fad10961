"""From what is wanted of a node and what stands there to the Plan; looks at files, changes none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import attrs

from agent.core.intent.inputs import Resolved
from agent.core.plan import drift
from agent.core.plan.desired import desired_files
from agent.core.plan.files.managed_file import Effect, ManagedFile
from agent.core.plan.plan import Baseline, FileState, Plan, copy_names, make_plan, make_revert
from agent.core.settings.schema import Settings
from agent.core.systemd import to_enable
from agent.errors import FileError
from agent.node.host import Host


def node_files(host: Host, resolved: Resolved) -> tuple[ManagedFile, ...]:
    """Return the files that a node has with this Intent."""
    baked = host.state.baseline().baked
    return desired_files(resolved.settings, resolved.intent, resolved.inputs.ca, baked=baked)


def desired_digests(host: Host, files: tuple[ManagedFile, ...]) -> dict[str, str]:
    """What is wanted of each file, by resolved path."""
    found = {}
    for file in files:
        try:
            found[host.files.resolve(file.path)] = drift.desired_digest(file)
        except FileError:
            continue  # the plan has it as a problem
    return found


def plan_node(
    host: Host,
    wanted: Sequence[ManagedFile],
    settings: Settings | None = None,
    *,
    complete: bool = True,
    scope: Effect | None = None,
    leave: Collection[str] = (),
) -> Plan:
    """Look at the files and make the Plan for them, but for those to `leave`; links are followed first, so that they survive.

    With `settings` the units of node.enable are looked at too (a call of systemctl).
    """
    baseline = host.state.baseline()
    states: dict[str, FileState] = {}
    resolved: list[ManagedFile] = []
    for file in wanted:
        try:
            path = host.files.resolve(file.path)
        except FileError as error:
            path, states[file.path] = file.path, FileState(problem=str(error))
        if path not in (other.path for other in resolved):  # yum.conf is mostly a link to dnf.conf
            resolved.append(attrs.evolve(file, path=path))
    for path in [file.path for file in resolved] + list(baseline.files):
        if path not in states:
            states[path] = host.files.state(path)
    states.update(_copies(host, baseline, states))
    pending = host.state.reload_pending
    units = host.units.show(settings.node.enable) if settings else {}
    enable = to_enable(settings, units, interrupted=pending) if settings else ()
    return make_plan(
        tuple(resolved),
        states,
        baseline,
        complete=complete,
        scope=scope,
        leave=leave,
        enable=enable,
        start=enable,
        reload_pending=pending,
        trust_pending=host.state.trust_pending and host.files.live,  # elsewhere it waits for the first boot
    )


def plan_revert(host: Host) -> Plan:
    """Look at the files that we changed and make the Plan that undoes it all."""
    baseline = host.state.baseline()
    states = {path: host.files.state(path) for path in baseline.files}
    states.update(_copies(host, baseline, states))
    state = host.state
    trust = state.trust_pending and host.files.live
    return make_revert(states, baseline, reload_pending=state.reload_pending, trust_pending=trust)


def _copies(host: Host, baseline: Baseline, states: Mapping[str, FileState]) -> dict[str, FileState]:
    """What has the names that revert would give to copies of our files.

    Of a file that cannot be looked at nothing is taken back, and what stands in its way stands in
    the way of every name.
    """
    found: dict[str, FileState] = {}
    for path in baseline.files:
        for name in copy_names(path) if not states[path].problem else ():
            state = host.files.state(name)
            if state == FileState():
                break
            found[name] = state
    return found


def changed_paths(plan: Plan) -> list[tuple[str, str]]:
    """What a plan does to each file, for people: (verb, path)."""
    verbs = {(True, False): "created", (False, False): "changed", (False, True): "removed"}
    return [(verbs.get((change.before is None, change.after is None), "kept"), change.path) for change in plan.changes]
