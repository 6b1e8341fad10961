"""All that an Intent is made of, read once, and the Intent that comes of it."""

from __future__ import annotations

import attrs

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent.intent import Intent, compose
from agent.core.intent.reachability import ProbeResults
from agent.core.net.ca_certificates import CaCertificates
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.core.settings.layers import Layered
from agent.core.settings.schema import Settings


@attrs.frozen
class Inputs:
    """Settings with their provenance, what they name, and facts.

    `on_instance`: the facts are those of the machine that this runs on; only then are probes and
    what they found earlier about this node (not with --root, nor with --facts).
    """

    layered: Layered
    facts: Facts
    cluster_info: ClusterInfo = attrs.field(factory=ClusterInfo)
    credentials: Credentials | None = attrs.field(default=None, repr=False)
    ca: CaCertificates | None = None
    on_instance: bool = False

    @property
    def settings(self) -> Settings:
        return self.layered.settings


@attrs.frozen
class Resolved:
    """Inputs and the Intent that they come to; None on a node without a proxy."""

    inputs: Inputs
    intent: Intent | None = None

    @property
    def settings(self) -> Settings:
        return self.inputs.settings

    @property
    def facts(self) -> Facts:
        return self.inputs.facts

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what the operator should know."""
        inputs = self.inputs
        return (
            inputs.layered.warnings
            + inputs.cluster_info.warnings
            + (self.intent.warnings if self.intent else ())
            + (inputs.ca.warnings if inputs.ca else ())
        )


def resolve(inputs: Inputs, results: ProbeResults, chosen: ProxyUrl | None) -> Resolved:
    """Compose the Intent of these inputs; `chosen` is the one of proxy.url that is in use, the first without it."""
    intent = compose(inputs.settings, inputs.facts, inputs.cluster_info, inputs.credentials, results, chosen)
    return Resolved(inputs, intent)
