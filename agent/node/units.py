"""Starts and restarts of units after a reconcile: released units and stale units."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Callable, NamedTuple

from agent.core.intent.intent import Intent
from agent.core.plan.files.systemd_dropin import GATED_UNITS, ClosedGate, EnvironmentDropin
from agent.core.plan.plan import Plan
from agent.core.settings.schema import Settings
from agent.core.settings.unit_table import is_boot_job, variables_of
from agent.core.systemd import RUNTIMES, OutdatedUnits, UnitState, differences, restart_order, to_release
from agent.edges import command
from agent.edges.systemd import environ, own_unit
from agent.errors import AgentError, CommandError
from agent.node import status_file
from agent.node.host import Host

#: Seconds for the restart of one unit; docker and kubelet take up to 90 to stop.
BOUND = 240.0
#: The prefix in the record of a refused restart.  It is tried again, because live-restore may be
#: switched on.
_REFUSED = "refused "


class Outcome(Enum):
    """Outcome for a stale unit.

    REFUSED: a rule forbids the restart, which is tried again when that changes.
    """

    RESTARTED = "restarted"
    REFUSED = "refused"
    FAILED = "failed"


class Restart(NamedTuple):
    """One stale unit, and the reason if it was not restarted.

    `is_repeated`: it was refused for the same change before.
    """

    unit: str
    outcome: Outcome
    reason: str = ""
    is_repeated: bool = False


def restart_stale(
    host: Host,
    instance_id: str,
    intent: Intent,
    list_stale: Callable[[], Sequence[str]],
    report: Callable[[Restart], None],
    busy: Callable[[float], None] = lambda seconds: None,
) -> tuple[Restart, ...]:
    """Run `systemctl try-restart` for each stale unit; report and return what became of each.

    `busy` is called before each restart with the seconds that it may take.  A unit waits until the
    one before it is active again.  kubelet comes last: it is never restarted together with a
    runtime, and not at all after a runtime that failed.  A unit is restarted once for a change,
    by the daemon or by `apply`, and not if systemd restarted it together with another, as it does
    with a kubelet that requires docker.  Raises AgentError.
    """
    change = _change(host, intent)
    recorded = host.state.cached(instance_id, "restarts") or {}
    results: list[Restart] = []
    for name in restart_order(name for name in list_stale() if recorded.get(name) != change):
        before = {result.unit: result.outcome for result in results}
        if name == "kubelet.service" and any(before.get(runtime) is Outcome.FAILED for runtime in RUNTIMES):
            result = Restart(name, Outcome.FAILED, "its runtime could not be restarted")
        elif Outcome.RESTARTED in before.values() and name not in list_stale():
            continue
        else:
            refusal = _refusal(host, name)
            mark = _REFUSED + change if refusal else change
            last = _record(host, instance_id, name, mark, unless=change)
            if last == change:
                continue  # another run has just restarted it
            if refusal:
                result = Restart(name, Outcome.REFUSED, refusal, is_repeated=last == mark)
            else:
                busy(BOUND)
                result = _restart(host, name)
        report(result)
        results.append(result)
        _count(host, result)
    return tuple(results)


def _record(host: Host, instance_id: str, name: str, mark: str, *, unless: str) -> str:
    """Record a restart, or its refusal, and return the record before, which stays if `unless`.

    It comes before the restart, so that a crash does not make it a loop.
    """
    with host.locked() as state:
        records: dict[str, str] = state.cached(instance_id, "restarts") or {}
        before = records.get(name, "")
        if before not in (mark, unless):
            state.save_of_instance(instance_id, "restarts", {**records, name: mark})
    return before


def _restart(host: Host, name: str) -> Restart:
    try:
        host.units.try_restart(name, timeout=BOUND)
        active = host.units.show([name])[name].active
    except CommandError as error:
        active = str(error)
    return Restart(name, Outcome.RESTARTED) if active == "active" else Restart(name, Outcome.FAILED, active)


def _count(host: Host, result: Restart) -> None:
    """Count a result for the metrics, a refusal only once; a failure to do so changes nothing."""
    if result.is_repeated:
        return
    # Not long: kubelet waits for its restart after containerd's.
    with contextlib.suppress(AgentError), host.locked(wait=1.0) as state:
        status_file.count_restart(state, result.outcome.value)


def live_restore() -> bool:
    """Return True if dockerd keeps containers running during its restart (docker-info(1)).

    No answer means False.
    """
    try:
        done = command.run(["docker", "info", "--format", "{{.LiveRestoreEnabled}}"], timeout=10, check=False)
    except CommandError:
        return False
    return done.returncode == 0 and done.stdout.strip() == "true"


def _refusal(host: Host, name: str) -> str:
    """Return the reason for not restarting a unit; empty if it may be restarted."""
    if name == own_unit():
        return "this command runs in it, and would end with it"
    return _runtime_refusal(host, name) if name in RUNTIMES else ""


def _runtime_refusal(host: Host, name: str) -> str:
    """Return the reason for not restarting a runtime; empty if it may be restarted."""
    docker = "docker.service"
    if name == docker or docker in host.units.dependants(name):
        unit = host.units.show([docker]).get(docker)
        if unit and unit.main_pid and not live_restore():
            return "live-restore is off in /etc/docker/daemon.json, so a restart of docker would stop its containers"
    return ""


def _change(host: Host, intent: Intent) -> str:
    """Return a hash of what requires a restart: the environment, with credentials, and the CA."""
    ca_changed_at = host.state.memory().ca_changed_at
    text = json.dumps([intent.variables(secret=True), ca_changed_at])
    return hashlib.sha256(text.encode()).hexdigest()


def gates_closed(host: Host) -> bool:
    """Return True if a drop-in of failure.policy = "closed" exists, regardless of the settings."""
    return any(host.files.state(ClosedGate.path_of(unit)).content is not None for unit in GATED_UNITS)


def release_units(host: Host, settings: Settings, plan: Plan) -> tuple[str, ...]:
    """Start the units that failure.policy = "closed" refused, without waiting; return their names.

    This is also needed when the policy becomes "open": the drop-in is removed then, and nothing
    else would start the unit.
    """
    closed = settings.failure.policy == "closed"
    gates = set(map(ClosedGate.path_of, GATED_UNITS))
    if not closed and not any(change.path in gates for change in plan.changes):
        return ()
    released = to_release(host.units.show(GATED_UNITS), closed=closed)
    if released:
        host.units.start(released)
    return released


def outdated_units(host: Host, units: Iterable[UnitState], variables: Sequence[tuple[str, str]]) -> OutdatedUnits:
    """Return which of these units run without the desired environment.

    `variables` are those of node.env, none on a node without a proxy.  The process of a stale unit
    has another proxy environment, or is older than the proxy's CA in the trust store, which
    programs read when they start.  A job that runs once at boot ends by itself.
    """
    memory = host.state.memory()
    stale, deferred = [], []
    for unit in units if variables else ():
        if unit.active != "active" or not unit.main_pid or is_boot_job(unit.name):
            continue
        values = environ(unit.main_pid)
        different = differences(values, variables_of(unit.name, variables)) if values else {}
        is_deferred = memory.accepted.defers(unit.name, different)
        if values and ((different and not is_deferred) or unit.since < (memory.ca_changed_at or 0)):
            stale.append(unit.name)
        elif is_deferred:
            deferred.append(unit.name)
    return OutdatedUnits(tuple(stale), tuple(deferred))


def node_outdated(host: Host, settings: Settings, intent: Intent | None) -> OutdatedUnits:
    """Return the units of node.units that run without the environment of an Intent."""
    if intent is None:
        return OutdatedUnits()
    return outdated_units(host, host.units.show(settings.node.units).values(), intent.variables(secret=True))


def running_units(host: Host, plan: Plan) -> tuple[str, ...]:
    """Return the running units whose drop-in a plan removes.

    Their processes keep the environment with which they were started.
    """
    units = (EnvironmentDropin.unit_of(change.path) for change in plan.changes if change.after is None)
    names = [name for name in units if name]
    return tuple(name for name, unit in host.units.show(names).items() if unit.main_pid)
