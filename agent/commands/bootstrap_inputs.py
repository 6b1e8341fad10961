"""Inputs of bootstrap.sh and of the signal to CloudFormation, as far as they can be read."""

from __future__ import annotations

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent.inputs import Resolved
from agent.core.intent.intent import Intent, compose
from agent.core.record import evolve, record
from agent.core.settings.layers import Layer, Layered
from agent.core.settings.schema import Settings
from agent.core.settings.user_data import read_user_data
from agent.node.budget import boot_budget
from agent.node.host import Host
from agent.node.inputs import facts_of, instance_layers, load_inputs
from agent.node.reconcile import cached_network, compose_intent
from agent.node.sources import SettingsSources, StaticSettings, static_settings, usable_settings


@record
class BootstrapInputs:
    """All that bootstrap.sh and the signal depend on, as far as it can be read.

    `settings` have defaults in the place of what is wrong, and `is_complete` if that is nothing.
    `failure` is the first error; without one nothing is None.
    """

    settings: Settings
    static: StaticSettings | None = None
    facts: Facts | None = None
    resolved: Resolved | None = None
    is_complete: bool = False
    failure: Exception | None = None

    @property
    def intent(self) -> Intent | None:
        """Return the Intent, without credentials if they or a NodeConfig cannot be read."""
        if self.resolved:
            return self.resolved.intent
        try:
            return compose(self.settings, self.facts, ClusterInfo()) if self.facts else None
        except Exception:  # noqa: BLE001 -- a signal without the proxy may still arrive
            return None


def read_inputs(host: Host, sources: SettingsSources) -> BootstrapInputs:
    """Read settings, facts and user data; an error ends the reading only of what depends on it."""
    inputs = BootstrapInputs(usable_settings(host.files, sources))
    try:
        inputs = evolve(inputs, static=static_settings(host.files, sources))
    except Exception as error:  # noqa: BLE001 -- any failure has to be signalled
        inputs = evolve(inputs, failure=error)
    settings = inputs.settings
    static = inputs.static or StaticSettings(sources, (), Layer("flags", {}), Layered(settings))
    try:
        deadline, names_proxy = settings.metadata.deadline, bool(settings.proxy.url)
        facts = facts_of(static, boot_budget(deadline, names_proxy=names_proxy))
        inputs = evolve(inputs, facts=facts)
        layers = instance_layers(host.state, facts.instance_id, read_user_data(facts.user_data))
        inputs = evolve(inputs, settings=usable_settings(host.files, sources, layers))
        if inputs.static is None:
            return inputs
        inputs = evolve(inputs, settings=static.with_instance(layers).settings, is_complete=True)
        loaded = load_inputs(host, static, facts)
        return evolve(inputs, resolved=compose_intent(loaded, cached_network(host.state, loaded)))
    except Exception as error:  # noqa: BLE001 -- the same
        return evolve(inputs, failure=inputs.failure or error)


def proxy_environment(intent: Intent | None) -> dict[str, str]:
    """Return the proxy variables.

    Credentials are passed here and never as an argument, which every process can read.
    """
    return dict(intent.variables(secret=True)) if intent else {}
