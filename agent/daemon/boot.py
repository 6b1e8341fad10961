"""The boot of the daemon, from its first second to READY=1."""

from __future__ import annotations

import json
import time
from functools import partial

from agent.core.facts.instance import Facts, facts_from_json
from agent.core.plan import drift
from agent.core.plan.files.systemd_dropin import GATED_UNITS, ClosedGate
from agent.core.systemd import to_release
from agent.daemon import journal_events
from agent.daemon.daemon import Daemon
from agent.daemon.degraded import report_degraded
from agent.daemon.facts_process import ProcessEndedError
from agent.daemon.preparation import finish_preparation, has_failed, prepare, remember_units
from agent.daemon.protocol import Ready, ReadyWithin
from agent.edges.child import SILENCE
from agent.errors import AgentError
from agent.log import add_field, deferred_log, flush_log, get_logger
from agent.node.apply import apply
from agent.node.budget import Budget, boot_budget
from agent.node.change_log import log_changes
from agent.node.host import Host
from agent.node.inputs import facts_of
from agent.node.planning import plan_node
from agent.node.reachability import probe_again, remember
from agent.node.reconcile import ReconcileResult, Trigger, has_configured_units, reconcile
from agent.node.sources import StaticSettings
from agent.node.units import release_units

BOOTSTRAP_UNIT = "eks-proxy-agent-bootstrap.service"


def boot(daemon: Daemon) -> ReconcileResult | None:
    """Configure the node, then let the units that wait for the agent start.

    READY=1 is sent even when the node is degraded, whatever the exception, so that a node without
    its metadata service or with wrong settings still boots far enough to be inspected. Returns the
    result, or None if the node is degraded: policy "open" lets docker start with the last good
    values, "closed" holds it back by its drop-in.
    """
    limited = daemon
    result: ReconcileResult | None = None
    is_degraded = False
    with deferred_log():
        try:
            journal_events.log_losses(daemon.host)
            static = _static_settings(daemon)
            settings = static.settings
            budget = boot_budget(
                settings.metadata.deadline,
                names_proxy=bool(settings.proxy.url),
                started=daemon.started,
                show=partial(_show_wait, daemon),
                sleep=daemon.signals.sleep,
            )
            daemon.send(ReadyWithin(budget.remaining()))
            limited = daemon.with_budget(budget)
            is_prepared = prepare(limited, settings)
            daemon.set_status(f"querying the metadata service at {settings.metadata.endpoint}")
            is_begun = daemon.host.units.background is not None
            trigger = Trigger.DAEMON_CYCLE if is_prepared else Trigger.DAEMON_BOOT
            facts = request_facts(limited, static, budget)
            result = reconcile_once(limited, static, facts, trigger)
            if is_begun and has_failed(limited, result):
                result = None  # if the second try raises, no unit is released for the first
                limited.signals.sleep(0)  # SIGTERM ends systemctl too
                result = reconcile_once(limited, static, facts, Trigger.DAEMON_BOOT)
            result.raise_problems()
        except Exception as error:  # noqa: BLE001 -- the units that wait must not wait for ever
            report_degraded(limited, error)
            is_degraded = True
            finish_preparation(daemon)
        daemon.send(Ready())
    if is_degraded or result is None:
        if result:
            release_gated_units(daemon, result)
        return None
    is_released = report_and_release_units(daemon, result)
    start_bootstrap(daemon)
    result = _reprobe(daemon, static, result) if result.should_reprobe else result
    return result if is_released else None


def _show_wait(daemon: Daemon, text: str) -> None:
    flush_log()  # there is time now, and an operator may be looking
    daemon.set_status(text)


def _static_settings(daemon: Daemon) -> StaticSettings:
    """Read the settings of files and flags.

    If some are wrong, policy "closed" holds docker back nevertheless.  Raises AgentError.
    """
    try:
        return daemon.static_settings()
    except AgentError:
        if daemon.usable_settings().failure.policy == "closed":
            host = daemon.host
            with host.locked() as state:
                gates = tuple(map(ClosedGate, GATED_UNITS))
                log_changes(apply(plan_node(host, gates, complete=False), host, state))
        raise


def _reprobe(daemon: Daemon, static: StaticSettings, result: ReconcileResult) -> ReconcileResult:
    """Probe endpoints again that were not reached directly at an earlier boot.

    docker has started by now, so the probes delay nothing.
    """
    host, inputs = daemon.host, result.resolved.inputs
    try:
        fresh = probe_again(host.state, inputs)
        if not fresh:
            return result
        get_logger().info("direct.found", hosts=sorted(fresh))
        with host.locked() as state:
            remember(state, inputs.facts.instance_id, fresh)
        return reconcile_once(daemon, static, inputs.facts, Trigger.DAEMON_BOOT)
    except AgentError as error:
        get_logger().warning("direct.failed", error=str(error))
        return result


