"""From the owner's settings and this instance's facts to the Intent: the reading half of every command."""

from __future__ import annotations

import time
from typing import Callable

import attrs

from agent.core.facts.cluster_hints import ClusterInfo, first_known, from_arguments, from_node_configs
from agent.core.facts.instance import Facts, facts_from_json
from agent.core.intent import intent
from agent.core.intent.reachability import ProbeResults
from agent.core.net.choice_json import choice_from_json
from agent.core.net.proxy_selection import Choice, current
from agent.core.plan.plan import CaCertificates
from agent.core.settings.layers import USER_DATA, Layer, Layered, merge, parse_toml
from agent.core.settings.schema import Settings
from agent.node.apply import Host
from agent.node.sources import SettingsSources, baked, read_ca, read_credentials, read_own_file, static_layers

#: Where nodeadm looks for files, and what it takes for one (amazon-eks-ami, nodeadm/internal/configprovider/file.go).
NODEADM_D = "/etc/eks/nodeadm.d"
NODE_CONFIG_FILES = (".yaml", ".yml", ".json")

#: Seconds that a booting node waits for the metadata service, unless metadata.deadline says otherwise.
BOOT_DEADLINE = 30.0

#: Answers the Facts of this instance, from the metadata service that these settings name; raises MetadataError.
Fetch = Callable[[Settings], Facts]


@attrs.frozen
class Discovered:
    """All that a Plan is made of; `intent` is None on a node without a proxy, `anchor` without a CA of the proxy's."""

    layered: Layered
    facts: Facts
    cluster_info: ClusterInfo
    intent: intent.Intent | None
    ca: CaCertificates | None = None

    @property
    def settings(self) -> Settings:
        return self.layered.settings

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the owner should know."""
        return (
            self.layered.warnings
            + self.cluster_info.warnings
            + (self.intent.warnings if self.intent else ())
            + (self.ca.warnings if self.ca else ())
        )


def ask_metadata_service(settings: Settings, deadline: float, sleep: Callable[[float], None] = time.sleep) -> Facts:
    """Facts from the metadata service within `deadline` seconds; `sleep` may raise to give up."""
    from agent.edges.imds import MetadataClient

    return MetadataClient(settings.metadata.endpoint, deadline, sleep=sleep).fetch()


def instance_layers(host: Host, facts: Facts) -> tuple[Layer, ...]:
    """The layers that belong to this instance: user data parts, then the flags that an earlier `apply` kept."""
    from agent.core.settings.user_data import read_user_data

    texts = read_user_data(facts.user_data).settings
    names = [USER_DATA] if len(texts) == 1 else [f"{USER_DATA}, part {number}" for number in range(1, len(texts) + 1)]
    layers = [parse_toml(name, text.encode("utf-8")) for name, text in zip(names, texts)]
    kept = host.state.of_instance(facts.instance_id, "flags")
    return tuple(layers) + ((Layer("flags kept by apply", kept),) if kept else ())


def discover(
    host: Host, sources: SettingsSources, facts: Facts, answers: ProbeResults, choice: Choice | None = None
) -> Discovered:
    """Read everything else that the Intent depends on; no network.

    `choice` is one of the proxies that was just made; without it the one that this boot remembers counts.
    Raises SettingsError (with all mistakes of all layers) and FileError.
    """
    layered = layered_settings(host, sources, facts)
    settings = layered.settings
    credentials = read_credentials(host.files, settings.proxy.credentials_file)
    cluster_info = cluster_hints(host, settings, facts)
    chosen = current(settings.proxy.url, choice or remembered_choice(host, sources))
    composed = intent.compose(settings, facts, cluster_info, credentials, answers, chosen)
    return Discovered(layered, facts, cluster_info, composed, read_ca(host.files, settings))


def remembered_choice(host: Host, sources: SettingsSources) -> Choice | None:
    """The choice among several proxies that was made since power on, if it is this machine's."""
    return choice_from_json(host.state.proxies().get("choice")) if on_the_instance(host, sources) else None


def on_the_instance(host: Host, sources: SettingsSources) -> bool:
    """Whether what is asked would be answered for this instance: not so in another tree, or with facts from a file."""
    return host.files.live and not sources.facts


def layered_settings(host: Host, sources: SettingsSources, facts: Facts) -> Layered:
    """All layers of settings for this instance; raises SettingsError and FileError."""
    return merge(static_layers(host.files, sources) + instance_layers(host, facts) + (sources.layer(),))


def facts_of(host: Host, sources: SettingsSources, fetch: Fetch) -> Facts:
    """This instance's facts: from `--facts`, else by `fetch`.  Raises SettingsError and MetadataError."""
    if sources.facts:
        return facts_from_json(read_own_file(sources.facts).decode("utf-8", "replace"), sources.facts)
    return fetch(baked(host.files, sources).settings)


def cluster_hints(host: Host, settings: Settings, facts: Facts) -> ClusterInfo:
    """What bootstrap.sh's arguments, else NodeConfigs tell of the cluster.

    NodeConfigs are merged as nodeadm does: those of user data, then the files of /etc/eks/nodeadm.d (multipart or not), a
    later one wins.
    """
    from agent.core.settings.user_data import read_user_data

    texts = list(read_user_data(facts.user_data).node_configs)
    names = ["user data"] if len(texts) == 1 else ["user data, part %s" % (at + 1) for at in range(len(texts))]
    for name in host.files.list(NODEADM_D):
        path = f"{NODEADM_D}/{name}"
        content = host.files.read(path) if name.lower().endswith(NODE_CONFIG_FILES) else None
        if content:
            parts = read_user_data(content).node_configs or (content.decode("utf-8", "replace"),)
            texts += parts
            names += [path] * len(parts)
    return first_known(
        from_arguments(settings.bootstrap.arguments),
        from_node_configs(texts, names) if texts else ClusterInfo(),
    )
