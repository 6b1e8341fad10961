"""One reconcile: inputs, network, Intent, Plan, apply, status.

Boot, daemon, `apply` and `bootstrap` do this and nothing else.
"""

from __future__ import annotations

import enum
import json
import time
from typing import NamedTuple

from agent.core.facts.instance import Facts, facts_to_json
from agent.core.intent.inputs import Inputs, Resolved, resolve
from agent.core.intent.intent import Intent
from agent.core.net.proxy_selection import Choice, current
from agent.core.noproxy.entries import render
from agent.core.plan.accepted import Accepted, inputs_of
from agent.core.plan.drift import Memory
from agent.core.plan.plan import Change, Plan
from agent.core.record import evolve, record
from agent.core.settings.schema import Settings
from agent.edges.state import READY, LockedState, State
from agent.errors import AgentError, FileError, SettingsError
from agent.node import kept_flags, proxies, reachability, status_file
from agent.node.apply import apply, finish_commands
from agent.node.change_log import log_changes
from agent.node.elsewhere import place_warnings
from agent.node.host import Host
from agent.node.inputs import NodeInputs, load_inputs
from agent.node.overrides import override_warnings
from agent.node.planning import desired_digests, node_files, plan_node
from agent.node.reachability import Reachability
from agent.node.sources import StaticSettings, settings_to_keep
from agent.node.status_file import phase_of
from agent.node.waiting import order_warnings


class Trigger(enum.Enum):
    """Reason for a reconcile, as far as that decides what it does.

    COMMAND: an operator runs it, so no difference counts as drift.  DAEMON_BOOT: units of
    node.enable are enabled too.  DAEMON_CYCLE: files only; a unit that was disabled since the boot
    stays disabled.
    """

    COMMAND = "command"
    DAEMON_BOOT = "boot"
    DAEMON_CYCLE = "cycle"


class Network(NamedTuple):
    """Results of the network, and those that are fresh; `choice` is the proxy in use."""

    reachability: Reachability
    choice: Choice | None
    fresh_choice: Choice | None


#: The hint for problems of files that no unit needs.
_ONLY_SPARE = "the units of node.units are configured without it; fix it by hand, then run: eks-proxy-agent apply"


@record
class ReconcileResult:
    """Result of one reconcile: its inputs, and the Plan carried out (empty if nothing differed).

    `should_reprobe`: endpoints that were not reached directly at an earlier boot, or did not
    resolve at this one, may be reachable by now. `repaired`: those of the plan's changes that
    repaired drift.  `unit_warnings`: what keeps units from getting the proxy.  `failure`: why the
    credentials are not read again; the last ones stay in force.
    """

    resolved: Resolved
    plan: Plan
    should_reprobe: bool = False
    repaired: tuple[Change, ...] = ()
    unit_warnings: tuple[str, ...] = ()
    failure: AgentError | None = None

    @property
    def problems(self) -> tuple[str, ...]:
        """Return why the node is degraded: problems of single files, and the `failure`."""
        return self.plan.problems + ((str(self.failure),) if self.failure else ())

    @property
    def settings(self) -> Settings:
        return self.resolved.settings

    @property
    def intent(self) -> Intent | None:
        return self.resolved.intent

    @property
    def phase(self) -> str:
        """Return the phase of the node, as in status.json."""
        return phase_of(self.resolved, self.problems)

    def raise_problems(self) -> None:
        """Raise AgentError if the node is degraded."""
        if self.plan.problems:
            raise FileError("\n".join(self.problems), hint=_ONLY_SPARE if has_configured_units(self.plan) else "")
        if self.failure:
            raise self.failure

    def raise_unit_problems(self) -> None:
        """Raise FileError if units are not configured because files could not be changed."""
        if not has_configured_units(self.plan):
            self.raise_problems()


def reconcile(host: Host, static: StaticSettings, facts: Facts, trigger: Trigger) -> ReconcileResult:
    """Bring the node's files to the desired state, and record the result in status.json.

    Raises AgentError.  A single file that cannot be changed does not hold up the others, see
    ReconcileResult.raise_problems.
    """
    inputs = load_inputs(host, static, facts)
    inputs = inputs.with_command_output(host, Memory() if trigger is Trigger.COMMAND else host.state.memory())
    network = probe(host, inputs)
    with host.locked() as state:
        inputs = inputs.refreshed(host)
        resolved = compose_intent(inputs, network)
        require_proxy(resolved)
        files = node_files(host, resolved)
        desired, memory = desired_digests(host, files), state.memory()
        contested = frozenset() if trigger is Trigger.COMMAND else memory.contested_paths(desired)
        planned = plan_node(host, files, _enabling(resolved, trigger), skip=contested)
        plan = finish_commands(apply(planned, host, state), host, state)
        repaired = () if trigger is Trigger.COMMAND else memory.drifted(plan, desired)
        if trigger is not Trigger.COMMAND:
            log_changes(plan, repaired)
        warnings = override_warnings(host.files, resolved, plan) + place_warnings(host.files, resolved)
        warnings += order_warnings(host, files)
        _remember(state, static, inputs, network)
        plan = _open_gates(state, resolved.settings, plan)
        result = ReconcileResult(
            resolved, plan, network.reachability.should_reprobe, repaired, warnings, inputs.failure
        )
        desired = memory.still_desired(desired, set(planned.changes) - set(plan.changes))
        remembered = memory.after_command if trigger is Trigger.COMMAND else memory.after_daemon
        memory = remembered(plan, desired, time.monotonic())
        memory = _with_credentials(memory, inputs, result)
        state.save_memory(_with_list(state, memory, resolved, network))
        status_file.save_reconcile(state, resolved, result.problems, warnings)
    return result


