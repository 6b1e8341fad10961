"""Inputs: settings of all layers, what they name, and facts, each read once.  Nothing below reads a settings file."""

from __future__ import annotations

import math
import time
from typing import Callable

import attrs

from agent.core.facts.cluster_hints import ClusterInfo, first_known, from_arguments, from_node_configs
from agent.core.facts.instance import Facts, facts_from_json
from agent.core.intent.inputs import Inputs
from agent.core.settings.layers import USER_DATA, Layer, parse_toml
from agent.core.settings.schema import Settings
from agent.core.settings.user_data import UserData, read_user_data
from agent.edges.files import FileSystem, Versions
from agent.edges.state import State, instance_file
from agent.node.host import Host
from agent.node.sources import (
    SettingsSources,
    StaticSettings,
    read_ca,
    read_credentials,
    read_own_file,
    static_settings,
)

#: Where nodeadm looks for files, and what it takes for one (amazon-eks-ami,
#: nodeadm/internal/configprovider/file.go).
NODEADM_D = "/etc/eks/nodeadm.d"
NODE_CONFIG_FILES = (".yaml", ".yml", ".json")

#: Seconds that the metadata service is waited for unless metadata.deadline says otherwise: by a
#: node that boots, and by a command that a person waits for.
BOOT_DEADLINE, COMMAND_DEADLINE = 30.0, 2.0


def facts_of(
    static: StaticSettings,
    *,
    default: float = COMMAND_DEADLINE,
    longest: float = math.inf,
    sleep: Callable[[float], None] = time.sleep,
) -> Facts:
    """Return this instance's facts: from `--facts`, else from the metadata service.

    It is waited for metadata.deadline seconds (`default` if that is not set), `longest` at the
    most.  `sleep` may raise to give up.  Raises MetadataError.
    """
    path = static.sources.facts
    if path:
        return facts_from_json(read_own_file(path).decode("utf-8", "replace"), path)
    from agent.edges.imds import MetadataClient

    metadata = static.settings.metadata
    return MetadataClient(metadata.endpoint, min(metadata.deadline or default, longest), sleep=sleep).fetch()


@attrs.frozen
class NodeInputs(Inputs):
    """Inputs of a node, and which versions of which files they were read from."""

    sources: SettingsSources = attrs.field(factory=SettingsSources)
    versions: Versions = ()

    def refreshed(self, host: Host) -> NodeInputs:
        """Return the same, read again if one of the files has changed meanwhile.

        For whoever holds the lock: of two runs at once the later one must not write what the
        earlier one read.
        """
        if host.files.versions(path for path, _ in self.versions) == self.versions:
            return self
        return load_inputs(host, static_settings(host.files, self.sources), self.facts)


def load_inputs(host: Host, static: StaticSettings, facts: Facts) -> NodeInputs:
    """Read everything that the Intent depends on besides the network.

    Raises SettingsError (with all mistakes of all layers) and FileError.
    """
    files, user_data = host.files, read_user_data(facts.user_data)
    versions = static.versions + files.versions([instance_file(facts.instance_id, "flags")])
    layered = static.with_instance(instance_layers(host.state, facts.instance_id, user_data))
    settings = layered.settings
    named = [path for path in (settings.proxy.credentials_file, settings.node.ca_bundle) if path.startswith("/")]
    versions += files.versions([NODEADM_D, *_node_config_paths(files), *named])
    return NodeInputs(
        layered,
        facts,
        cluster_info(files, settings, user_data),
        read_credentials(files, settings.proxy.credentials_file),
        read_ca(files, settings),
        on_the_instance(host, static.sources),
        static.sources,
        versions,
    )


def on_the_instance(host: Host, sources: SettingsSources) -> bool:
    """Return True if what is asked here is answered for this instance: not in another tree, nor with facts from a file."""
    return host.files.live and not sources.facts


def instance_layers(state: State, instance_id: str, user_data: UserData) -> tuple[Layer, ...]:
    """Return the layers of this instance: user data parts, then the flags that an earlier `apply` kept."""
    texts = user_data.settings
    count = len(texts)
    names = [USER_DATA] if count == 1 else [f"{USER_DATA}, part {number}" for number in range(1, count + 1)]
    layers = [parse_toml(name, text.encode("utf-8")) for name, text in zip(names, texts)]
    kept = state.of_instance(instance_id, "flags")
    return (*layers, Layer("flags kept by apply", kept)) if kept else tuple(layers)


def cluster_info(files: FileSystem, settings: Settings, user_data: UserData) -> ClusterInfo:
    """Return what bootstrap.sh's arguments, else NodeConfigs tell of the cluster.

    NodeConfigs are merged as nodeadm does: those of user data, then the files of /etc/eks/nodeadm.d
    (multipart or not), a later one wins.
    """
    texts = list(user_data.node_configs)
    names = ["user data"] if len(texts) == 1 else [f"user data, part {index + 1}" for index in range(len(texts))]
    for path in _node_config_paths(files):
        content = files.read(path)
        if content:
            parts = read_user_data(content).node_configs or (content.decode("utf-8", "replace"),)
            texts += parts
            names += [path] * len(parts)
    return first_known(
        from_arguments(settings.bootstrap.arguments),
        from_node_configs(texts, names) if texts else ClusterInfo(),
    )


def _node_config_paths(files: FileSystem) -> list[str]:
    return [f"{NODEADM_D}/{name}" for name in files.names(NODEADM_D) if name.lower().endswith(NODE_CONFIG_FILES)]
