"""One pass: discover, plan, apply, and tell.  Boot, daemon, `apply` and `bootstrap` all do this and nothing else."""

from __future__ import annotations

import datetime
import json
from typing import Any, Dict, List, Optional, Tuple

import attrs

from agent import __version__
from agent.apply import Machine, apply
from agent.core.facts import facts_to_json
from agent.core.files.dropin import GATED_UNITS
from agent.core.intent import Intent
from agent.core.plan import Plan, targets
from agent.core.settings import Settings
from agent.core.units import is_stale, to_enable, to_release
from agent.discover import Discovered, Fetch, Options, discover, kept_flags, plan_files
from agent.edges.lock import held
from agent.edges.units import environ
from agent.errors import FileError, SettingsError

CONFIGURED, UNCONFIGURED, DEGRADED = "configured", "unconfigured", "degraded"


@attrs.frozen
class Pass:
    """A pass that was carried out: what was found, and the Plan that it took (empty when all was right)."""

    discovered: Discovered
    plan: Plan

    @property
    def phase(self) -> str:
        return CONFIGURED if self.discovered.intent else UNCONFIGURED


def configure(machine: Machine, options: Options, fetch: Fetch, *, keep_flags: bool = False) -> Pass:
    """Discover and `carry_out`."""
    return carry_out(machine, options, discover(machine, options, fetch), keep_flags=keep_flags)


def carry_out(machine: Machine, options: Options, found: Discovered, *, keep_flags: bool = False) -> Pass:
    """Make the node's files true, and say so in status.json.

    `keep_flags` keeps the flags for this instance, so that later passes without them come to the same Intent.
    Raises AgentError; when single files could not be done, all others are, and the error names those.
    """
    refuse_unproxied(found.settings, found.intent)
    instance_id = found.facts.instance_id
    with held(machine.disk):
        plan = plan_files(machine, targets(found.settings, found.intent))
        apply(plan, machine)
        flags = kept_flags(options) if keep_flags else {}
        if flags:
            machine.state.save_of_instance(
                instance_id, "flags", _over(machine.state.of_instance(instance_id, "flags"), flags)
            )
        machine.state.save_of_instance(instance_id, "facts", json.loads(facts_to_json(found.facts)))
        if plan.problems:
            raise FileError("\n".join(plan.problems))
        done = Pass(found, plan)
        machine.state.save_status(status(done))
        machine.state.set_ready(True)
    return done


def refuse_unproxied(settings: Settings, intent: Optional[Intent]) -> None:
    """With the policy "closed", a node without a proxy in its settings is a mistake, and not a node without a wish."""
    if intent is None and settings.failure.policy == "closed":
        raise SettingsError(['failure.policy is "closed" and proxy.url is not set: docker and kubelet stay stopped'])


def settle_units(machine: Machine, settings: Settings) -> Tuple[Tuple[str, ...], Tuple[str, ...]]:
    """Enable and start what node.enable names and is disabled; start what the policy "closed" had refused.

    Answers the names of both.  Nothing waits for a start, and nothing that runs is restarted.
    """
    gated = GATED_UNITS if settings.failure.policy == "closed" else ()
    names = tuple(dict.fromkeys(settings.node.enable + gated))
    units = machine.units.show(names)
    enable, release = (
        to_enable(settings, units),
        to_release({name: unit for name, unit in units.items() if name in gated}),
    )
    if enable:
        machine.units.enable(enable)
    if enable + release:
        machine.units.start(tuple(dict.fromkeys(enable + release)))
    return enable, release


def stale_units(machine: Machine, settings: Settings, intent: Optional[Intent]) -> Tuple[str, ...]:
    """The running units whose process has another proxy environment than the Intent; they need a restart."""
    if intent is None:
        return ()
    variables = intent.variables(secret=True)
    found = []
    for name, unit in machine.units.show(settings.node.units).items():
        if unit.active == "active" and unit.main_pid:
            values = environ(unit.main_pid)
            if values and is_stale(values, variables):
                found.append(name)
    return tuple(found)


def status(done: Pass) -> Dict[str, Any]:
    """What status.json says of a pass; no credentials, the file is world-readable."""
    intent, facts = done.discovered.intent, done.discovered.facts
    wanted = targets(done.discovered.settings, intent)
    return {
        **_head(done.phase, None),
        "instance_id": facts.instance_id,
        "region": facts.region,
        "intent": intent.digest() if intent else None,
        "proxy": {"http": str(intent.http_proxy), "https": str(intent.https_proxy)} if intent else None,
        "no_proxy": [attrs.asdict(entry) for entry in intent.no_proxy] if intent else [],
        "files": [target.path for target in wanted],
        "warnings": list(done.discovered.layered.warnings + (intent.warnings if intent else ())),
    }


def save_degraded(machine: Machine, error: Exception) -> None:
    """Say in status.json that the last pass failed; what the last good pass said stays."""
    known = machine.state.status() or {}
    machine.state.save_status({**known, **_head(DEGRADED, str(error))})


def _head(phase: str, error: Optional[str]) -> Dict[str, Any]:
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"schema": 1, "version": __version__, "phase": phase, "error": error, "updated": now}


def _over(known: Optional[Dict[str, Any]], flags: Dict[str, Any]) -> Dict[str, Any]:
    """Flags of this run over those kept before, key by key."""
    merged: Dict[str, Any] = {section: dict(table) for section, table in (known or {}).items()}
    for section, table in flags.items():
        merged.setdefault(section, {}).update(table)
    return merged


def changed_paths(plan: Plan) -> List[Tuple[str, str]]:
    """What a plan does to each file, for people: (verb, path)."""
    verbs = {(True, False): "created", (False, False): "changed", (False, True): "removed"}
    return [(verbs.get((change.before is None, change.after is None), "kept"), change.path) for change in plan.changes]
