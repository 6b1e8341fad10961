"""Actions and flags of `eks-proxy-agent cluster`.

It imports argparse only, because every command line loads it.
"""

from __future__ import annotations

import argparse
from typing import Any

from agent.commands.arguments import json_flag, settings_flags

_ACTIONS = (
    ("service-cidr", "print the cluster's service CIDR and its source"),
    ("render", "write the ConfigMap and what refers to it as files for kubectl, Git or Helm"),
    ("plan", "show what apply would change in each object; change nothing"),
    ("apply", "write the ConfigMap, patch the workloads, and wait for their rollouts"),
    ("verify", "compare the ConfigMap and the pods with the settings of the nodes"),
    ("revert", "undo every change of apply"),
)
_FORMATS = ("patch", "ssa", "kustomize", "helm-values")
#: Seconds for one workload's rollout, unless --timeout sets another value.
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
    kubectl_flags(command)
    if name == "service-cidr":
        json_flag(command)
        return
    text = "use only this namespace: its ConfigMap and its workloads"
    command.add_argument("-n", "--namespace", default="", metavar="NAME", help=text)
    if name != "revert":
        text = "read a node's facts (region, VPC) from this JSON file"
        command.add_argument("--facts", default="", metavar="FILE", help=text)
        text = "read all values from this status.json of a node"
        command.add_argument("--from-node", default="", metavar="FILE", help=text)
    if name in ("plan", "verify"):
        json_flag(command)
    if name in ("plan", "apply", "render"):
        text = "remove the containers' own env that overrides the ConfigMap"
        command.add_argument("--take-over", action="store_true", help=text)
    if name == "apply":
        text = "restart the workloads whose pods are older than the values, one at a time"
        command.add_argument("--rollout", action="store_true", help=text)
    if name in ("apply", "revert"):
        text = "timeout of each workload's rollout (default: %(default)g)"
        command.add_argument("--timeout", type=_seconds, default=TIMEOUT, metavar="SECONDS", help=text)
    if name == "render":
        text = "write the ConfigMap and the files of a format to this directory"
        command.add_argument("--output", default="", metavar="DIR", help=text)
        text = "patch (JSON patches for kubectl, the default), ssa (for server-side apply), kustomize or helm-values"
        command.add_argument("--format", default="", choices=_FORMATS, metavar="FORMAT", help=text)
        text = "with ssa: annotate the manifests for flux or argocd"
        command.add_argument("--gitops", default="", choices=("flux", "argocd"), metavar="TOOL", help=text)
        text = "write the policy that lets the API server give new pods the variables, and no patches"
        command.add_argument("--inject", action="store_true", help=text)
        command.add_argument("--offline", action="store_true", help="do not query a cluster")
        text = "read a workload from this manifest (repeatable)"
        command.add_argument("--manifest", action="append", default=[], metavar="FILE", help=text)


def kubectl_flags(command: argparse.ArgumentParser) -> None:
    """Add the flags that are passed to kubectl."""
    command.add_argument("--kubeconfig", default="", metavar="FILE", help="kubeconfig file for kubectl")
    command.add_argument("--context", default="", metavar="NAME", help="context of the kubeconfig")
    text = "timeout of each request to the API server (default: %(default)g)"
    command.add_argument("--request-timeout", type=_seconds, default=REQUEST, metavar="SECONDS", help=text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0 and up to 86400")
    return value
