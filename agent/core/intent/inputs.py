"""The Inputs of an Intent, read once per reconcile, and the Intent composed from them."""

from __future__ import annotations

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent.intent import Intent, compose
from agent.core.intent.reachability import ProbeResults
from agent.core.net.ca_certificates import CaCertificates
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.core.record import field, record
from agent.core.settings.layers import Layered
from agent.core.settings.schema import Settings


@record
class Inputs:
    """Settings with their provenance, the files that they name, and facts.

    `on_instance`: the facts are those of this machine, which is not so with --root or --facts.
    Only then do probes and their cached results apply to this node.  `problems`: what user data and
    NodeConfigs mean for this node, but cannot be used.  `needs_yum_conf`: yum.conf is created if
    it does not exist.
    """

    layered: Layered
    facts: Facts
    cluster_info: ClusterInfo = field(factory=ClusterInfo)
    credentials: Credentials | None = field(default=None, repr=False)
    ca: CaCertificates | None = None
    on_instance: bool = False
    problems: tuple[str, ...] = ()
    needs_yum_conf: bool = True

    @property
    def settings(self) -> Settings:
        return self.layered.settings


@record
class Resolved:
    """Inputs and the Intent composed from them, which is None on a node without a proxy."""

    inputs: Inputs
    intent: Intent | None = None

    @property
    def settings(self) -> Settings:
        return self.inputs.settings

    @property
    def facts(self) -> Facts:
        return self.inputs.facts

    @property
    def problems(self) -> tuple[str, ...]:
        """Return the problems that do not fail a reconcile, each with its remedy."""
        return self.inputs.problems

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings for the operator."""
        inputs = self.inputs
        return (
            inputs.layered.warnings
            + inputs.facts.warnings
            + inputs.cluster_info.warnings
            + (self.intent.warnings if self.intent else ())
            + (inputs.ca.warnings if inputs.ca else ())
        )


def resolve(inputs: Inputs, results: ProbeResults, chosen: ProxyUrl | None) -> Resolved:
    """Compose the Intent of these inputs.

    `chosen` is the element of proxy.url that is in use; None means the first.
    """
    intent = compose(inputs.settings, inputs.facts, inputs.cluster_info, inputs.credentials, results, chosen)
    return Resolved(inputs, intent)
