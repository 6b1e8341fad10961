"""Inputs: settings of all layers, the files that they name, and facts, each read once.

Nothing below reads a settings file.
"""

from __future__ import annotations

import time

from agent.core.facts.cluster_hints import ClusterInfo, first_known, from_arguments, from_node_configs, from_scripts
from agent.core.facts.instance import Facts, facts_from_json
from agent.core.intent.inputs import Inputs
from agent.core.net.proxy_url import Credentials
from agent.core.plan.drift import Memory
from agent.core.plan.files.environment import NODE_ENV
from agent.core.record import evolve, field, record
from agent.core.settings.layers import USER_DATA, Layer, parse_toml
from agent.core.settings.schema import Settings
from agent.core.settings.toml_text import USER_DATA_LIMIT
from agent.core.settings.user_data import UserData, read_user_data
from agent.edges.files import FileSystem, Versions
from agent.edges.state import State, instance_file
from agent.errors import AgentError, CommandError
from agent.node.budget import Budget
from agent.node.host import Host
from agent.node.kept_flags import kept_layer
from agent.node.package_manager import needs_yum_conf
from agent.node.sources import (
    SettingsSources,
    StaticSettings,
    read_ca,
    read_local_file,
    static_settings,
)

#: The directory where nodeadm looks for NodeConfigs, and the suffixes that it accepts
#: (amazon-eks-ami, nodeadm/internal/configprovider/file.go).
NODEADM_D = "/etc/eks/nodeadm.d"
NODE_CONFIG_FILES = (".yaml", ".yml", ".json")

#: Seconds that a command waits for the metadata service, unless metadata.deadline is set: an
#: operator waits for the command.
COMMAND_DEADLINE = 2.0


def facts_of(static: StaticSettings, budget: Budget | None = None) -> Facts:
    """Return this instance's facts: from `--facts`, else from the metadata service.

    Waits for it as long as the budget allows, by default that of a command.  Raises MetadataError.
    """
    path = static.sources.facts
    if path:
        return facts_from_json(read_local_file(path).decode("utf-8", "replace"), path)
    from agent.edges.imds import fetch_facts

    metadata = static.settings.metadata
    budget = budget or Budget(metadata.deadline or COMMAND_DEADLINE)
    deadline, unreachable_deadline = budget.for_metadata()
    return fetch_facts(
        metadata.endpoint,
        deadline,
        unreachable_deadline=unreachable_deadline,
        waiting=budget.report,
        sleep=budget.sleep,
    )


@record
class NodeInputs(Inputs):
    """Inputs of a node, and the versions of the files that they were read from.

    `command_source`: the digest of proxy.credentials_command if it was run just now.  `failure`:
    its error, if it failed and the credentials in force stay.
    """

    sources: SettingsSources = field(factory=SettingsSources)
    versions: Versions = ()
    command_source: str = ""
    failure: AgentError | None = None

    def refreshed(self, host: Host) -> NodeInputs:
        """Return the same, or read again if one of the files has changed meanwhile.

        Call it with the lock held.  Of two runs at the same time, the later one must not write
        outdated values.
        """
        if host.files.versions(path for path, _ in self.versions) == self.versions:
            return self
        fresh = load_inputs(host, static_settings(host.files, self.sources), self.facts)
        if self.command_source:
            from agent.node.credentials import source_of

            if source_of(fresh.settings) == self.command_source:
                # After a failure those in force count; another run may have renewed them meanwhile.
                credentials = (fresh.credentials if self.failure else None) or self.credentials
                source, failure = self.command_source, self.failure
                return evolve(fresh, credentials=credentials, command_source=source, failure=failure)
        return fresh.with_command_output(host, host.state.memory())

    def with_command_output(self, host: Host, memory: Memory) -> NodeInputs:
        """Return the same with what proxy.credentials_command prints, if it is due.

        If it fails, the credentials in force stay; without any it raises CommandError.  Another
        tree, and facts from a file, are not this node: the command does not run for them.
        """
        proxy = self.settings.proxy
        if not (proxy.credentials_command and proxy.url and self.on_instance):
            return self
        from agent.node.credentials import run_command, source_of

        source = source_of(self.settings)
        if self.credentials and not memory.are_credentials_due(source, time.monotonic()):
            return self
        try:
            credentials = run_command(host, proxy, self.facts.region)
        except CommandError as error:
            if self.credentials is None:
                raise
            failure = CommandError(f"{error}; the last credentials stay in force", hint=error.hint)
            return evolve(self, command_source=source, failure=failure)
        return evolve(self, credentials=credentials, command_source=source)


