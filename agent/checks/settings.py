"""Validity of the settings, and the layers that they come from."""

from __future__ import annotations

from collections.abc import Iterator

from agent.checks.context import UNCONFIGURED, CheckedNode
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.errors import SettingsError

GROUP = "settings"
NAME = "layers"


def check(node: CheckedNode) -> Iterator[Finding]:
    """Report each invalid setting, or the layers and the warnings of `config check`."""
    error = node.settings_error
    if error is not None:
        for problem in str(error).split("\n"):
            hint = error.hint or "correct it, then run: eks-proxy-agent apply"
            yield Finding(GROUP, NAME, FAIL, problem, hint, SettingsError.exit_code)
        return
    if node.layered is None or (node.reconciled is None and node.facts is not None):
        yield Finding(GROUP, NAME, SKIP, node.skip_reason)
        return
    layers = ", ".join(dict.fromkeys(node.layered.origin.values()))
    text = f"valid, from {layers}" if layers else "valid, defaults only"
    if node.skip_reason == UNCONFIGURED:
        text = UNCONFIGURED
    yield Finding(GROUP, NAME, OK, text + _unread(node))
    if node.reconciled is None:
        return
    of_node_configs = node.reconciled.inputs.cluster_info.problems
    for problem in node.reconciled.problems:
        text, _, remedy = problem.partition("; ")
        if problem in of_node_configs:
            yield Finding(GROUP, "NodeConfig", FAIL, text, remedy, topic="metadata")
        else:
            yield Finding(GROUP, "user-data", FAIL, text, remedy, SettingsError.exit_code)
    for warning in node.reconciled.warnings:
        yield Finding(GROUP, "warning", WARN, warning)


def _unread(node: CheckedNode) -> str:
    """Name the layers that could not be read."""
    if node.is_from_status:
        return "; user data and kept flags require root"
    return "" if node.reconciled else "; user data is unknown"
