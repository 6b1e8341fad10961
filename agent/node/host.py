"""What the command line's flags make: the machine to work on, the options, and where facts come from."""

from __future__ import annotations

import argparse
import os
import shutil

from agent.core.facts.instance import Facts
from agent.core.settings.schema import Settings
from agent.edges.files import Disk
from agent.edges.state import State
from agent.edges.systemd import NoSystemd, OfflineSystemd, Systemd
from agent.errors import AgentError
from agent.node.apply import Machine
from agent.node.inputs import BOOT_DEADLINE, ask_metadata_service
from agent.node.sources import Options
from agent.node.tree import disk_of

#: Seconds that a command waits for the metadata service when a person waits for the command.
COMMAND_DEADLINE = 2.0


def machine_of(arguments: argparse.Namespace) -> Machine:
    """The machine at --root; raises UsageError when that is no folder."""
    disk = disk_of(arguments)
    return Machine(disk, State(disk), _units(disk))


def _units(disk: Disk) -> Systemd:
    if disk.live:
        return Systemd() if os.path.isdir("/run/systemd/system") else NoSystemd()  # sd_booted(3)
    return OfflineSystemd(disk.root) if shutil.which("systemctl") else NoSystemd()


def options_of(arguments: argparse.Namespace) -> Options:
    return Options(
        config=arguments.config,
        sets=tuple(arguments.sets),
        proxy=arguments.proxy,
        facts=arguments.facts,
        arguments=tuple(getattr(arguments, "arguments", ())),
    )


def need_root(machine: Machine, command: str, *, other_tree: bool = True) -> None:
    """Changing the running machine takes root; another tree, where a command can have one, the right to write there."""
    if machine.disk.live and os.geteuid() != 0:
        hint = "use sudo, or --root DIR for another tree" if other_tree else "use sudo"
        raise AgentError(f"{command} has to be run as root", hint=hint)


def fetch(settings: Settings) -> Facts:
    """Ask the metadata service, for a command that a person waits for."""
    return ask_metadata_service(settings, settings.metadata.deadline or COMMAND_DEADLINE)


def fetch_patiently(settings: Settings) -> Facts:
    """Ask the metadata service as a booting node does."""
    return ask_metadata_service(settings, settings.metadata.deadline or BOOT_DEADLINE)
