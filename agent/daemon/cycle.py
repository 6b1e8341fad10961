"""One cycle of the daemon after boot: a reconcile, a health check, and a search for stale units.

It runs in a process of its own, see supervisor.py.
"""

from __future__ import annotations

import json
import time

from agent.core.facts.instance import Facts, facts_from_json
from agent.core.plan.desired import desired_files
from agent.core.plan.drift import Memory
from agent.core.systemd import OutdatedUnits
from agent.daemon import journal_events
from agent.daemon.boot import (
    reconcile_once,
    release_gated_units,
    report_and_release_units,
    request_facts,
    start_bootstrap,
)
from agent.daemon.daemon import Daemon
from agent.daemon.degraded import report_degraded
from agent.daemon.outcome import last_watch, save_schedule, watched_paths
from agent.daemon.protocol import NextRun, WatchPaths
from agent.daemon.retry import AFTER_BOOT, FACTS_CYCLES, GAP_FIRST, METADATA_TIMEOUT, jittered, retry_delay
from agent.daemon.supervisor import Reason
from agent.errors import AgentError, LockedError, MetadataError, combined
from agent.log import add_field, get_logger
from agent.node import proxies, status_file
from agent.node.budget import Budget
from agent.node.reconcile import ReconcileResult, Trigger
from agent.node.sources import StaticSettings
from agent.node.units import node_outdated, restart_stale


def run_cycle(daemon: Daemon, reason: Reason) -> None:
    """Reconcile once, check what runs, and schedule the next cycle.

    Raises LockedError if another run does not release the lock in time.
    """
    daemon = daemon.with_budget(Budget(sleep=daemon.signals.sleep))  # no limit, but SIGTERM ends a wait
    host = daemon.host
    with host.locked() as state:
        before = state.update_memory(Memory.reset) if reason is Reason.RELOAD else state.memory()
    is_retry = before.failures > 0 or reason is Reason.RETRY
    is_full = is_retry or reason is Reason.RELOAD  # as at boot, units of node.enable included
    result: ReconcileResult | None = None
    failure: Exception | None = None
    try:
        static = daemon.static_settings()
        facts, failure = _current_or_cached_facts(daemon, static, is_full=is_full)
        result = reconcile_once(daemon, static, facts, Trigger.DAEMON_BOOT if is_full else Trigger.DAEMON_CYCLE)
        result.raise_problems()
    except LockedError:
        raise  # an apply is running; nothing is wrong with the node
    except Exception as error:  # noqa: BLE001 -- a bug is a degraded node too
        failure = combined(failure, error)
    if failure:
        report_degraded(daemon, failure)
    is_settled = failure is None
    if result and is_settled and (is_full or _has_desired_changes(result)):
        is_settled = report_and_release_units(daemon, result)
        if is_retry:
            start_bootstrap(daemon)
    elif result and result.problems:
        release_gated_units(daemon, result)
    finish_cycle(daemon, result, is_settled=is_settled)


def finish_cycle(daemon: Daemon, result: ReconcileResult | None, *, is_settled: bool, is_boot: bool = False) -> None:
    """Check the proxies and running units after a reconcile, and schedule the next cycle.

    Writes status.json and the metrics, and sends the supervisor the files to watch.  Without a
    `result` the last known state stays; without `is_settled` the next cycle is a retry.
    """
    host = daemon.host
    delays = [AFTER_BOOT] if is_boot else []
    units: OutdatedUnits | None = None
    if result:
        units = _report_running_units(daemon, result) if is_boot else None
        checked = proxies.check(host, result.resolved)
        if len(result.settings.proxy.url) > 1:  # a failing single proxy is not urgent: there is no other
            delays.append(checked.next_in)
        if checked.changed:
            result, is_switched = _switch_proxy(daemon, result)
            is_settled = is_settled and is_switched
        if not is_boot or (units and units.stale):
            units = _check_units(daemon, result)
        journal_events.log_unit_warnings(host, result.unit_warnings)
    journal_events.log_contested(host)
    with host.locked() as state:
        memory = state.update_memory(lambda memory: memory.record_outcome(settled=is_settled))
    stale = units.stale if units else ()
    if result and is_settled and (stale or memory.contested):
        daemon.set_status(journal_events.summary(result, stale=stale, contested=sorted(memory.contested)))
    watch = result.settings.watch if result else last_watch(daemon)
    if result and is_settled and result.settings.proxy.credentials_command and memory.credentials_source:
        delays.append(max(memory.credentials_due - time.monotonic(), GAP_FIRST))
    delays.append(jittered(watch.interval) if is_settled else retry_delay(memory.failures, bool(memory.desired)))
    save_schedule(daemon, watch, memory, units, min(delays))
    daemon.send(WatchPaths(_watched_paths(daemon, result)))
    daemon.send(NextRun(min(delays)))


