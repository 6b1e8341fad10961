"""Journal events of the daemon, and its status line for `systemctl status`."""

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

#: Bytes of STATUS= and its text together (sd_notify(3)): the text may name many files or units.
_STATUS_LIMIT = 1024 - len("STATUS=")
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


def log_overrides(host: Host, overrides: Sequence[str]) -> None:
    """Log the drop-ins of others that override the agent's, once as long as they stay the same."""
    with host.locked() as state:
        is_news, memory = state.memory().report_once("overrides", "\n".join(overrides))
        state.update_memory(lambda _: memory)
    for text in overrides if is_news else ():
        get_logger().warning("unit.overridden", text=text)


def log_degraded(host: Host, error: AgentError) -> str:
    """Log the error and its consequence, once as long as it stays the same; return the consequence.

    Policy and consequence are read from the machine, because the settings may be what is wrong.
    """
    is_closed = gates_closed(host)
    if is_closed and not host.state.ready:
        meaning = "docker and kubelet stay stopped until the problem is fixed"
    elif host.state.memory().desired:
        meaning = "the last good values stay in place"
    else:
        meaning = "units start with the last good values"
    try:
        with host.locked() as state:
            is_news, memory = state.memory().report_once("degraded", redact(str(error)))
            state.update_memory(lambda _: memory)
            save_degraded(state, error)
    except AgentError as second:  # the disk may be what is wrong: then only the journal has it
        is_news = True
        get_logger().error("status.failed", error=str(second))
    if is_news:
        policy = "closed" if is_closed else "open"
        get_logger().error("node.degraded", error=str(error), hint=error.hint or "-", policy=policy, meaning=meaning)
    return meaning


def set_status(send: Send, text: str) -> None:
    """Report to systemd what the daemon is doing (`systemctl status`)."""
    send(Status(_one_line(redact(text))))


def _one_line(text: str) -> str:
    """Return the first line, shortened so that it is one of `systemctl status`."""
    line = text.partition("\n")[0].encode("utf-8", "backslashreplace")
    shown = line if len(line) <= _STATUS_LIMIT else line[: _STATUS_LIMIT - 3] + b"..."
    return shown.decode("utf-8", "ignore")


def summary(result: ReconcileResult, *, stale: Sequence[str] = (), contested: Sequence[str] = ()) -> str:
    """Return a status line for a node whose files are as planned."""
    intent = result.intent
    now = time.strftime("%H:%M", time.gmtime())
    if intent is None:
        return f"unconfigured: no proxy.url in the settings, nothing is written; last reconcile {now} UTC"
    entries = f"{len(intent.no_proxy)} NO_PROXY entries"
    parts = [f"configured: {intent.http_proxy}, {entries}, intent {intent.digest()}; last reconcile {now} UTC"]
    parts += ["restart needed: " + ", ".join(stale)] if stale else []
    parts += ["contested, left alone: " + ", ".join(contested)] if contested else []
    return "; ".join(parts)
