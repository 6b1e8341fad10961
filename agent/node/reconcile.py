"""One pass: discover, plan, apply, and tell.  Boot, daemon, `apply` and `bootstrap` all do this and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Callable

import attrs

from agent import __version__
from agent.core.facts.instance import Facts, facts_from_json, facts_to_json
from agent.core.intent.intent import Intent
from agent.core.plan import drift
from agent.core.plan.desired import targets
from agent.core.plan.files import systemd_dropin
from agent.core.plan.plan import Change, Plan
from agent.core.redact import redact
from agent.core.settings.schema import Settings
from agent.core.systemd import is_stale, to_release
from agent.edges.clock import moment
from agent.edges.lock import held
from agent.edges.systemd import environ
from agent.errors import AgentError, FileError, SettingsError
from agent.log import get_logger
from agent.node import proxies
from agent.node.apply import Host, apply
from agent.node.inputs import Discovered, discover
from agent.node.planning import desired_digests, plan_node, wanted
from agent.node.reachability import find_out, remember
from agent.node.sources import SettingsSources, kept_flags

CONFIGURED, UNCONFIGURED, DEGRADED = "configured", "unconfigured", "degraded"


@attrs.frozen
class ReconcileResult:
    """A pass that was carried out: what was found, and the Plan that it took (empty when all was right).

    `ask_again`: what was not reached directly at an earlier boot, or did not resolve at this one, may be by now.
    `repaired`: those of the plan's changes that put right what somebody else had changed.
    """

    discovered: Discovered
    plan: Plan
    ask_again: bool = False
    repaired: tuple[Change, ...] = ()

    @property
    def phase(self) -> str:
        """What status.json calls the node now."""
        if self.plan.problems:
            return DEGRADED
        return CONFIGURED if self.discovered.intent else UNCONFIGURED

    def raise_problems(self) -> None:
        """Raise FileError when single files could not be done."""
        if self.plan.problems:
            raise FileError("\n".join(self.plan.problems))


def configure(
    host: Host,
    sources: SettingsSources,
    facts: Facts,
    *,
    keep_flags: bool = False,
    units: bool = True,
    refresh: bool = False,
    daemon: bool = False,
    tell: Callable[[Plan, tuple[Change, ...]], None] = lambda plan, repaired: None,
) -> ReconcileResult:
    """Make the node's files true, and say so in status.json.

    `daemon`: nobody asked for it, so what differs although the same is wanted as before is drift, and counted.
    `tell` gets the Plan and what in it was drift as soon as it is carried out: what is kept of it may then fail to be kept.

    `keep_flags` keeps the flags for this instance, so that later passes without them come to the same Intent.
    `units` looks after node.enable as well; the boot has done that before.  `refresh` asks again what is reached directly.
    Settings are read inside the lock: of two runs at once the later one must not write what the earlier one read.
    Raises AgentError; single files that cannot be done do not hold up the others, see `Pass.raise_problems`.
    """
    reach = find_out(host, sources, facts, refresh=refresh)
    choice = proxies.choose(host, sources, facts, reach.answers, refresh=refresh)
    with held(host.files):
        found = discover(host, sources, facts, reach.answers, choice)
        refuse_unproxied(found.settings, found.intent)
        files, watched = wanted(host, found, units=units)
        desired, memory, now = desired_digests(host, files), host.state.memory(), time.monotonic()
        leave = memory.left_alone(desired) if daemon else frozenset()
        planned = plan_node(host, files, watched, leave=leave)
        plan = apply(planned, host)
        repaired = memory.drifted(plan, desired) if daemon else ()
        tell(plan, repaired)
        if keep_flags:
            _keep_flags(host, facts.instance_id, kept_flags(sources))
        remember(host, facts.instance_id, reach.fresh)
        proxies.remember(host, choice)
        host.state.save_of_instance(facts.instance_id, "facts", json.loads(facts_to_json(facts)))
        desired = memory.still_desired(desired, set(planned.changes) - set(plan.changes))
        host.state.save_memory((memory.after if daemon else memory.asked)(plan, desired, now))
        done = ReconcileResult(found, plan, reach.ask_again, repaired)
        _save_status(host, status(done))
        if not plan.problems:
            host.state.set_ready(True)
    return done


def steady_facts(host: Host, facts: Facts) -> Facts:
    """Facts without what a metadata service forgot for a moment (`drift.steady`), and a word when it forgets."""
    with held(host.files):
        known = host.state.learned(facts.instance_id, "facts")
        try:
            last = facts_from_json(json.dumps(known)) if known else None
        except AgentError:
            last = None
        found, memory = drift.steady(facts, last, host.state.memory(), time.monotonic())
        news, memory = memory.says("missing", ", ".join(memory.missing))
        host.state.save_memory(memory)
    if news:
        meaning = f"stays in place until it was missing {drift.PASSES} times, for {drift.ABSENT:g} s"
        get_logger().warning("metadata.missing", what=tuple(memory.missing), meaning=meaning)
    return found


def refuse_unproxied(settings: Settings, intent: Intent | None) -> None:
    """With the policy "closed", a node without a proxy in its settings is a mistake, and not a node without a wish."""
    if intent is None and settings.failure.policy == "closed":
        raise SettingsError(['failure.policy is "closed" and proxy.url is not set: docker and kubelet stay stopped'])


def release_units(host: Host, done: ReconcileResult) -> tuple[str, ...]:
    """Start, without waiting, what failure.policy = "closed" had refused; answers the names.

    Also when the policy just became "open": the drop-in is gone then, and the unit would stay stopped for ever.
    """
    closed = done.discovered.settings.failure.policy == "closed"
    gates = set(map(systemd_dropin.closed_path, systemd_dropin.GATED_UNITS))
    if not closed and not any(change.path in gates for change in done.plan.changes):
        return ()
    released = to_release(host.units.show(systemd_dropin.GATED_UNITS), closed=closed)
    if released:
        host.units.start(released)
    return released


def stale_units(host: Host, settings: Settings, intent: Intent | None) -> tuple[str, ...]:
    """The running units that need a restart: their process has another proxy environment than the Intent, or is older
    than the proxy's CA in the trust store, which programs read when they start.
    """
    if intent is None:
        return ()
    variables, ca_changed_at = intent.variables(secret=True), host.state.memory().ca_changed_at
    found = []
    for name, unit in host.units.show(settings.node.units).items():
        if unit.active == "active" and unit.main_pid:
            values = environ(unit.main_pid)
            if values and (is_stale(values, variables) or unit.since < (ca_changed_at or 0)):
                found.append(name)
    return tuple(found)


def status(done: ReconcileResult) -> dict[str, Any]:
    """What status.json says of a pass; no credentials, the file is world-readable."""
    intent, facts = done.discovered.intent, done.discovered.facts
    wanted = targets(done.discovered.settings, intent, done.discovered.ca)
    return {
        **_head(done.phase, "\n".join(done.plan.problems) or None),
        "instance_id": facts.instance_id,
        "region": facts.region,
        "intent": intent.digest() if intent else None,
        "proxy": {"http": str(intent.http_proxy), "https": str(intent.https_proxy)} if intent else None,
        "no_proxy": entries(intent),
        "files": [target.path for target in wanted if target.edit(None) is not None],
        "warnings": list(done.discovered.warnings),
        **({} if intent else {"proxies": [], "preflight": None}),  # what was seen of a proxy that is no longer ours
    }


def running_units(host: Host, plan: Plan) -> tuple[str, ...]:
    """The running units whose drop-in a plan takes away; their processes keep what they were started with."""
    units = (systemd_dropin.unit_of(change.path) for change in plan.changes if change.after is None)
    names = [name for name in units if name]
    return tuple(name for name, unit in host.units.show(names).items() if unit.main_pid)


def entries(intent: Intent | None) -> list[dict[str, str]]:
    """NO_PROXY as JSON has it, here and in `plan`."""
    return [{"entry": entry.value, "reason": entry.reason} for entry in intent.no_proxy] if intent else []


def save_degraded(host: Host, error: Exception) -> None:
    """Say in status.json that the last pass failed; what the last good pass said stays."""
    _save_status(host, _head(DEGRADED, str(error)))


def _save_status(host: Host, fresh: Mapping[str, Any]) -> None:
    """Save it over what is known: what the daemon has added stays, and so does since when the phase is what it is."""
    try:
        known = host.state.status() or {}
    except FileError:
        known = {}  # somebody spoilt it; it is written anew
    since = known.get("since") if known.get("phase") == fresh["phase"] else None
    success = {} if fresh["phase"] == DEGRADED else {"last_success": fresh["updated"]}
    host.state.save_status({**known, **fresh, **success, "since": since or fresh["updated"]})


def _head(phase: str, error: str | None) -> dict[str, Any]:
    now = moment()
    shown = redact(error) if error else None
    return {"schema": 1, "version": __version__, "phase": phase, "error": shown, "updated": now}


def _keep_flags(host: Host, instance_id: str, flags: Mapping[str, Any]) -> None:
    """Put the flags of this run over those kept before, key by key."""
    if not flags:
        return
    merged = dict(host.state.of_instance(instance_id, "flags") or {})
    for section, table in flags.items():
        merged[section] = {**merged.get(section, {}), **table}
    host.state.save_of_instance(instance_id, "flags", merged)
