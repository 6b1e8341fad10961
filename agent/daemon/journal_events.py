"""What the daemon says: to the journal what changed and why, to `systemctl status` how the node stands."""

from __future__ import annotations

import time
from collections.abc import Sequence

from agent.core.plan import drift
from agent.core.redact import redact
from agent.daemon.protocol import Send, Status
from agent.errors import AgentError
from agent.log import get_logger
from agent.node.host import Host
from agent.node.reconcile import ReconcileResult
from agent.node.status_file import save_degraded
from agent.node.units import gates_closed

#: Event by the phase that a boot ends with.
EVENTS = {"configured": "node.configured", "unconfigured": "node.unconfigured"}


def log_contested(host: Host) -> None:
    """Say, at first and once an hour, which files are left alone because somebody else changes them again and again."""
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


def log_degraded(host: Host, error: AgentError) -> str:
    """Say loudly what is wrong and what it means, once as long as it is the same; return what it means.

    Policy and meaning are what can be seen: the settings may be what is wrong.
    """
    closed = gates_closed(host)
    if closed and not host.state.ready:
        meaning = "docker and kubelet stay stopped until the problem is fixed"
    elif host.state.memory().desired:
        meaning = "the last good values stay in place"
    else:
        meaning = "units start with the last good values"
    try:
        with host.locked() as state:
            news, memory = state.memory().report_once("degraded", redact(str(error)))
            state.update_memory(lambda _: memory)
            save_degraded(state, error)
    except AgentError as second:  # the disk may be what is wrong: then the journal has to do
        news = True
        get_logger().error("status.failed", error=str(second))
    if news:
        policy = "closed" if closed else "open"
        get_logger().error("node.degraded", error=str(error), hint=error.hint or "-", policy=policy, meaning=meaning)
    return meaning


def set_status(send: Send, text: str) -> None:
    """Tell systemd (`systemctl status`) what we are at."""
    send(Status(redact(text)))


def summary(done: ReconcileResult, *, stale: Sequence[str] = (), contested: Sequence[str] = ()) -> str:
    """A node that is as planned, in one line."""
    intent = done.intent
    now = time.strftime("%H:%M", time.gmtime())
    if intent is None:
        return f"unconfigured: no proxy.url in the settings, nothing is written; last reconcile {now} UTC"
    entries = f"{len(intent.no_proxy)} NO_PROXY entries"
    parts = [f"configured: {intent.http_proxy}, {entries}, intent {intent.digest()}; last reconcile {now} UTC"]
    parts += ["restart needed: " + ", ".join(stale)] if stale else []
    parts += ["contested, left alone: " + ", ".join(contested)] if contested else []
    return "; ".join(parts)
