"""Preparation of a boot before metadata responds: drop-ins, enabled units, one reload of systemd.

It is guessed from the files of the image and from the last boot; the reconcile corrects it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

from agent.core.plan.desired import static_files
from agent.core.plan.plan import Plan
from agent.core.record import evolve
from agent.core.settings.schema import Settings
from agent.daemon.daemon import Daemon
from agent.daemon.retry import RECORD_RELOAD
from agent.errors import AgentError
from agent.log import get_logger
from agent.node.apply import apply, finish_commands
from agent.node.change_log import log_changes
from agent.node.host import Host
from agent.node.planning import desired_digests, plan_node
from agent.node.reconcile import ReconcileResult
from agent.node.sources import read_ca
from agent.node.waiting import with_order


def prepare(daemon: Daemon, settings: Settings) -> bool:
    """Write the drop-ins, enable docker and reload systemd while the network is still coming up.

    None of that depends on the instance.  docker's start is queued and waits for READY=1.  Nothing
    is done unless the files of the image name a proxy: what user data adds comes with the
    reconcile.  Returns True if everything was done, except that systemd may still reload: the
    reconcile waits for it.
    """
    host = daemon.host
    if not settings.proxy.url:
        return False
    daemon.set_status("writing drop-ins")
    try:
        settings = recall_units(host, settings)
        with host.locked() as state:
            static = with_order(host, static_files(settings, read_ca(host.files, settings)))
            plan = apply(plan_node(host, static, settings, complete=False), host, state, in_background=True)
            state.update_memory(
                lambda memory: memory.after_preparation(plan, desired_digests(host, static), time.monotonic())
            )
    except AgentError as error:
        _warn(str(error))
        return False
    log_changes(plan)
    return not plan.problems


def finish_preparation(daemon: Daemon) -> None:
    """Wait until systemd has reloaded, in a boot without a reconcile: units get their drop-ins.

    The next reconcile repeats what failed.
    """
    host = daemon.host
    if host.units.background is None:
        return
    host.units.wait()  # without the lock
    # Whatever the exception, the reload stays pending and READY=1 is next.
    with contextlib.suppress(Exception), host.locked(wait=RECORD_RELOAD) as state:
        for problem in finish_commands(Plan(), host, state).problems:
            _warn(problem)


def has_failed(daemon: Daemon, result: ReconcileResult) -> bool:
    """Return True, and log the errors, if systemd has not reloaded after the preparation."""
    if not daemon.host.state.reload_pending:
        return False
    for problem in result.problems:
        _warn(problem)
    return True


def _warn(text: str) -> None:
    get_logger().warning("prepare.failed", error=text, meaning="the reconcile that follows tries again")


def recall_units(host: Host, image: Settings) -> Settings:
    """Return the image's settings with the units of this machine's last boot, if it had this image.

    An image may set failure.policy = "closed" and user data "open": without this, each boot would
    write the gates first and remove them a second later, with two reloads of systemd.  It is a
    guess for a machine known by its machine-id; the reconcile corrects it.
    """
    prepared = host.state.prepared()
    if not prepared or prepared.get("machine") != _machine_id(host) or prepared.get("image") != _units(image):
        return image
    try:
        return evolve(
            image,
            node=evolve(image.node, units=tuple(prepared["units"]), enable=_names(prepared["enable"])),
            failure=evolve(image.failure, policy=str(prepared["policy"])),
        )
    except (KeyError, TypeError):
        return image  # corrupt, or of another version: the reconcile rewrites it


def remember_units(host: Host, image: Settings, settings: Settings) -> None:
    """Save what `recall_units` reads, as long as it differs from the image.  Raises FileError."""
    desired = {"machine": _machine_id(host), "image": _units(image), **_units(settings)}
    prepared = desired if _units(settings) != _units(image) else None
    if prepared != host.state.prepared():
        with host.locked() as state:
            state.save_prepared(prepared)


def _units(settings: Settings) -> dict[str, Any]:
    node = settings.node
    enable = None if node.enable is None else list(node.enable)
    return {"units": list(node.units), "enable": enable, "policy": settings.failure.policy}


def _names(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _machine_id(host: Host) -> str:
    return (host.files.read("/etc/machine-id") or b"").decode("ascii", "replace").strip()
