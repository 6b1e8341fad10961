"""What this instance reaches without the proxy: asked once, remembered with the instance, so that NO_PROXY stays stable.

A yes is kept for the instance's life.  A no is asked again at the next boot, after READY=1, so that
it costs no time.
"""

from __future__ import annotations

from ipaddress import ip_address

import attrs

from agent.core.intent.inputs import Inputs
from agent.core.intent.intent import endpoint_host
from agent.core.intent.reachability import Candidate, ProbeResult, candidates
from agent.edges import tcp
from agent.edges.state import LockedState, State

#: Seconds for all probes together.
BOUND = 1.0


@attrs.frozen
class Reachability:
    """All results known now, and those that are new: to be remembered by a command that changes the host."""

    results: dict[str, ProbeResult]
    fresh: dict[str, ProbeResult] = attrs.field(factory=dict)

    @property
    def ask_again(self) -> bool:
        """Return True if a negative probe should be repeated after READY=1: it is of an earlier boot, or DNS failed."""
        return not self.fresh or any(not result.addresses for result in self.fresh.values())


def probe_directly(state: State, inputs: Inputs) -> Reachability:
    """Probe what was never asked on this instance.  Takes BOUND seconds at most."""
    known = recall(state, inputs.facts.instance_id)
    fresh = _probe({candidate.host for candidate in _wanted(inputs)} - set(known))
    return Reachability({**known, **fresh}, fresh)


def probe_again(state: State, inputs: Inputs) -> dict[str, ProbeResult]:
    """Probe again where the answer was no, and return what says yes by now."""
    known = recall(state, inputs.facts.instance_id)
    no = {one.host for one in _wanted(inputs) if not known.get(one.host, ProbeResult()).direct}
    return {host: result for host, result in _probe(no).items() if result.direct}


def recall(state: State, instance_id: str) -> dict[str, ProbeResult]:
    """Return the results remembered for an instance; what is not of our making is asked again."""
    known = state.cached(instance_id, "direct") or {}
    try:
        return {
            host: ProbeResult(bool(result["direct"]), tuple(str(ip_address(text)) for text in result["addresses"]))
            for host, result in known.items()
        }
    except (KeyError, TypeError, ValueError):
        return {}


def remember(state: LockedState, instance_id: str, fresh: dict[str, ProbeResult]) -> None:
    """Save new results."""
    if fresh:
        results = {**recall(state, instance_id), **fresh}
        plain = {host: attrs.asdict(result) for host, result in results.items()}
        state.save_of_instance(instance_id, "direct", plain)


def left_open(inputs: Inputs) -> tuple[str, ...]:
    """Return what was not probed because this is not the instance, for people."""
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


def _wanted(inputs: Inputs) -> tuple[Candidate, ...]:
    settings = inputs.settings
    if not settings.proxy.url or not inputs.on_instance:
        return ()
    return candidates(settings, inputs.facts, endpoint_host(settings, inputs.cluster_info))


def _probe(hosts: set[str]) -> dict[str, ProbeResult]:
    return tcp.ask(sorted(hosts), bound=BOUND) if hosts else {}
