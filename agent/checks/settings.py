"""Are the settings valid, and which layers do they come from?"""

from __future__ import annotations

from collections.abc import Iterator

from agent.checks.context import UNCONFIGURED, CheckedNode
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.errors import SettingsError

GROUP = "settings"
NAME = "layers"


def check(node: CheckedNode) -> Iterator[Finding]:
    if node.wrong is not None:
        problems = node.wrong.problems if isinstance(node.wrong, SettingsError) else (str(node.wrong),)
        for problem in problems:
            hint = node.wrong.hint or "correct it, then: eks-proxy-agent apply"
            yield Finding(GROUP, NAME, FAIL, problem, hint, SettingsError.exit_code)
        return
    if node.layered is None or (node.found is None and node.facts is not None):
        yield Finding(GROUP, NAME, SKIP, node.missing)
        return
    layers = ", ".join(dict.fromkeys(node.layered.origin.values()))
    unknown = "" if node.found else "; what user data adds is not known"
    unknown = "; what user data and kept flags add needs root" if node.partial else unknown
    valid = "valid, " + ("from " + layers if layers else "no layer sets anything")
    text = UNCONFIGURED if node.missing == UNCONFIGURED else valid
    yield Finding(GROUP, NAME, OK, text + unknown)
    for warning in node.found.warnings if node.found else ():
        yield Finding(GROUP, "warning", WARN, warning)
