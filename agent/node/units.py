"""watch.restart = "changed": restart what runs with an old environment, once a change, one after the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Callable

from agent.core.intent.intent import Intent
from agent.core.systemd import RUNTIMES, restart_order
from agent.edges import command
from agent.edges.child import SILENCE
from agent.errors import CommandError
from agent.log import get_logger
from agent.node.apply import Host

#: Seconds that a unit gets to be restarted; docker and kubelet take up to 90 to stop.
BOUND = 240.0
#: What is remembered of a refusal: it is said once, and looked at again, because live-restore may be switched on.
_REFUSED = "refused "


def restart_stale(
    host: Host, instance_id: str, intent: Intent, look: Callable[[], Sequence[str]], notify: Callable[[str], None]
) -> tuple[str, ...]:
    """`systemctl try-restart` of each that `look` names; answers those that were restarted.  Raises AgentError.

    Each waits until the one before it is active again, and kubelet comes last: it is never restarted together with a
    runtime, and not at all after one that failed.  What was restarted once for a change is not restarted for it again, nor
    is what systemd restarted together with another, as it does with a kubelet that requires docker.
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
        host.state.save_of_instance(instance_id, "restarts", known)  # before: a crash must not make it a loop
        if refusal:
            if news:
                get_logger().warning("unit.not_restarted", unit=name, reason=refusal)
            continue
        notify("BOUND=%g" % (BOUND + SILENCE))
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
            return "live-restore is off in /etc/docker/daemon.json, so a restart of docker would end its containers"
    return ""


def _change(host: Host, intent: Intent) -> str:
    """A name for what the units have to be restarted for: the environment, credentials included, and the CA."""
    ca_changed_at = host.state.memory().ca_changed_at
    text = json.dumps([intent.variables(secret=True), ca_changed_at])
    return hashlib.sha256(text.encode()).hexdigest()
