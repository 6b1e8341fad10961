"""Flags that several commands share, and those of `user-data`.

Imports only argparse, because every command loads this.
"""

from __future__ import annotations

import argparse
from typing import Any


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


# --- user-data

WAYS = ("launch-template", "managed-node-group", "karpenter", "terraform")


def add_user_data(commands: Any) -> None:
    """Add `user-data` and its actions to the command line."""
    text = "write user data for a provisioner, or check it"
    user_data = commands.add_parser("user-data", help=text, description=text)
    actions = user_data.add_subparsers(prog=user_data.prog, dest="action", metavar="ACTION", required=True)
    text = "print user data with these settings, on any machine; with --rpm it also installs the agent on a stock image"
    render = actions.add_parser("render", help=text, description=text)
    render.set_defaults(root="/", facts="")
    settings_flags(render)
    _way_flag(render, "write it for: ", required=True)
    render.add_argument(
        "--rpm", default="", metavar="URL", help="install the agent from this https://, http:// or s3:// URL"
    )
    render.add_argument("--sha256", default="", metavar="HEX", help="SHA-256 of the package at --rpm")
    render.add_argument("--rpm-file", default="", metavar="FILE", help="compute the SHA-256 from this local copy")
    text = "AWS region of the nodes: of the bucket at --rpm, and of the hosts in aws.direct"
    render.add_argument("--region", default="", metavar="REGION", help=text)
    text = "add this NodeConfig, in YAML, such as one with kubelet flags (repeatable)"
    render.add_argument("--node-config", action="append", default=[], metavar="FILE", help=text)
    text = "the cluster's certificateAuthority in base64, for a NodeConfig that is written from cluster.*"
    render.add_argument("--certificate-authority", default="", metavar="DATA", help=text)
    text = "name of the EC2NodeClass (default: %(default)s)"
    render.add_argument("--name", default="default", metavar="NAME", help=text)
    text = "show what cloud-init, nodeadm, Karpenter, EKS and the agent do with user data, and its faults"
    check = actions.add_parser("check", help=text, description=text)
    text = "user data, or the manifest of an EC2NodeClass; - reads stdin"
    check.add_argument("file", nargs=1, metavar="FILE", help=text)
    _way_flag(check, "also warn of what this way refuses or drops: ", required=False)
    json_flag(check)


def _way_flag(command: Any, text: str, *, required: bool) -> None:
    command.add_argument(
        "--for", dest="way", required=required, choices=WAYS, default=None, metavar="WAY", help=text + ", ".join(WAYS)
    )
