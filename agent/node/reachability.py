"""What this instance reaches without the proxy: asked once, remembered with the instance, so that NO_PROXY stays stable.

A yes is kept for the instance's life.  A no is asked again at the next boot, after READY=1, so that it costs no time.
"""

from __future__ import annotations

from ipaddress import ip_address

import attrs

from agent.core.facts.instance import Facts
from agent.core.intent.intent import endpoint_host
from agent.core.intent.reachability import Candidate, ProbeResult, candidates
from agent.core.settings.schema import Settings
from agent.edges import tcp
from agent.node.apply import Host
from agent.node.inputs import cluster_hints, layered_settings, on_the_instance
from agent.node.sources import SettingsSources

#: Seconds for all questions together.
BOUND = 1.0


@attrs.frozen
class Reachability:
    """All answers known now, and those that are new: to be remembered by a command that changes the machine."""

    answers: dict[str, ProbeResult]
    fresh: dict[str, ProbeResult] = attrs.field(factory=dict)

    @property
    def ask_again(self) -> bool:
        """Whether a no deserves another question after READY=1: it is of an earlier boot, or the name did not resolve."""
        return not self.fresh or any(not answer.addresses for answer in self.fresh.values())


def find_out(host: Host, sources: SettingsSources, facts: Facts, *, refresh: bool = False) -> Reachability:
    """Ask what was never asked on this instance; with `refresh` ask everything.  Takes BOUND seconds at most."""
    known = {} if refresh else recall(host, facts.instance_id)
    fresh = _ask({one.host for one in _wanted(host, sources, facts)} - set(known))
    return Reachability({**known, **fresh}, fresh)


def ask_again(host: Host, sources: SettingsSources, facts: Facts) -> dict[str, ProbeResult]:
    """Ask where the answer was no; what says yes by now."""
    known = recall(host, facts.instance_id)
    no = {one.host for one in _wanted(host, sources, facts) if not known.get(one.host, ProbeResult()).direct}
    return {name: answer for name, answer in _ask(no).items() if answer.direct}


def recall(host: Host, instance_id: str) -> dict[str, ProbeResult]:
    """The answers remembered for an instance; what is not of our making is asked again."""
    known = host.state.learned(instance_id, "direct") or {}
    try:
        return {
            name: ProbeResult(bool(answer["direct"]), tuple(str(ip_address(text)) for text in answer["addresses"]))
            for name, answer in known.items()
        }
    except (KeyError, TypeError, ValueError):
        return {}


def remember(host: Host, instance_id: str, fresh: dict[str, ProbeResult]) -> None:
    """Keep new answers."""
    if fresh:
        answers = {**recall(host, instance_id), **fresh}
        plain = {name: attrs.asdict(answer) for name, answer in answers.items()}
        host.state.save_of_instance(instance_id, "direct", plain)


def _wanted(host: Host, sources: SettingsSources, facts: Facts) -> tuple[Candidate, ...]:
    settings = layered_settings(host, sources, facts).settings
    if not settings.proxy.url or not on_the_instance(host, sources):
        return ()
    return candidates(settings, facts, endpoint_host(settings, cluster_hints(host, settings, facts)))


def left_open(host: Host, sources: SettingsSources, settings: Settings, endpoint: str) -> tuple[str, ...]:
    """What was not asked because this is not the instance, for people; `endpoint` is the API server's host, if known."""
    if on_the_instance(host, sources) or not settings.proxy.url:
        return ()
    keys = ["aws.direct"] if settings.aws.direct is None else []
    keys += ["cluster.endpoint_access"] if settings.cluster.endpoint_access == "auto" and endpoint else []
    if not keys:
        return ()
    names = " and ".join(keys)
    return (f'{names}: "auto" is asked on the instance only, so its list may differ; set what is known',)


def _ask(hosts: set[str]) -> dict[str, ProbeResult]:
    return tcp.ask(sorted(hosts), bound=BOUND) if hosts else {}
