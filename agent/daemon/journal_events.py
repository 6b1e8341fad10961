"""Journal events of a cycle, and the status line of a node whose files are as planned."""

from __future__ import annotations

import time
from collections.abc import Sequence

from agent.core.plan import drift
from agent.log import get_logger
from agent.node.host import Host
from agent.node.reconcile import ReconcileResult
from agent.node.units import Outcome, Restart

#: Phase after a boot → event.
EVENTS = {"configured": "node.configured", "unconfigured": "node.unconfigured"}


def log_losses(host: Host) -> None:
    """Log the corrupt state files, before the reconcile replaces those that it can."""
    for path, loss in host.state.losses().items():
        get_logger().error("state.corrupt", file=path, meaning=loss)


def log_contested(host: Host) -> None:
    """Log contested files, which are left alone because another process keeps changing them.

    Each is logged at first, then once an hour.
    """
    with host.locked() as state:
        due, memory = state.memory().due_reports(time.monotonic())
        state.update_memory(lambda _: memory)
    for path in due:
        get_logger().error(
            "drift.fought",
            file=path,
            reason=f"repaired {drift.REPAIRS} times within an hour, and changed again each time",
            meaning="left alone until systemctl reload eks-proxy-agent, eks-proxy-agent apply or the next boot",
        )


def log_unit_warnings(host: Host, warnings: Sequence[str]) -> None:
    """Log what keeps units from getting the proxy, once as long as it stays the same."""
    with host.locked() as state:
        is_news, memory = state.memory().report_once("units", "\n".join(warnings))
        state.update_memory(lambda _: memory)
    for text in warnings if is_news else ():
        get_logger().warning("unit.warning", text=text)


def log_restart(restart: Restart) -> None:
    """Log a restart of a stale unit; a refusal only once, although it is tried again."""
    if restart.outcome is Outcome.RESTARTED:
        get_logger().info("unit.restarted", unit=restart.unit, reason="it ran with an old environment")
    elif restart.outcome is Outcome.FAILED:
        get_logger().error("unit.not_restarted", unit=restart.unit, reason=restart.reason)
    elif not restart.is_repeated:
        get_logger().warning("unit.not_restarted", unit=restart.unit, reason=restart.reason)


def summary(result: ReconcileResult, *, stale: Sequence[str] = (), contested: Sequence[str] = ()) -> str:
    """Return a status line for a node whose files are as planned."""
    intent = result.intent
    now = time.strftime("%H:%M", time.gmtime())
    if intent is None:
        problems = "".join("; " + problem for problem in result.resolved.problems[:1])
        return f"unconfigured: no proxy.url in the settings, nothing is written; last reconcile {now} UTC{problems}"
    entries = f"{len(intent.no_proxy)} NO_PROXY entries"
    parts = [f"configured: {intent.http_proxy}, {entries}, intent {intent.digest()}; last reconcile {now} UTC"]
    parts += ["restart needed: " + ", ".join(stale)] if stale else []
    parts += ["contested, left alone: " + ", ".join(contested)] if contested else []
    return "; ".join(parts)
