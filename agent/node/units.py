"""What systemd's units need after a reconcile: to be started, or to be restarted because they run with an old environment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Callable

from agent.core.intent.intent import Intent
from agent.core.plan.files.systemd_dropin import GATED_UNITS, ClosedGate, EnvironmentDropin
from agent.core.plan.plan import Plan
from agent.core.settings.schema import Settings
from agent.core.systemd import RUNTIMES, is_stale, restart_order, to_release
from agent.edges import command
from agent.edges.systemd import environ
from agent.errors import CommandError
from agent.log import get_logger
from agent.node.host import Host

#: Seconds that a unit gets to be restarted; docker and kubelet take up to 90 to stop.
BOUND = 240.0
#: What is remembered of a refusal: it is said once, and looked at again, because live-restore may
#: be switched on.
_REFUSED = "refused "


def restart_stale(
    host: Host, instance_id: str, intent: Intent, look: Callable[[], Sequence[str]], busy: Callable[[float], None]
) -> tuple[str, ...]:
    """`systemctl try-restart` of each that `look` names; answers those that were restarted.  Raises AgentError.

    `busy` is told before each how many seconds it may take. Each waits until the one before it is
    active again, and kubelet comes last: it is never restarted together with a runtime, and not at
    all after one that failed.  What was restarted once for a change is not restarted for it again,
    nor is what systemd restarted together with another, as it does with a kubelet that requires
    docker.
    """
    change = _change(host, intent)
    known: dict[str, str] = host.state.learned(instance_id, "restarts") or {}
    due = restart_order(name for name in look() if known.get(name) != change)
    done: list[str] = []
    failed = False
    for name in due:
        if name == "kubelet.service" and failed:
            get_logger().error("unit.not_restarted", unit=name, reason="its runtime could not be restarted")
            continue
        if done and name not in look():
            continue
        refusal = _refusal(host, name) if name in RUNTIMES else ""
        news = known.get(name) != _REFUSED + change
        known = {**known, name: _REFUSED + change if refusal else change}
        with host.locked() as state:  # before: a crash must not make it a loop
            state.save_of_instance(instance_id, "restarts", known)
        if refusal:
            if news:
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
    """Whether dockerd leaves containers running when it is restarted (docker-info(1)); no answer is no."""
    try:
        done = command.run(["docker", "info", "--format", "{{.LiveRestoreEnabled}}"], timeout=10, check=False)
    except CommandError:
        return False
    return done.returncode == 0 and done.stdout.strip() == "true"


def _refusal(host: Host, name: str) -> str:
    """Why a runtime is not restarted; empty when it may be."""
    docker = "docker.service"
    if name == docker or docker in host.units.dependants(name):
        unit = host.units.show([docker]).get(docker)
        if unit and unit.main_pid and not live_restore():
            return "live-restore is off in /etc/docker/daemon.json, so a restart of docker would stop its containers"
    return ""


def _change(host: Host, intent: Intent) -> str:
    """A name for what the units have to be restarted for: the environment, credentials included, and the CA."""
    ca_changed_at = host.state.memory().ca_changed_at
    text = json.dumps([intent.variables(secret=True), ca_changed_at])
    return hashlib.sha256(text.encode()).hexdigest()


def gates_closed(host: Host) -> bool:
    """Return True if the drop-ins of failure.policy = "closed" are in place, whatever the settings say by now."""
    return any(host.files.state(ClosedGate.path_of(unit)).content is not None for unit in GATED_UNITS)


def release_units(host: Host, settings: Settings, plan: Plan) -> tuple[str, ...]:
    """Start, without waiting, what failure.policy = "closed" had refused; answers the names.

    Also when the policy just became "open": the drop-in is gone then, and the unit would stay
    stopped for ever.
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
    """The running units that need a restart: their process has another proxy environment than the Intent, or is older
    than the proxy's CA in the trust store, which programs read when they start.
    """
    if intent is None:
        return ()
    variables, ca_changed_at = intent.variables(secret=True), host.state.memory().ca_changed_at
    found = []
    for name, unit in host.units.show(settings.node.units).items():
        if unit.active == "active" and unit.main_pid:
            values = environ(unit.main_pid)
            if values and (is_stale(values, variables) or unit.since < (ca_changed_at or 0)):
                found.append(name)
    return tuple(found)


def running_units(host: Host, plan: Plan) -> tuple[str, ...]:
    """The running units whose drop-in a plan takes away; their processes keep what they were started with."""
    units = (EnvironmentDropin.unit_of(change.path) for change in plan.changes if change.after is None)
    names = [name for name in units if name]
    return tuple(name for name, unit in host.units.show(names).items() if unit.main_pid)
