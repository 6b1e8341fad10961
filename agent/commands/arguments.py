"""Flags that several commands have; argparse only, because every command line pays for it."""

from __future__ import annotations

import argparse


def settings_flags(command: argparse.ArgumentParser) -> None:
    """Where settings come from, besides the files."""
    command.add_argument(
        "--config",
        default="",
        metavar="FILE",
        help="read this file instead of /etc/eks-proxy-agent/config.toml and config.d",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        dest="sets",
        metavar="SECTION.KEY=VALUE",
        help="a setting; VALUE is TOML or a bare string (repeatable)",
    )
    command.add_argument("--proxy", default="", metavar="URL", help="short for --set proxy.url=URL")


def json_flag(command: argparse.ArgumentParser) -> None:
    """For machines."""
    command.add_argument("--json", action="store_true", help="print JSON")
