"""`config show` and `config check`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from agent.core.facts.instance import Facts
from agent.core.net.proxy_url import ProxyUrl
from agent.core.noproxy.entries import OperatorEntry
from agent.core.record import Attribute, fields
from agent.core.settings.layers import Layered
from agent.core.settings.schema import SECTIONS
from agent.core.settings.user_data import read_user_data
from agent.core.settings.workloads import Workload
from agent.errors import MetadataError
from agent.node.host import Host, host_of
from agent.node.inputs import facts_of, instance_layers
from agent.node.sources import StaticSettings, sources_of, static_settings


def run(arguments: argparse.Namespace) -> int:
    host = host_of(arguments)
    layered, facts = _all_layers(host, static_settings(host.files, sources_of(arguments)))
    if arguments.action == "check":
        from agent.commands.config_check import check

        check(host, layered, facts)
    else:
        _show(layered, as_json=arguments.json)
    return 0


def _all_layers(host: Host, static: StaticSettings) -> tuple[Layered, Facts | None]:
    """Merge all layers as `apply` would, and return them with the facts.

    If the metadata service does not respond, print a note, and return the settings without them.
    """
    if not (static.sources.facts or (host.files.live and not static.sources.config)):
        return static.with_instance(()), None
    try:
        facts = facts_of(static)
    except MetadataError as error:
        print(f"note: user data is not included: {error}", file=sys.stderr)
        return static.with_instance(()), None
    layers = instance_layers(host.state, facts.instance_id, read_user_data(facts.user_data))
    return static.with_instance(layers), facts


def _show(layered: Layered, *, as_json: bool) -> None:
    rows = [
        (
            section,
            field.name,
            _file_value(getattr(getattr(layered.settings, section), field.name), field),
            layered.origin.get((section, field.name), "default"),
        )
        for section, cls in SECTIONS.items()
        for field in fields(cls)
    ]
    if as_json:
        print(
            json.dumps(
                [
                    {"section": section, "key": key, "value": value, "layer": layer}
                    for section, key, value, layer in rows
                ],
                indent=2,
            )
        )
        return
    width = min(60, max(len(f"{key} = {json.dumps(value)}") for _, key, value, _ in rows))
    current = ""
    for section, key, value, layer in rows:
        if section != current:
            print(("\n" if current else "") + f"[{section}]")
            current = section
        line = f"{key} = {json.dumps(value)}"
        print(f"{line.ljust(width)}  # {layer}")


def _plain(value: Any) -> Any:
    """Return a setting in the types of TOML and JSON."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, (ProxyUrl, Workload)):
        return str(value)
    if isinstance(value, OperatorEntry):
        return value.spellings[0]
    return value


def _file_value(value: Any, field: Attribute[Any]) -> Any:
    """Return a key's value as a settings file would have it."""
    return field.metadata["unset"] if value is None else _plain(value)
