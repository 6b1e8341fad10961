"""The words and flags of `eks-proxy-agent cluster`; argparse only, because every command line pays for it."""

from __future__ import annotations

import argparse
from typing import Any

from agent.commands.arguments import json_flag, settings_flags

_ACTIONS = (
    ("service-cidr", "ask the cluster for its service CIDR, and say how it is known"),
    ("render", "write the ConfigMap and the patches as files for kubectl"),
    ("plan", "show what apply would change, object by object; change nothing"),
    ("apply", "write the ConfigMap, patch the workloads, and wait for their rollouts"),
    ("verify", "compare the pods with the ConfigMap and with what the nodes believe"),
    ("revert", "take everything back that apply did"),
)
#: Seconds for one workload's rollout, unless --timeout says otherwise.
TIMEOUT = 600.0
#: Seconds for one request to the API server.
REQUEST = 30.0


def add_cluster(commands: Any) -> None:
    """Add `cluster` and its actions to the command line."""
    text = "give the cluster's pods the same proxy as the nodes"
    cluster = commands.add_parser("cluster", help=text, description=text)
    actions = cluster.add_subparsers(prog=cluster.prog, dest="action", metavar="ACTION", required=True)
    for name, text in _ACTIONS:
        _flags(actions.add_parser(name, help=text, description=text), name)


def _flags(command: argparse.ArgumentParser, name: str) -> None:
    command.set_defaults(root="/", facts="", from_node="", namespace="", take_over=False)
    settings_flags(command)
    command.add_argument("--kubeconfig", default="", metavar="FILE", help="kubectl's kubeconfig")
    command.add_argument("--context", default="", metavar="NAME", help="a context of the kubeconfig")
    text = "for each request to the API server (default: %(default)g)"
    command.add_argument("--request-timeout", type=_seconds, default=REQUEST, metavar="SECONDS", help=text)
    if name == "service-cidr":
        json_flag(command)
        return
    command.add_argument(
        "-n", "--namespace", default="", metavar="NAME", help="only this namespace: its ConfigMap and its workloads"
    )
    if name != "revert":
        command.add_argument(
            "--facts", default="", metavar="FILE", help="take a node's facts from this JSON file (region, VPC)"
        )
        command.add_argument(
            "--from-node", default="", metavar="FILE", help="take all values from a node's own status.json"
        )
    if name in ("plan", "verify"):
        json_flag(command)
    if name in ("plan", "apply"):
        command.add_argument(
            "--take-over", action="store_true", help="remove the containers' own env that beats the ConfigMap"
        )
    if name in ("apply", "revert"):
        text = "for each workload's rollout (default: %(default)g)"
        command.add_argument("--timeout", type=_seconds, default=TIMEOUT, metavar="SECONDS", help=text)
    if name == "render":
        command.add_argument("--output", default="", metavar="DIR", help="write files there: ConfigMap and patches")
        command.add_argument("--offline", action="store_true", help="ask no cluster")
        command.add_argument(
            "--manifest", action="append", default=[], metavar="FILE", help="a workload's manifest (repeatable)"
        )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 and up to 86400")
    return value
