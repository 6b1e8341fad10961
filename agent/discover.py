"""From the owner's settings and this instance's facts to the Intent: the reading half of every command."""

from __future__ import annotations

import time
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import attrs

from agent.apply import Machine
from agent.core import intent
from agent.core.direct import Answers
from agent.core.facts import Facts, facts_from_json
from agent.core.hints import ClusterHints, first_known, from_arguments, from_node_configs
from agent.core.layers import USER_DATA, Layer, Layered, flag_layer, merge, parse_toml, without_metadata
from agent.core.plan import Anchor, FileState, Plan, Target, make_plan, make_revert
from agent.core.proxy_url import Credentials, parse_credentials
from agent.core.settings import Settings
from agent.core.units import to_enable
from agent.edges.certificates import read_bundle
from agent.edges.disk import Disk
from agent.edges.trust import anchor_path
from agent.errors import FileError, SettingsError

CONFIG = "/etc/eks-proxy-agent/config.toml"
CONFIG_D = "/etc/eks-proxy-agent/config.d"
#: Where nodeadm looks for files, and what it takes for one (amazon-eks-ami, nodeadm/internal/configprovider/file.go).
NODEADM_D = "/etc/eks/nodeadm.d"
NODE_CONFIG_FILES = (".yaml", ".yml", ".json")

#: Seconds that a booting node waits for the metadata service, unless metadata.deadline says otherwise.
BOOT_DEADLINE = 30.0

#: Answers the Facts of this instance, from the metadata service that these settings name; raises MetadataError.
Fetch = Callable[[Settings], Facts]


@attrs.frozen
class Options:
    """The flags of the command line that settings depend on."""

    config: str = ""
    sets: Tuple[str, ...] = ()
    proxy: str = ""
    facts: str = ""
    arguments: Tuple[str, ...] = ()

    def layer(self) -> Layer:
        """The flags as a layer of settings; ARGS of `bootstrap -- ARGS` are bootstrap.arguments."""
        flags = flag_layer(self.sets, self.proxy)
        if not self.arguments:
            return flags
        bootstrap = {**flags.data.get("bootstrap", {}), "arguments": list(self.arguments)}
        return attrs.evolve(flags, data={**flags.data, "bootstrap": bootstrap})


@attrs.frozen
class Discovered:
    """All that a Plan is made of; `intent` is None on a node without a proxy, `anchor` without a CA of the proxy's."""

    layered: Layered
    facts: Facts
    hints: ClusterHints
    intent: Optional[intent.Intent]
    anchor: Optional[Anchor] = None

    @property
    def settings(self) -> Settings:
        return self.layered.settings

    @property
    def warnings(self) -> Tuple[str, ...]:
        """What the owner should know."""
        return (
            self.layered.warnings
            + self.hints.warnings
            + (self.intent.warnings if self.intent else ())
            + (self.anchor.warnings if self.anchor else ())
        )


def ask_metadata_service(settings: Settings, deadline: float, sleep: Callable[[float], None] = time.sleep) -> Facts:
    """Facts from the metadata service within metadata.deadline, else `deadline` seconds; `sleep` may raise to give up."""
    from agent.edges.imds import MetadataClient

    return MetadataClient(settings.metadata.endpoint, settings.metadata.deadline or deadline, sleep=sleep).fetch()


def baked_layers(disk: Disk, options: Options) -> Tuple[Layer, ...]:
    """The files' layers: config.toml and config.d/*.toml in order of their names, or the one of `--config`."""
    if options.config:
        return (parse_toml(options.config, _own_file(options.config)),)
    names = [CONFIG] + [
        "%s/%s" % (CONFIG_D, name)
        for name in disk.list(CONFIG_D)
        if name.endswith(".toml") and not name.startswith(".")
    ]
    found = [(name, disk.read(name)) for name in names]
    layers: List[Layer] = []
    problems: List[str] = []
    for name, content in found:
        if content is None:
            continue
        try:
            layers.append(parse_toml(name, content))
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    return tuple(layers)


def baked(disk: Disk, options: Options) -> Layered:
    """The settings as far as they are known before the metadata service answers."""
    return merge(baked_layers(disk, options) + (options.layer(),))


def instance_layers(machine: Machine, facts: Facts) -> Tuple[Layer, ...]:
    """The layers that belong to this instance: user data parts, then the flags that an earlier `apply` kept."""
    from agent.core.user_data import read_user_data

    texts = read_user_data(facts.user_data).settings
    names = (
        [USER_DATA] if len(texts) == 1 else ["%s, part %d" % (USER_DATA, number) for number in range(1, len(texts) + 1)]
    )
    layers = [parse_toml(name, text.encode("utf-8")) for name, text in zip(names, texts)]
    kept = machine.state.of_instance(facts.instance_id, "flags")
    return tuple(layers) + ((Layer("flags kept by apply", kept),) if kept else ())


def discover(machine: Machine, options: Options, facts: Facts, answers: Answers) -> Discovered:
    """Read everything else that the Intent depends on; no network.

    Raises SettingsError (with all mistakes of all layers) and FileError.
    """
    layered = layered_settings(machine, options, facts)
    settings = layered.settings
    credentials = read_credentials(machine.disk, settings.proxy.credentials_file)
    hints = cluster_hints(machine, settings, facts)
    composed = intent.compose(settings, facts, hints, credentials, answers)
    return Discovered(layered, facts, hints, composed, read_anchor(machine.disk, settings))