def _switch_proxy(daemon: Daemon, before: ReconcileResult) -> tuple[ReconcileResult, bool]:
    """Reconcile with the newly chosen proxy; return the result, and False if that failed.

    After a failure the result is `before`, and the next cycle tries again.
    """
    try:
        facts = before.resolved.facts
        result = reconcile_once(daemon, daemon.static_settings(), facts, Trigger.DAEMON_BOOT)
        result.raise_problems()
        return result, True
    except AgentError as error:
        report_degraded(daemon, error)
        return before, False


def _has_desired_changes(result: ReconcileResult) -> bool:
    """Return True if a reconcile changed more than what had drifted."""
    return set(result.plan.changes) != set(result.repaired)


def _watched_paths(daemon: Daemon, result: ReconcileResult | None) -> tuple[str, ...]:
    if result is None:
        return watched_paths(daemon, daemon.usable_settings())
    desired = desired_files(result.settings, result.intent, result.resolved.inputs.ca)
    return watched_paths(daemon, result.settings, [file.path for file in desired])


def _current_or_cached_facts(
    daemon: Daemon, static: StaticSettings, *, is_full: bool
) -> tuple[Facts, AgentError | None]:
    """Return the facts and no error, or facts cached since power on and the error of the request.

    They are requested in every third cycle, and if it `is_full`.  Raises MetadataError if nothing
    is cached.
    """
    memory = daemon.host.state.memory()
    if not (is_full or daemon.sources.facts) and memory.are_facts_current(FACTS_CYCLES):
        facts = _cached_facts(daemon)
        if facts:
            return facts, None
    seconds = min(static.settings.metadata.deadline or METADATA_TIMEOUT, METADATA_TIMEOUT)
    budget = Budget(seconds, sleep=daemon.signals.sleep)
    try:
        return request_facts(daemon, static, budget), None
    except MetadataError as error:
        facts = _cached_facts(daemon)
        if not facts:
            raise
        return facts, error


def _cached_facts(daemon: Daemon) -> Facts | None:
    """Return the facts that were saved since power on, None without any."""
    instance = daemon.host.state.memory().instance
    cached = daemon.host.state.cached(instance, "facts") if instance else None
    if not cached:
        return None
    add_field("INSTANCE_ID", instance)
    return facts_from_json(json.dumps(cached))


def _check_units(daemon: Daemon, result: ReconcileResult) -> OutdatedUnits | None:
    """Return the units without the desired environment, or None if that could not be determined.

    Stale ones are restarted if watch.restart says so; those that remain are logged.
    """
    host, settings, intent = daemon.host, result.settings, result.intent
    units = _find_outdated(daemon, result)
    try:
        if units and units.stale and intent and settings.watch.restart == "changed":
            instance_id = result.resolved.facts.instance_id
            restart_stale(
                host,
                instance_id,
                intent,
                lambda: node_outdated(host, settings, intent).stale,
                journal_events.log_restart,
                daemon.expect_silence,
            )
            units = node_outdated(host, settings, intent)
    except AgentError as error:
        get_logger().error("units.failed", error=str(error))
    if units:
        _log_stale(daemon, result, units.stale)
    return units


def _find_outdated(daemon: Daemon, result: ReconcileResult) -> OutdatedUnits | None:
    try:
        return node_outdated(daemon.host, result.settings, result.intent)
    except AgentError as error:
        get_logger().error("units.failed", error=str(error))
        return None


def _report_running_units(daemon: Daemon, result: ReconcileResult) -> OutdatedUnits | None:
    """Report at boot which units run without the desired environment, before the health checks.

    On a usual boot there is none.  An agent that is started on a running node is too late for all.
    """
    units = _find_outdated(daemon, result)
    if units:
        with daemon.host.locked() as state:
            status_file.save_units(state, units)
        _log_stale(daemon, result, units.stale)
    if units and units.stale:
        daemon.set_status(journal_events.summary(result, stale=units.stale))
    return units


def _log_stale(daemon: Daemon, result: ReconcileResult, stale: tuple[str, ...]) -> None:
    """Log the stale units, once for each change."""
    news = " ".join([result.intent.digest(), *stale]) if result.intent and stale else ""
    with daemon.host.locked() as state:
        is_news, memory = state.memory().report_once("stale", news)
        state.update_memory(lambda _: memory)
    if is_news:
        meaning = "runs with an old environment; restart at a convenient time: systemctl restart " + " ".join(stale)
        get_logger().warning("units.stale", units=stale, meaning=meaning)
