"""The one writer of /run/eks-proxy-agent/status.json.  The caller of each function holds the lock."""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs

from agent import __version__
from agent.core.intent.inputs import Resolved
from agent.core.net.proxy_selection import Choice
from agent.core.plan.desired import desired_files
from agent.core.plan.drift import Memory
from agent.core.redact import redact
from agent.core.status.document import CONFIGURED, DEGRADED, UNCONFIGURED, StatusDocument
from agent.core.status.proxy_memory import proxy_statuses
from agent.core.status.records import MetricsStatus, PreflightStatus, ProxyPair, RepairsStatus
from agent.edges.state import LockedState
from agent.errors import FileError


def save_pass(state: LockedState, resolved: Resolved, problems: Sequence[str]) -> None:
    """Say what a pass found, and in `problems` which files it could not do; what the daemon has added stays."""
    intent, facts = resolved.intent, resolved.facts
    files = desired_files(resolved.settings, intent, resolved.inputs.ca)
    document = attrs.evolve(
        _known(state),
        instance_id=facts.instance_id,
        region=facts.region,
        digest=intent.digest() if intent else None,
        proxy=ProxyPair(intent.http_proxy, intent.https_proxy) if intent else None,
        no_proxy=intent.no_proxy if intent else (),
        files=tuple(file.path for file in files if file.merge(None) is not None),
        warnings=resolved.warnings,
    )
    if intent is None:
        document = attrs.evolve(document, proxies=(), preflight=None)  # what was seen of a proxy that is no longer ours
    _save(state, document, phase_of(resolved, problems), "\n".join(problems) or None)


def save_degraded(state: LockedState, error: Exception) -> None:
    """Say that the last pass failed; what the last good pass said stays."""
    _save(state, _known(state), DEGRADED, str(error))


def save_schedule(
    state: LockedState, memory: Memory, stale: Sequence[str] | None, next_pass: float
) -> StatusDocument | None:
    """Say what the daemon knows beside its pass: repairs, stale units, and when it looks again (seconds since 1970).

    What is stale stays when nobody looked (None).  Return what was saved, or None without a
    status.json to add it to.
    """
    known = state.status()
    if known is None:
        return None
    kept = known.stale_units or ()  # at power on there is nothing yet that could be
    document = attrs.evolve(
        known,
        stale_units=kept if stale is None else tuple(stale),
        repairs=RepairsStatus(memory.total, tuple(sorted(memory.contested))),
        next_pass=int(next_pass),
    )
    state.save_status(document)
    return document


def save_proxies(state: LockedState, choice: Choice, preflight: PreflightStatus | None) -> None:
    """Say how the proxies are; nothing before the first pass."""
    known = state.status()
    if known is not None:
        state.save_status(attrs.evolve(known, proxies=proxy_statuses(choice), preflight=preflight))


def save_metrics(state: LockedState, document: StatusDocument, metrics: MetricsStatus) -> None:
    """Say where the metrics are; `document` is what is known when the file is gone."""
    state.save_status(attrs.evolve(state.status() or document, metrics=metrics))


def phase_of(resolved: Resolved, problems: Sequence[str]) -> str:
    """Return the phase of a node after a pass."""
    if problems:
        return DEGRADED
    return CONFIGURED if resolved.intent else UNCONFIGURED


def _known(state: LockedState) -> StatusDocument:
    """What is known so far; one that somebody spoilt is written anew."""
    try:
        return state.status() or StatusDocument(phase="")
    except FileError:
        return StatusDocument(phase="")


def _save(state: LockedState, document: StatusDocument, phase: str, error: str | None) -> None:
    """Save it with this phase; `since` stays when the phase is what it was."""
    now = int(time.time())
    since = document.since if document.phase == phase else None
    document = attrs.evolve(
        document,
        phase=phase,
        error=redact(error) if error else None,
        version=__version__,
        since=since or now,
        updated=now,
        last_success=document.last_success if phase == DEGRADED else now,
    )
    state.save_status(document)
