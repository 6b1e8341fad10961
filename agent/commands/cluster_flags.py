"""The words and flags of `eks-proxy-agent cluster`; argparse only, because every command line pays for it."""

from __future__ import annotations

import argparse
from typing import Any

_ACTIONS = (
    ("service-cidr", "ask the cluster for its service CIDR, and say how it is known"),
    ("render", "write the ConfigMap and the patches as files for kubectl"),
    ("plan", "show what apply would change, object by object; change nothing"),
    ("apply", "write the ConfigMap, patch the workloads, and wait for their rollouts"),
    ("verify", "compare the pods with the ConfigMap and with what the nodes believe"),
    ("revert", "take everything back that apply did"),
)


def add_cluster(commands: Any) -> None:
    """Add `cluster` and its actions to the command line."""
    cluster = commands.add_parser("cluster", help="give the cluster's pods the same proxy as the nodes")
    actions = cluster.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in _ACTIONS:
        _flags(actions.add_parser(name, help=text, description=text), name)


def _flags(command: argparse.ArgumentParser, name: str) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")
