"""Sources of the settings: flags, settings files, the CA bundle."""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from agent.core.net.ca_certificates import CaCertificates
from agent.core.net.certificate_forms import conversion
from agent.core.record import evolve, record
from agent.core.settings.config_d import is_settings, unread
from agent.core.settings.layers import (
    Layer,
    Layered,
    flag_layer,
    merge,
    merge_all,
    merge_usable,
    names_of,
    parse_toml,
    without_metadata,
)
from agent.core.settings.schema import Settings
from agent.edges import local_file
from agent.edges.files import MAX_SIZE, FileSystem, Versions
from agent.edges.trust_store import ca_path
from agent.errors import FileError, SettingsError
from agent.node.kept_flags import today

if TYPE_CHECKING:
    from agent.edges.ca_bundle import Bundle

CONFIG = "/etc/eks-proxy-agent/config.toml"
CONFIG_D = "/etc/eks-proxy-agent/config.d"


@record
class SettingsSources:
    """Flags of a command line that settings and facts depend on.

    `keep`: the flags are kept for this instance, so that later cycles without them compose the same
    Intent.
    """

    config: str = ""
    sets: tuple[str, ...] = ()
    proxy: str = ""
    facts: str = ""
    arguments: tuple[str, ...] = ()
    keep: bool = False

    def layer(self) -> Layer:
        """Return the flags as a layer of settings.

        ARG of `bootstrap -- ARG` becomes bootstrap.arguments.
        """
        flags = flag_layer(self.sets, self.proxy)
        data = dict(flags.data)
        if self.arguments:
            data["bootstrap"] = {**data.get("bootstrap", {}), "arguments": list(self.arguments)}
        return evolve(flags, data=data, dates=dict.fromkeys(names_of(data), today()) if self.keep else None)


@record
class StaticSettings:
    """Settings that are known before the metadata service responds: those of files and flags.

    `versions` (FileSystem.versions) identifies the files they were read from, so that a change is
    noticed.  `warnings` are about files that are not read.
    """

    sources: SettingsSources
    layers: tuple[Layer, ...]
    flags: Layer
    layered: Layered
    versions: Versions = ()
    warnings: tuple[str, ...] = ()

    @property
    def settings(self) -> Settings:
        return self.layered.settings

    def with_instance(self, layers: Sequence[Layer]) -> Layered:
        """Merge an instance's layers between the files and the flags.

        Raises SettingsError with all mistakes.
        """
        return _with_warnings(merge_all((*self.layers, *layers, self.flags)), self.warnings)


def sources_of(arguments: argparse.Namespace) -> SettingsSources:
    """Return the flags of a parsed command line that settings and facts depend on."""
    return SettingsSources(
        config=arguments.config,
        sets=tuple(arguments.sets),
        proxy=arguments.proxy,
        facts=arguments.facts,
        arguments=tuple(getattr(arguments, "arguments", ())),
        keep=not getattr(arguments, "once", True),
    )


def static_settings(files: FileSystem, sources: SettingsSources) -> StaticSettings:
    """Read the settings files and the flags.

    The files are config.toml and config.d/*.toml in the order of their names, or the one file of
    `--config`.  Raises FileError, and SettingsError with all mistakes: invalid TOML in one file
    does not hide the mistakes in the others.
    """
    versions = files.versions([] if sources.config else settings_paths(files))
    layers: list[Layer] = []
    problems: list[str] = []
    for name, content in _documents(files, sources):
        try:
            layers.append(parse_toml(name, content))
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems + _problems(layers, sources))
    flags = sources.layer()
    warnings = () if sources.config else unread(CONFIG_D, files.names(CONFIG_D))
    layered = _with_warnings(merge([*layers, flags]), warnings)
    return StaticSettings(sources, tuple(layers), flags, layered, versions, warnings)


def usable_settings(files: FileSystem, sources: SettingsSources, instance: Sequence[Layer] = ()) -> Settings:
    """Read what is right in the settings files, the layers of an `instance` and the flags.

    Wrong values have their defaults, and so has a file that cannot be read.  For what must be done
    although the settings are wrong: hold back docker, signal a failure, write the metrics.
    """
    layers: list[Layer] = []
    with contextlib.suppress(FileError):
        for name, content in _documents(files, sources):
            with contextlib.suppress(SettingsError):
                layers.append(parse_toml(name, content))
    layers += instance
    with contextlib.suppress(SettingsError):
        layers.append(sources.layer())
    return merge_usable(layers)


def _with_warnings(layered: Layered, warnings: tuple[str, ...]) -> Layered:
    return evolve(layered, warnings=warnings + layered.warnings)


def settings_paths(files: FileSystem) -> list[str]:
    """Return the paths that `static_settings` depends on: the files, and the directory config.d."""
    return [CONFIG, CONFIG_D, *(f"{CONFIG_D}/{name}" for name in filter(is_settings, files.names(CONFIG_D)))]


def _problems(layers: Sequence[Layer], sources: SettingsSources) -> list[str]:
    """Return the mistakes in these layers and in the flags."""
    problems: list[str] = []
    try:
        merge(layers)
    except SettingsError as error:
        problems += error.problems
    try:
        merge([sources.layer()])
    except SettingsError as error:
        problems += error.problems
    return problems


def _documents(files: FileSystem, sources: SettingsSources) -> Iterator[tuple[str, bytes]]:
    if sources.config:
        yield sources.config, read_local_file(sources.config)
        return
    for name in settings_paths(files):
        content = files.read(name) if name != CONFIG_D else None
        if content is not None:
            yield name, content


def settings_to_keep(sources: SettingsSources) -> dict[str, dict[str, Any]]:
    """Return the settings in the flags that `apply` keeps for this instance."""
    return without_metadata(sources.layer().data)


def read_ca(files: FileSystem, settings: Settings) -> CaCertificates | None:
    """Read the proxy's CA as a file of the trust store; return None without node.ca_bundle.

    Raises FileError.
    """
    value = settings.node.ca_bundle
    if not value:
        return None
    bundle = read_certificates(files, "node.ca_bundle", value)
    path = ca_path(files)
    if path is None:
        raise FileError(
            "node.ca_bundle: no trust store; this node has neither update-ca-trust nor update-ca-certificates"
        )
    warnings = tuple("node.ca_bundle: " + text for text in bundle.warnings)
    return CaCertificates(path, bundle.pem, bundle.summaries, warnings, bundle.not_after)


def read_certificates(files: FileSystem, setting: str, value: str) -> Bundle:
    """Return the CA certificates that a setting names by a path, or has as PEM.

    Raises FileError.
    """
    from agent.edges.ca_bundle import read_bundle  # with ssl

    inline = "-----BEGIN " in value
    name = setting if inline else f"{setting}: {value}"
    content = value.encode("utf-8") if inline else files.read(value)
    if content is None:
        raise FileError(f"{name}: no such file")
    file = "FILE" if inline else value
    other_form = conversion(content, shlex.quote(file), shlex.quote(file + ".pem"))
    if other_form:
        raise FileError(f"{name}: {other_form}")
    try:
        return read_bundle(content.decode("ascii", "replace"))
    except ValueError as error:
        raise FileError(f"{name}: {error}") from None


def read_local_file(path: str) -> bytes:
    """Read a file that a flag names, relative to the working directory and not to --root.

    Raises FileError.
    """
    return local_file.read(path, MAX_SIZE)