def request_facts(daemon: Daemon, static: StaticSettings, budget: Budget) -> Facts:
    """Return this instance's facts, with values that the metadata service omits only for a moment.

    The request is repeated until the service responds or the budget is spent; SIGTERM ends the
    wait.
    """
    if budget.seconds > SILENCE / 2:
        daemon.expect_silence(budget.seconds)
    facts = _fetch(daemon, static, budget)
    add_field("INSTANCE_ID", facts.instance_id)
    return facts if daemon.sources.facts else stabilize_facts(daemon.host, facts)


def _fetch(daemon: Daemon, static: StaticSettings, budget: Budget) -> Facts:
    try:
        if daemon.facts_process:
            return daemon.facts_process.fetch(static.settings.metadata.endpoint, budget, daemon.signals)
    except ProcessEndedError as error:
        get_logger().warning("facts_process.ended", error=str(error), meaning="the worker requests the facts itself")
    return facts_of(static, budget)


def stabilize_facts(host: Host, facts: Facts) -> Facts:
    """Return facts that keep what metadata omits for a moment; log what is missing.

    `drift.debounce_facts` decides what is kept.
    """
    with host.locked() as state:
        cached = state.cached(facts.instance_id, "facts")
        try:
            last = facts_from_json(json.dumps(cached)) if cached else None
        except AgentError:
            last = None
        steady, memory = drift.debounce_facts(facts, last, state.memory(), time.monotonic())
        is_news, memory = memory.report_once("missing", ", ".join(memory.missing))
        state.update_memory(lambda _: memory)
    if is_news:
        meaning = f"kept until missing in {drift.PASSES} cycles and for {drift.ABSENT:g} s"
        get_logger().warning("metadata.missing", what=tuple(memory.missing), meaning=meaning)
    return steady


def reconcile_once(daemon: Daemon, static: StaticSettings, facts: Facts, trigger: Trigger) -> ReconcileResult:
    """Reconcile once and log the changes; an empty plan logs nothing.

    Files that could not be changed are in the problems of the plan.
    """
    result = reconcile(daemon.host, static, facts, trigger)
    if not result.plan.problems:
        remember_units(daemon.host, static.settings, result.settings)
        daemon.set_status(journal_events.summary(result))
    return result


def report_and_release_units(daemon: Daemon, result: ReconcileResult) -> bool:
    """Log warnings and the phase of the node, and start the units that were held back.

    This comes after READY=1 because docker need not wait for it.  Returns False if units could not
    be released; it has to be tried again then.
    """
    log = get_logger()
    intent = result.intent
    for problem in result.resolved.problems:
        log.error("settings.problem", text=problem)
    for warning in result.resolved.warnings:
        log.warning("settings.warning", text=warning)
    log.info(
        journal_events.EVENTS[result.phase],
        instance_id=result.resolved.facts.instance_id,
        **({"proxy": str(intent.http_proxy), "intent": intent.digest()} if intent else {}),
    )
    return release_gated_units(daemon, result)


def release_gated_units(daemon: Daemon, result: ReconcileResult) -> bool:
    """Start the units that were held back; return False if they are not configured or it failed."""
    if not has_configured_units(result.plan):
        return False
    try:
        released = release_units(daemon.host, result.settings, result.plan)
    except AgentError as error:
        get_logger().error("units.failed", error=str(error))
        return False
    if released:
        get_logger().info("units.released", units=released)
    return True


def start_bootstrap(daemon: Daemon) -> None:
    """Start the bootstrap unit if it failed because metadata was missing, or if nothing started it.

    That is so if the package was installed on a running node: the unit is enabled, but only the
    next boot would start it.  It does not repeat what it has already done on this instance.
    """
    try:
        unit = daemon.host.units.show([BOOTSTRAP_UNIT]).get(BOOTSTRAP_UNIT)
        if unit and (unit.active == "failed" or to_release({unit.name: unit})):
            daemon.host.units.start([BOOTSTRAP_UNIT])
            get_logger().info("bootstrap.started_again" if unit.started else "bootstrap.unit_started", unit=unit.name)
    except AgentError as error:
        get_logger().error("units.failed", error=str(error))
