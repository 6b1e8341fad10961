"""Starts and restarts of units after a reconcile: released units and stale units."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Callable

from agent.core.intent.intent import Intent
from agent.core.plan.files.systemd_dropin import GATED_UNITS, ClosedGate, EnvironmentDropin
from agent.core.plan.plan import Plan
from agent.core.settings.schema import Settings
from agent.core.settings.unit_table import variables_of
from agent.core.systemd import RUNTIMES, OutdatedUnits, differences, restart_order, to_release
from agent.edges import command
from agent.edges.systemd import environ
from agent.errors import CommandError
from agent.log import get_logger
from agent.node.host import Host

#: Seconds for the restart of one unit; docker and kubelet take up to 90 to stop.
BOUND = 240.0
#: The prefix in the record of a refused restart.  It is logged once and tried again, because
#: live-restore may be switched on.
_REFUSED = "refused "


def restart_stale(
    host: Host,
    instance_id: str,
    intent: Intent,
    list_stale: Callable[[], Sequence[str]],
    busy: Callable[[float], None],
) -> tuple[str, ...]:
    """Run `systemctl try-restart` for each stale unit; return the restarted ones.

    `busy` is called before each restart with the seconds that it may take.  A unit waits until the
    one before it is active again.  kubelet comes last: it is never restarted together with a
    runtime, and not at all after a runtime that failed.  A unit is restarted once for a change, and
    not if systemd restarted it together with another, as it does with a kubelet that requires
    docker.  Raises AgentError.
    """
    change = _change(host, intent)
    records: dict[str, str] = host.state.cached(instance_id, "restarts") or {}
    due = restart_order(name for name in list_stale() if records.get(name) != change)
    done: list[str] = []
    failed = False
    for name in due:
        if name == "kubelet.service" and failed:
            get_logger().error("unit.not_restarted", unit=name, reason="its runtime could not be restarted")
            continue
        if done and name not in list_stale():
            continue
        refusal = _refusal(host, name) if name in RUNTIMES else ""
        is_new = records.get(name) != _REFUSED + change
        records = {**records, name: _REFUSED + change if refusal else change}
        with host.locked() as state:  # before the restart, so that a crash does not make it a loop
            state.save_of_instance(instance_id, "restarts", records)
        if refusal:
            if is_new:
                get_logger().warning("unit.not_restarted", unit=name, reason=refusal)
            continue
        busy(BOUND)
        try:
            host.units.try_restart(name, timeout=BOUND)
            active = host.units.show([name])[name].active
        except CommandError as error:
            active = str(error)
        if active != "active":
            get_logger().error("unit.not_restarted", unit=name, reason=active)
            failed = failed or name in RUNTIMES
            continue
        get_logger().info("unit.restarted", unit=name, reason="it ran with an old environment")
        done.append(name)
    return tuple(done)


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


def stale_units(host: Host, settings: Settings, intent: Intent | None) -> tuple[str, ...]:
    """Return the running units that need a restart, see `outdated_units`."""
    return outdated_units(host, settings, intent).stale


def outdated_units(host: Host, settings: Settings, intent: Intent | None) -> OutdatedUnits:
    """Return the running units without the desired environment.

    The process of a stale unit has another proxy environment than the Intent, or is older than the
    proxy's CA in the trust store, which programs read when they start.
    """
    if intent is None:
        return OutdatedUnits()
    variables, memory = intent.variables(secret=True), host.state.memory()
    stale, deferred = [], []
    for name, unit in host.units.show(settings.node.units).items():
        if unit.active == "active" and unit.main_pid:
            values = environ(unit.main_pid)
            different = differences(values, variables_of(name, variables)) if values else {}
            if memory.accepted.defers(name, different):
                deferred.append(name)
                different = {}
            if values and (different or unit.since < (memory.ca_changed_at or 0)):
                stale.append(name)
    return OutdatedUnits(tuple(stale), tuple(name for name in deferred if name not in stale))


def running_units(host: Host, plan: Plan) -> tuple[str, ...]:
    """Return the running units whose drop-in a plan removes.

    Their processes keep the environment with which they were started.
    """
    units = (EnvironmentDropin.unit_of(change.path) for change in plan.changes if change.after is None)
    names = [name for name in units if name]
    return tuple(name for name, unit in host.units.show(names).items() if unit.main_pid)
