"""User data for one way, from the settings: parts, size, and what it cannot carry.  Pure."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping, Sequence

from agent.core.facts.cluster_hints import from_node_configs
from agent.core.record import record
from agent.core.redact import redact
from agent.core.settings.layers import Layered
from agent.core.settings.user_data import NODE_CONFIG_TYPE
from agent.core.userdata import early, node_config
from agent.core.userdata.early import EarlyProxy
from agent.core.userdata.forms import text_for
from agent.core.userdata.install_script import Installation, install_script
from agent.core.userdata.multipart import TextPart, multipart, node_config_part, script_part, settings_part
from agent.core.userdata.package import Package
from agent.core.userdata.toml_writer import toml_of
from agent.core.userdata.way import ADDED, LIMIT, Way
from agent.errors import AgentError, SettingsError, UsageError

#: Settings that name what is not in the user data: files, and credentials of systemd.
_OF_THE_IMAGE = ("credentials_file", "credentials")


@record
class RenderRequest:
    """Way, settings and flags of one rendering.

    `package`: None if the image has the agent.  `node_configs`: the operator's own, as pairs of
    label and text.  `name`: of the EC2NodeClass.
    """

    way: Way
    layered: Layered
    package: Package | None = None
    region: str = ""
    node_configs: tuple[tuple[str, str], ...] = ()
    certificate_authority: str = ""
    name: str = "default"

    @property
    def in_script(self) -> bool:
        """Return True if the script writes the settings, because EKS may drop a part of ours."""
        return self.package is not None and self.way.may_drop_unknown_parts(own_image=False)


@record
class Rendered:
    """The text for the way, and what the operator should know."""

    text: str
    warnings: tuple[str, ...]


def render(request: RenderRequest) -> Rendered:
    """Return the user data.

    Raises SettingsError and UsageError for what is missing, and AgentError if it is too large.
    """
    settings = request.layered.settings
    if not request.layered.raw:
        raise SettingsError(
            ["there are no settings to render"], hint="set at least proxy.url, such as with --proxy URL"
        )
    if request.package and not settings.proxy.url:
        raise SettingsError(["proxy.url is not set; --rpm needs it"])
    cluster_info = from_node_configs(
        [text for _, text in request.node_configs], [name for name, _ in request.node_configs]
    )
    in_early = early.early_proxy(settings, request.region, cluster_info) if request.package else None
    parts = _parts(request, in_early)
    if not parts:
        raise SettingsError(["metadata.* alone is not for user data, which is read with it; set it in config.toml"])
    warnings = [*request.layered.warnings, *(in_early.warnings if in_early else ()), *_not_carried(request)]
    warnings += [*_node_config_warnings(request, parts), *_size_warnings(request.way, parts)]
    return Rendered(text_for(request.way, parts, request.name), tuple(dict.fromkeys(warnings)))


def _parts(request: RenderRequest, in_early: EarlyProxy | None) -> tuple[TextPart, ...]:
    settings = request.layered.settings
    cluster: Mapping[str, str] = {}
    if not request.way.adds_node_config(own_image=request.package is None):
        cluster = _whole_cluster(request)
    for label, text in request.node_configs:
        _refuse_secrets(label, text)
    parts = [node_config_part(text, f"NodeConfig of {label}") for label, text in request.node_configs]
    own = node_config.node_config_of(cluster, in_early)
    parts += [node_config_part(own)] if own else []
    values = request.layered.raw
    if not request.in_script:
        values = {name: value for name, value in values.items() if name[0] != "metadata"}
    text = toml_of(values)
    _refuse_secrets("settings", text)
    if text and not request.in_script:
        parts.append(settings_part(text, has_certificates="-----BEGIN" in settings.node.ca_bundle))
    if request.package and in_early:
        installation = Installation(
            request.package,
            in_early,
            text if request.in_script else "",
            settings.proxy.credentials_file,
            settings.bootstrap.enabled or bool(settings.signal.stack),
        )
        parts.append(script_part(install_script(installation)))
    return tuple(parts)


def _whole_cluster(request: RenderRequest) -> Mapping[str, str]:
    """Return what the operator's NodeConfigs lack of spec.cluster; nothing else adds it."""
    cluster = node_config.cluster_of(request.layered.settings, request.certificate_authority)
    theirs = node_config.cluster_in(request.node_configs)
    missing = [name for name in node_config.REQUIRED if not (theirs.get(name) or cluster.get(name))]
    if missing:
        remedies = ", ".join(node_config.REQUIRED[name] for name in missing)
        reason = (
            " (EKS adds nothing to a launch template with an ImageId)" if request.way is not Way.LAUNCH_TEMPLATE else ""
        )
        raise UsageError(
            f"--for {request.way.value}: the NodeConfig lacks {', '.join(missing)}{reason}",
            hint=f"{remedies}, or give a whole NodeConfig with --node-config FILE",
        )
    return {name: value for name, value in cluster.items() if not theirs.get(name)}