def has_configured_units(plan: Plan) -> bool:
    """Return True if all problems of an applied plan concern files that no unit needs."""
    return all(problem.partition(": ")[0] in plan.spare for problem in plan.problems)


def probe(host: Host, inputs: Inputs) -> Network:
    """Probe direct endpoints and proxies that have no cached result; nothing is saved.

    A spent budget leaves the probes to a later reconcile.
    """
    state, budget = host.state, host.budget
    reached = reachability.probe_directly(state, inputs, budget.bounded(reachability.BOUND))
    fresh = proxies.choose(state, inputs, reached.results, budget.bounded(proxies.CHOICE_BOUND))
    return Network(reached, fresh or proxies.remembered_choice(state, inputs), fresh)


def cached_network(state: State, inputs: Inputs) -> Network:
    """Return the cached results of the network, without any request."""
    results = reachability.recall(state, inputs.facts.instance_id)
    return Network(Reachability(results), proxies.remembered_choice(state, inputs), None)


def compose_intent(inputs: Inputs, network: Network) -> Resolved:
    """Compose the Intent from the inputs and the proxy in use."""
    return resolve(inputs, network.reachability.results, current(inputs.settings.proxy.url, network.choice))


def require_proxy(resolved: Resolved) -> None:
    """Raise SettingsError for policy "closed" without a proxy, which is a mistake."""
    if resolved.intent is None and resolved.settings.failure.policy == "closed":
        raise SettingsError(
            ['failure.policy is "closed" but proxy.url is not set: docker and kubelet stay stopped; set proxy.url']
        )


def forget_network(state: LockedState, instance_id: str) -> None:
    """Forget the results of the network: the next reconcile probes and chooses a proxy again."""
    if state.cached(instance_id, "direct"):
        state.save_of_instance(instance_id, "direct", {})
    memory = state.proxies()
    if memory.choice:
        state.save_proxies(memory._replace(choice=None))


def _enabling(resolved: Resolved, trigger: Trigger) -> Settings | None:
    """Return the settings if this reconcile enables units (node.enable), else None.

    A cycle of the daemon enables none.
    """
    return resolved.settings if resolved.intent and trigger is not Trigger.DAEMON_CYCLE else None


def _with_credentials(memory: Memory, inputs: NodeInputs, result: ReconcileResult) -> Memory:
    """Return the memory with the command whose credentials are now in node.env."""
    if not inputs.command_source or result.problems:
        return memory
    from agent.node.credentials import next_run

    return evolve(memory, credentials_source=inputs.command_source, credentials_due=next_run(inputs.settings))


def _with_list(state: LockedState, memory: Memory, resolved: Resolved, network: Network) -> Memory:
    """Return the memory with the composed NO_PROXY, before status.json is written.

    Units that are new although the settings name none are those of a new version of the agent.
    """
    if resolved.intent is None:
        return evolve(memory, accepted=Accepted())
    inputs = inputs_of(resolved.inputs, network.reachability.results)
    written = status_file.written_list(state, resolved.facts.instance_id)
    covered = status_file.covered_units(state, resolved.facts.instance_id)
    is_default = ("node", "units") not in resolved.inputs.layered.raw
    new = [unit for unit in resolved.settings.node.units if covered and is_default and unit not in covered]
    return memory.after_list(inputs, render(resolved.intent.no_proxy), written, new)


def _open_gates(state: LockedState, settings: Settings, plan: Plan) -> Plan:
    """Create the ready file if the units are configured, and return the plan.

    A /run without room for it is a problem only if docker waits for the file.
    """
    if not has_configured_units(plan):
        return plan
    state.set_ready()
    problem = state.not_saved.get(READY)
    if settings.failure.policy == "closed" and problem and not state.ready:
        return evolve(plan, problems=(*plan.problems, problem))
    return plan


def _remember(state: LockedState, static: StaticSettings, inputs: Inputs, network: Network) -> None:
    """Save with the instance what later reconciles read."""
    instance_id = inputs.facts.instance_id
    if static.sources.keep:
        kept_flags.keep(state, instance_id, settings_to_keep(static.sources))
    reachability.remember(state, instance_id, network.reachability.fresh)
    proxies.remember(state, network.fresh_choice)
    state.save_of_instance(instance_id, "facts", json.loads(facts_to_json(inputs.facts)))
