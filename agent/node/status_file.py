"""The only writer of /run/eks-proxy-agent/status.json.  Each caller holds the lock."""

from __future__ import annotations

import time
from collections.abc import Sequence

from agent import __version__
from agent.core.intent.inputs import Resolved
from agent.core.net.proxy_selection import Choice
from agent.core.noproxy.entries import render
from agent.core.plan.desired import desired_files
from agent.core.plan.drift import Memory
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.record import evolve
from agent.core.redact import redact
from agent.core.status.counters import Counters
from agent.core.status.document import CONFIGURED, DEGRADED, UNCONFIGURED, StatusDocument
from agent.core.status.proxy_memory import proxy_statuses
from agent.core.status.records import MetricsStatus, PreflightStatus, ProxyPair, RepairsStatus
from agent.core.systemd import OutdatedUnits
from agent.edges.state import LockedState, State
from agent.errors import AgentError, CorruptError, shortlist
from agent.node import kept_flags


def save_reconcile(
    state: LockedState, resolved: Resolved, problems: Sequence[str], unit_warnings: tuple[str, ...] = ()
) -> None:
    """Save the result of a reconcile; `problems` are the errors of single files.

    `unit_warnings` say what keeps units from getting the proxy.  The fields that the daemon added
    stay.
    """
    intent, facts, inputs = resolved.intent, resolved.facts, resolved.inputs
    files = desired_files(inputs.settings, intent, inputs.ca, needs_yum_conf=inputs.needs_yum_conf)
    document = evolve(
        _load(state),
        instance_id=facts.instance_id,
        region=facts.region,
        digest=intent.digest() if intent else None,
        proxy=ProxyPair(intent.http_proxy, intent.https_proxy) if intent else None,
        no_proxy=intent.no_proxy if intent else (),
        files=tuple(file.path for file in files if file.merge(None) is not None),
        warnings=resolved.problems + resolved.warnings + unit_warnings,
        kept_flags=kept_flags.count(state, facts.instance_id),
        ca_not_after=inputs.ca.not_after if inputs.ca else None,
    )
    if intent is None:  # without a proxy in use its health is obsolete
        document = evolve(document, proxies=(), preflight=None)
    _save(state, document, phase_of(resolved, problems), "\n".join(shortlist(problems)) or None)


def save_degraded(state: LockedState, error: AgentError) -> None:
    """Save that the last reconcile failed, and count it; the values of the last good one stay."""
    document = _load(state)
    document = evolve(document, counters=_counters(document).after_failure(error.category))
    _save(state, document, DEGRADED, str(error))


def save_schedule(
    state: LockedState, memory: Memory, units: OutdatedUnits | None, next_pass: float
) -> StatusDocument | None:
    """Save the daemon's part: repairs, outdated units and `next_pass` (seconds since 1970).

    The reconcile is counted.  `units` None means not checked: the earlier ones stay.  Returns the
    saved document, or None if there is no status.json to add to.
    """
    current = state.status()
    if current is None:
        return None
    document = evolve(
        _with_units(current, units) if units else current,
        repairs=RepairsStatus(memory.total, tuple(sorted(memory.contested))),
        next_pass=int(next_pass),
        counters=_counters(current).after_pass(current.phase),
    )
    state.save_status(document)
    return document


def save_units(state: LockedState, units: OutdatedUnits) -> None:
    """Save which units are outdated, if that differs; do nothing before the first reconcile."""
    current = state.status()
    if current is not None and _with_units(current, units) != current:
        state.save_status(_with_units(current, units))


def save_proxies(state: LockedState, before: Choice, after: Choice, preflight: PreflightStatus | None) -> None:
    """Save the result of a health check, and count it; do nothing before the first reconcile."""
    current = state.status()
    if current is not None:
        is_failover = after.chosen != before.chosen
        counters = _counters(current).after_check([proxy.up for proxy in after.seen], failover=is_failover)
        proxies = proxy_statuses(after)
        state.save_status(evolve(current, proxies=proxies, preflight=preflight, counters=counters))


def count_restart(state: LockedState, outcome: str) -> None:
    """Count the restart of a unit; do nothing before the first reconcile."""
    current = state.status()
    if current is not None:
        state.save_status(evolve(current, counters=_counters(current).after_restart(outcome)))


def save_metrics(state: LockedState, document: StatusDocument, metrics: MetricsStatus) -> None:
    """Save the path of the metrics file; `document` is used if status.json no longer exists."""
    state.save_status(evolve(state.status() or document, metrics=metrics))


def phase_of(resolved: Resolved, problems: Sequence[str]) -> str:
    """Return the phase of a node after a reconcile."""
    if problems:
        return DEGRADED
    return CONFIGURED if resolved.intent else UNCONFIGURED


def written_list(state: State, instance_id: str) -> str:
    """Return NO_PROXY as in the status of this instance, empty without one."""
    document = _load(state)
    return render(document.no_proxy) if document.instance_id == instance_id else ""


def covered_units(state: State, instance_id: str) -> frozenset[str]:
    """Return the units with a drop-in as in the status of this instance, none without one."""
    document = _load(state)
    units = map(EnvironmentDropin.unit_of, document.files) if document.instance_id == instance_id else ()
    return frozenset(unit for unit in units if unit)


def _counters(document: StatusDocument) -> Counters:
    """Return the counters since power-on."""
    return document.counters or Counters()


def _with_units(document: StatusDocument, units: OutdatedUnits) -> StatusDocument:
    return evolve(document, stale_units=units.stale, deferred_units=units.deferred)


def _load(state: State) -> StatusDocument:
    """Return the current document; a corrupt one is replaced by an empty one.  Raises FileError."""
    try:
        return state.status() or StatusDocument(phase="")
    except CorruptError:
        return StatusDocument(phase="")


def _save(state: LockedState, document: StatusDocument, phase: str, error: str | None) -> None:
    """Save the document with this phase; `since` stays if the phase does not change."""
    now = int(time.time())
    since = document.since if document.phase == phase else None
    document = evolve(
        document,
        phase=phase,
        error=redact(error) if error else None,
        version=__version__,
        since=since or now,
        updated=now,
        last_success=document.last_success if phase == DEGRADED else now,
    )
    state.save_status(document)
