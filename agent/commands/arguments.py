"""Flags that several commands share, and those of `report`, `user-data` and `demo`.

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


def root_flag(command: argparse.ArgumentParser) -> None:
    """Add --root."""
    command.add_argument("--root", default="/", metavar="DIR", help="use the tree in DIR instead of /")


def facts_flag(command: argparse.ArgumentParser) -> None:
    """Add --facts."""
    text = "read the instance's facts from this JSON file instead of the metadata service"
    command.add_argument("--facts", default="", metavar="FILE", help=text)


def json_flag(command: argparse.ArgumentParser) -> None:
    """Add --json."""
    command.add_argument("--json", action="store_true", help="print JSON")


# --- commands with few flags


def add_report(commands: Any) -> None:
    """Add `report` to the command line."""
    text = "write an archive for support: checks, status, plan, units, journal and versions, without secrets"
    report = commands.add_parser("report", help=text, description=text)
    text = "write it to this new file, or to stdout (-); default: eks-proxy-agent-INSTANCE-TIME.tar.gz here"
    report.add_argument("--output", default=None, metavar="FILE", help=text)
    root_flag(report)
    facts_flag(report)


def add_demo(commands: Any) -> None:
    """Add `demo` to the command line."""
    text = "run plan, apply and revert in a scratch directory, with an embedded metadata service"
    demo = commands.add_parser("demo", help=text, description=text)
    demo.add_argument("--keep", metavar="DIR", help="create DIR, use it as the node's root, and keep it")
    demo.add_argument("--serve", metavar="ADDRESS:PORT", help="only serve the metadata service, for tests of an image")
    text = "with --serve: read the instance from this JSON file, again when it changes"
    demo.add_argument("--instance", metavar="FILE", help=text)


#: The groups of `check`, in the order of its output; agent/checks/runner.py has what each runs.
CHECK_GROUPS = (
    *("settings", "metadata", "files", "units", "processes", "proxy"),
    *("direct", "no-proxy", "packages", "elsewhere", "clock"),
)


def only_flag(command: argparse.ArgumentParser) -> None:
    """Add --only of `check`."""
    text = "run this group only (repeatable): " + ", ".join(CHECK_GROUPS)
    command.add_argument("--only", action="append", default=[], choices=CHECK_GROUPS, metavar="GROUP", help=text)


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