def layered_settings(machine: Machine, options: Options, facts: Facts) -> Layered:
    """All layers of settings for this instance; raises SettingsError and FileError."""
    return merge(baked_layers(machine.disk, options) + instance_layers(machine, facts) + (options.layer(),))


def facts_of(machine: Machine, options: Options, fetch: Fetch) -> Facts:
    """This instance's facts: from `--facts`, else by `fetch`.  Raises SettingsError and MetadataError."""
    if options.facts:
        return facts_from_json(_own_file(options.facts).decode("utf-8", "replace"), options.facts)
    return fetch(baked(machine.disk, options).settings)


def cluster_hints(machine: Machine, settings: Settings, facts: Facts) -> ClusterHints:
    """What bootstrap.sh's arguments, else NodeConfigs tell of the cluster.

    NodeConfigs are merged as nodeadm does: those of user data, then the files of /etc/eks/nodeadm.d (multipart or not), a
    later one wins.
    """
    from agent.core.user_data import read_user_data

    texts = list(read_user_data(facts.user_data).node_configs)
    names = ["user data"] if len(texts) == 1 else ["user data, part %d" % (at + 1) for at in range(len(texts))]
    for name in machine.disk.list(NODEADM_D):
        path = "%s/%s" % (NODEADM_D, name)
        content = machine.disk.read(path) if name.lower().endswith(NODE_CONFIG_FILES) else None
        if content:
            parts = read_user_data(content).node_configs or (content.decode("utf-8", "replace"),)
            texts += parts
            names += [path] * len(parts)
    return first_known(
        from_arguments(settings.bootstrap.arguments),
        from_node_configs(texts, names) if texts else ClusterHints(),
    )


def read_credentials(disk: Disk, path: str) -> Optional[Credentials]:
    """The proxy's credentials, or None without a file in the settings; a file that others can read is refused."""
    if not path:
        return None
    content = disk.read(path)
    if content is None:
        raise FileError("proxy.credentials_file: %s does not exist" % path)
    if not disk.private_owner(path):
        raise FileError(
            "proxy.credentials_file: %s has to be root's, with mode 0600" % path,
            hint="chown root %s; chmod 600 %s" % (path, path),
        )
    try:
        return parse_credentials(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise FileError("proxy.credentials_file: %s is not UTF-8" % path) from None
    except ValueError as error:
        raise FileError("proxy.credentials_file: %s %s" % (path, error)) from None


def read_anchor(disk: Disk, settings: Settings) -> Optional[Anchor]:
    """The proxy's CA as a file of the trust store, or None without node.ca_bundle.  Raises FileError."""
    value = settings.node.ca_bundle
    if not value:
        return None
    inline = "-----BEGIN " in value
    name = "node.ca_bundle" if inline else "node.ca_bundle: %s" % value
    content = value.encode("utf-8") if inline else disk.read(value)
    if content is None:
        raise FileError("%s does not exist" % name)
    path = anchor_path(disk)
    if path is None:
        raise FileError("node.ca_bundle: this node has neither update-ca-trust nor update-ca-certificates")
    try:
        bundle = read_bundle(content.decode("ascii", "replace"))
    except ValueError as error:
        raise FileError("%s %s" % (name, error)) from None
    return Anchor(path, bundle.pem, bundle.summaries, tuple("node.ca_bundle: " + text for text in bundle.warnings))


def plan_node(
    machine: Machine, wanted: Sequence[Target], settings: Optional[Settings] = None, *, complete: bool = True
) -> Plan:
    """Look at the files and make the Plan for them; links are followed first, so that a link survives.

    With `settings` the units of node.enable are looked at too (a call of systemctl).
    """
    baseline = machine.state.baseline()
    states: Dict[str, FileState] = {}
    resolved = []
    for target in wanted:
        try:
            path = machine.disk.resolve(target.path)
        except FileError as error:
            path, states[target.path] = target.path, FileState(problem=str(error))
        resolved.append(attrs.evolve(target, path=path))
    for path in [target.path for target in resolved] + list(baseline.files):
        if path not in states:
            states[path] = machine.disk.state(path)
    pending = machine.state.reload_pending
    units = machine.units.show(settings.node.enable) if settings else {}
    enable = to_enable(settings, units, interrupted=pending) if settings else ()
    return make_plan(
        tuple(resolved),
        states,
        baseline,
        complete=complete,
        enable=enable,
        start=enable,
        reload_pending=pending,
        trust_pending=machine.state.trust_pending,
    )


def plan_revert(machine: Machine) -> Plan:
    """Look at the files that we changed and make the Plan that undoes it all."""
    baseline = machine.state.baseline()
    states = {path: machine.disk.state(path) for path in baseline.files}
    state = machine.state
    return make_revert(states, baseline, reload_pending=state.reload_pending, trust_pending=state.trust_pending)


def kept_flags(options: Options) -> Dict[str, object]:
    """What `apply` keeps of its flags for this instance."""
    return without_metadata(options.layer().data)


def _own_file(path: str) -> bytes:
    """A file that the person named, relative to where they stand, not to --root."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise FileError("%s: cannot be read: %s" % (path, error.strerror)) from None