def _node_config_warnings(request: RenderRequest, parts: Sequence[TextPart]) -> tuple[str, ...]:
    """Return what the agent's check of NodeConfigs warns of.

    Raises AgentError for NodeConfigs with which no node would join.
    """
    texts = [part for part in parts if part.content_type == NODE_CONFIG_TYPE]
    proxy = request.layered.settings.proxy
    own_proxies = {str(url) for url in (*proxy.url, proxy.https_url)}
    info = from_node_configs([part.text for part in texts], [part.label for part in texts], own_proxies)
    if info.problems:
        raise AgentError("\n".join(info.problems))
    return info.warnings


def _refuse_secrets(label: str, text: str) -> None:
    """Raise AgentError for a text with a password.

    Everyone with ec2:DescribeInstanceAttribute reads user data, and so do pods that reach the
    metadata service.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if redact(line) != line:
            raise AgentError(
                f"{label}, line {number}: seems to hold a password, which user data would show",
                hint="keep it in a file of the image, or in a secret store",
            )


def _not_carried(request: RenderRequest) -> Iterator[str]:
    """Yield a warning for each setting that does not work from this user data."""
    settings, way = request.layered.settings, request.way.value
    if not request.in_script:
        for section, key in request.layered.raw:
            if section == "metadata":
                yield f"{section}.{key} is left out: user data is read with it; set it in config.toml of the image"
    for name in settings.proxy.credentials_keys:
        if name in _OF_THE_IMAGE:
            yield f"proxy.{name}: {way} carries its name only; the image must have what it names"
    if settings.node.ca_bundle.startswith("/"):
        yield f"node.ca_bundle: {way} carries its path only; the image must have the file, or set the certificates themselves"
    if request.package is not None:
        yield from _not_installed_yet(request)


def _not_installed_yet(request: RenderRequest) -> Iterator[str]:
    """Yield a warning for each setting that is needed before the agent is installed."""
    settings, package = request.layered.settings, request.package
    if settings.proxy.credentials_keys:
        yield (
            "the proxy requires a password, which the NodeConfig cannot carry: nodeadm-config calls the EC2 API "
            "before the agent is there, so it needs a VPC endpoint for ec2 in aws.direct"
        )
        if package and (package.is_in_s3 or not settings.proxy.credentials_file):
            yield "--rpm: the script fetches without the proxy's password; use s3:// with a VPC endpoint of S3"
    if len(settings.proxy.url) > 1:
        yield "proxy.url: the NodeConfig names the first proxy only; nodeadm-config does not try another one"
    if settings.failure.policy == "closed":
        yield 'failure.policy: "closed" has no effect before the agent is installed, on the first boot of an instance'
    if settings.node.ca_bundle and package and package.url.startswith("https://"):
        yield (
            "node.ca_bundle: its CA is not trusted before the agent is installed; if the proxy inspects TLS, "
            "use http:// (the sha256 is verified) or s3://"
        )


def _size_warnings(way: Way, parts: Sequence[TextPart]) -> Iterator[str]:
    """Yield a warning if what the way adds may not fit.  Raises AgentError if it is too large."""
    message = multipart(parts)
    size = len(message)
    shares = sorted(((len(part.text), part.label) for part in parts), reverse=True)
    room = ", ".join(f"{label} {length:,}" for length, label in shares)
    hint = "keep large values, such as node.ca_bundle, in a file of the image"
    if way is Way.KARPENTER and size + ADDED > LIMIT:
        packed = len(gzip.compress(message.encode(), 9))
        if packed + ADDED > LIMIT:
            raise AgentError(f"user data: {packed:,} bytes compressed, of {LIMIT:,} in all ({room})", hint=hint)
        yield f"user data: {size:,} bytes of {LIMIT:,} ({room}); Karpenter compresses it"
    elif size > LIMIT:
        raise AgentError(f"user data: {size:,} bytes; EC2 takes at most {LIMIT:,} ({room})", hint=hint)
    elif way in (Way.MANAGED_NODE_GROUP, Way.TERRAFORM) and size + ADDED > LIMIT:
        yield f"user data: {size:,} bytes of {LIMIT:,} ({room}); EKS adds its own NodeConfig, up to {ADDED:,} bytes; {hint}"
