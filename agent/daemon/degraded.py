"""A degraded node, in the journal, for systemd, in status.json and in the metrics."""

from __future__ import annotations

from functools import partial

from agent.core.redact import redact
from agent.daemon.daemon import Daemon
from agent.daemon.outcome import last_watch, save_schedule, watched_paths
from agent.daemon.protocol import NextRun, WatchPaths
from agent.daemon.retry import retry_delay
from agent.errors import AgentError, as_agent_error
from agent.log import get_logger
from agent.node.host import Host
from agent.node.status_file import save_degraded
from agent.node.units import gates_closed


def report_degraded(daemon: Daemon, error: Exception) -> None:
    """Report an error and its consequence: to the journal, in status.json, and to systemd.

    The journal has it once as long as it stays the same.
    """
    problem = as_agent_error(error)
    text = str(problem)
    meaning = _meaning(daemon.host)
    try:
        is_news = _save(daemon.host, problem)
    except AgentError as second:  # the disk or the lock may be what is wrong: then only the journal has it
        is_news = True
        get_logger().error("status.failed", error=str(second))
    if is_news:
        policy = "closed" if gates_closed(daemon.host) else "open"
        get_logger().error("node.degraded", error=text, hint=problem.hint or "-", policy=policy, meaning=meaning)
    first_line = text.partition("\n")[0]
    daemon.set_status(f"degraded: {first_line}; {meaning}")


def record_failure(daemon: Daemon, error: Exception, next_in: float | None = None) -> None:
    """Report a worker that failed outside of its reconcile, and schedule the retry.

    `next_in`: seconds until then, by default the next delay of a degraded node.
    """
    report_degraded(daemon, error)
    host, memory = daemon.host, daemon.host.state.memory_if_readable().record_outcome(settled=False)
    delay = retry_delay(memory.failures, bool(memory.desired)) if next_in is None else next_in
    daemon.send(WatchPaths(watched_paths(daemon, daemon.usable_settings())))
    daemon.send(NextRun(delay))
    watch = last_watch(daemon)
    for save in (partial(_save_failure, host), partial(save_schedule, daemon, watch, memory, None, delay)):
        try:
            save()
        except AgentError as second:
            get_logger().error("status.failed", error=str(second))


def _meaning(host: Host) -> str:
    """Return the consequence of an error.

    It is read from the machine, because the settings may be what is wrong.
    """
    if gates_closed(host) and not host.state.ready:
        return "docker and kubelet stay stopped until the problem is fixed"
    if host.state.memory_if_readable().desired:
        return "the last good values stay in place"
    return "units start with the last good values"


def _save(host: Host, error: AgentError) -> bool:
    """Write an error to status.json; return True if the journal does not have it yet."""
    with host.locked() as state:
        save_degraded(state, error)
        is_news, memory = state.memory().report_once("degraded", redact(str(error)))
        state.update_memory(lambda _: memory)
    return is_news


def _save_failure(host: Host) -> None:
    with host.locked() as state:
        state.update_memory(lambda memory: memory.record_outcome(settled=False))
