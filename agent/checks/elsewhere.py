"""Places outside the agent's files that set another proxy."""

from __future__ import annotations

from collections.abc import Iterator

from agent.checks.context import CheckedNode
from agent.checks.finding import FAIL, OK, WARN, Finding
from agent.node.elsewhere import other_places, unit_places

GROUP = "elsewhere"


def check(node: CheckedNode) -> Iterator[Finding]:
    """Report each place with another proxy.

    It fails where a unit of node.units uses it; other programs than those are a warning.
    """
    files, desired = node.host.files, dict(node.intent.variables(secret=True))
    findings = 0
    for place in (*unit_places(files), *other_places(files)):
        text = place.text(desired, has_credentials=not node.is_from_status)
        if text:
            findings += 1
            state = FAIL if place.unit in node.settings.node.units else WARN
            yield Finding(GROUP, place.path, state, text, place.remedy)
    if not findings:
        text = "no other proxy for docker, login shells, wget and units outside node.units"
        yield Finding(GROUP, "places", OK, text)