def load_inputs(host: Host, static: StaticSettings, facts: Facts) -> NodeInputs:
    """Read everything that the Intent depends on, except the network.

    Raises SettingsError (with all mistakes of all layers) and FileError.
    """
    files, user_data = host.files, read_user_data(facts.user_data)
    versions = static.versions + files.versions([instance_file(facts.instance_id, "flags")])
    layered = static.with_instance(instance_layers(host.state, facts.instance_id, user_data))
    settings = layered.settings
    named_files = [path for path in (settings.proxy.credentials_file, settings.node.ca_bundle) if path.startswith("/")]
    named_files += [NODE_ENV] if settings.proxy.credentials_command else []  # it has the credentials in force
    versions += files.versions([NODEADM_D, *_node_config_paths(files), *named_files])
    info = cluster_info(files, settings, user_data)
    return NodeInputs(
        layered,
        facts,
        info,
        credentials_of(host, settings),
        read_ca(files, settings),
        is_on_instance(host, static.sources),
        user_data.problems + info.problems,
        needs_yum_conf(files),
        static.sources,
        versions,
    )


def credentials_of(host: Host, settings: Settings) -> Credentials | None:
    """Read the proxy's credentials without running a command; None if there are none.

    Raises FileError.
    """
    if not settings.proxy.credentials_keys:
        return None
    from agent.node.credentials import read_credentials  # most proxies require none

    return read_credentials(host, settings.proxy)


def credentials_notes(host: Host, settings: Settings, why: str) -> tuple[str, ...]:
    """Return notes for people on credentials that are not read again, and `why`."""
    if not settings.proxy.credentials_keys:
        return ()
    from agent.node.credentials import not_run_notes

    return not_run_notes(host, settings, why)


def is_on_instance(host: Host, sources: SettingsSources) -> bool:
    """Return True if probes from here are valid for this instance.

    They are not with another tree (`--root`), nor with facts from a file.
    """
    return host.files.live and not sources.facts


def instance_layers(state: State, instance_id: str, user_data: UserData) -> tuple[Layer, ...]:
    """Return the layers of this instance: parts of user data, then the flags that `apply` kept."""
    texts = user_data.settings
    names = _user_data_names(len(texts))
    layers = [parse_toml(name, text.encode("utf-8"), USER_DATA_LIMIT) for name, text in zip(names, texts)]
    kept = kept_layer(state, instance_id)
    return (*layers, kept) if kept else tuple(layers)


def cluster_info(files: FileSystem, settings: Settings, user_data: UserData) -> ClusterInfo:
    """Return what bootstrap.sh's arguments, else NodeConfigs, say about the cluster.

    NodeConfigs are merged as nodeadm merges them: those of user data, then the files of
    /etc/eks/nodeadm.d (multipart or not); a later one wins.
    """
    texts = list(user_data.node_configs)
    names = _user_data_names(len(texts))
    for path in _node_config_paths(files):
        content = files.read(path)
        if content:
            parts = read_user_data(content, path).node_configs or (content.decode("utf-8", "replace"),)
            texts += parts
            names += [path] * len(parts)
    return first_known(
        from_arguments(settings.bootstrap.arguments),
        from_node_configs(texts, names, _proxies(settings)) if texts else ClusterInfo(),
        from_scripts(user_data.scripts),
    )


def _proxies(settings: Settings) -> set[str]:
    return {str(url) for url in (*settings.proxy.url, settings.proxy.https_url) if url}


def _user_data_names(count: int) -> list[str]:
    """Return names for error texts for so many parts of user data."""
    return [USER_DATA] if count == 1 else [f"{USER_DATA}, part {number}" for number in range(1, count + 1)]


def _node_config_paths(files: FileSystem) -> list[str]:
    return [f"{NODEADM_D}/{name}" for name in files.names(NODEADM_D) if name.lower().endswith(NODE_CONFIG_FILES)]
