"""What the command line's flags make: the machine to work on, the options, and where facts come from."""

from __future__ import annotations

import argparse
import os
import shutil

from agent.core.facts.instance import Facts
from agent.core.settings.schema import Settings
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import NoSystemd, OfflineSystemd, Systemd
from agent.errors import AgentError
from agent.node.apply import Host
from agent.node.inputs import BOOT_DEADLINE, ask_metadata_service
from agent.node.sources import SettingsSources
from agent.node.tree import files_of

#: Seconds that a command waits for the metadata service when a person waits for the command.
COMMAND_DEADLINE = 2.0


def host_of(arguments: argparse.Namespace) -> Host:
    """The machine at --root; raises UsageError when that is no folder."""
    files = files_of(arguments)
    return Host(files, State(files), _units(files))


def _units(files: FileSystem) -> Systemd:
    if files.live:
        return Systemd() if os.path.isdir("/run/systemd/system") else NoSystemd()  # sd_booted(3)
    return OfflineSystemd(files.root) if shutil.which("systemctl") else NoSystemd()


def sources_of(arguments: argparse.Namespace) -> SettingsSources:
    return SettingsSources(
        config=arguments.config,
        sets=tuple(arguments.sets),
        proxy=arguments.proxy,
        facts=arguments.facts,
        arguments=tuple(getattr(arguments, "arguments", ())),
    )


def need_root(host: Host, command: str, *, other_tree: bool = True) -> None:
    """Changing the running machine takes root; another tree, where a command can have one, the right to write there."""
    if host.files.live and os.geteuid() != 0:
        hint = "use sudo, or --root DIR for another tree" if other_tree else "use sudo"
        raise AgentError(f"{command} has to be run as root", hint=hint)


def fetch(settings: Settings) -> Facts:
    """Ask the metadata service, for a command that a person waits for."""
    return ask_metadata_service(settings, settings.metadata.deadline or COMMAND_DEADLINE)


def fetch_patiently(settings: Settings) -> Facts:
    """Ask the metadata service as a booting node does."""
    return ask_metadata_service(settings, settings.metadata.deadline or BOOT_DEADLINE)
