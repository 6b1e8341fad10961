"""Flags that several commands share.  Imports only argparse, because every command loads this."""

from __future__ import annotations

import argparse


def settings_flags(command: argparse.ArgumentParser) -> None:
    """Add the flags for settings."""
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
        help="set one key; VALUE is TOML or a bare string (repeatable)",
    )
    command.add_argument("--proxy", default="", metavar="URL", help="short for --set proxy.url=URL")


def json_flag(command: argparse.ArgumentParser) -> None:
    """Add --json."""
    command.add_argument("--json", action="store_true", help="print JSON")
