"""Probes of what this instance reaches without the proxy.

Results are kept with the instance, so that NO_PROXY stays stable.

A positive result is kept for the life of the instance.  A negative one is probed again at the next
boot, after READY=1, where it delays nothing.
"""

from __future__ import annotations

from agent.core.intent.inputs import Inputs
from agent.core.intent.intent import endpoint_host
from agent.core.intent.reachability import Candidate, ProbeResult, candidates, results_from_json
from agent.core.record import asdict, field, record
from agent.edges.state import LockedState, State
from agent.errors import AgentError
from agent.log import get_logger

#: Seconds for all probes together.
BOUND = 1.0


@record
class Reachability:
    """All results, and the `fresh` ones, which a command that changes the host has to save."""

    results: dict[str, ProbeResult]
    fresh: dict[str, ProbeResult] = field(factory=dict)

    @property
    def should_reprobe(self) -> bool:
        """Return True if negative probes should be repeated after READY=1.

        That is so if they are of an earlier boot, or if DNS failed.
        """
        return not self.fresh or any(not result.addresses for result in self.fresh.values())


def probe_directly(state: State, inputs: Inputs, bound: float = BOUND) -> Reachability:
    """Probe the endpoints that were never probed on this instance.

    Takes at most `bound` seconds; with 0 nothing is probed.
    """
    cached = recall(state, inputs.facts.instance_id)
    fresh = _probe({candidate.host for candidate in _candidates(inputs)} - set(cached), bound)
    return Reachability({**cached, **fresh}, fresh)


def probe_again(state: State, inputs: Inputs) -> dict[str, ProbeResult]:
    """Probe endpoints with a negative result again; return those reached directly now."""
    cached = recall(state, inputs.facts.instance_id)
    hosts = {candidate.host for candidate in _candidates(inputs)}
    negative = {host for host in hosts if not cached.get(host, ProbeResult()).direct}
    return {host: result for host, result in _probe(negative).items() if result.direct}


def recall(state: State, instance_id: str) -> dict[str, ProbeResult]:
    """Return the results saved for an instance; none if they are corrupt."""
    return results_from_json(state.cached(instance_id, "direct") or {})


def remember(state: LockedState, instance_id: str, fresh: dict[str, ProbeResult]) -> None:
    """Save new results."""
    if fresh:
        results = {**recall(state, instance_id), **fresh}
        plain = {host: asdict(result) for host, result in results.items()}
        state.save_of_instance(instance_id, "direct", plain)


def unprobed_notes(inputs: Inputs) -> tuple[str, ...]:
    """Return notes for people on settings not probed because this is not the instance."""
    settings = inputs.settings
    if inputs.on_instance or not settings.proxy.url:
        return ()
    endpoint = endpoint_host(settings, inputs.cluster_info)
    keys = ["aws.direct"] if settings.aws.direct is None else []
    keys += ["cluster.endpoint_access"] if settings.cluster.endpoint_access == "auto" and endpoint else []
    if not keys:
        return ()
    names = " and ".join(keys)
    return (f'{names}: "auto" is probed only on the instance, so the list may differ there; set explicit values',)


def _candidates(inputs: Inputs) -> tuple[Candidate, ...]:
    settings = inputs.settings
    if not settings.proxy.url or not inputs.on_instance:
        return ()
    return candidates(settings, inputs.facts, endpoint_host(settings, inputs.cluster_info))


def _probe(hosts: set[str], bound: float = BOUND) -> dict[str, ProbeResult]:
    if not hosts or not bound:
        return {}
    from agent.edges import tcp  # with socket; only the first boot of an instance probes

    try:
        return tcp.probe(sorted(hosts), bound=bound)
    except AgentError as error:  # the next reconcile probes
        get_logger().warning("direct.failed", error=str(error))
        return {}
