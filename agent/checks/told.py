"""What somebody who is not root can know: what the last pass told in status.json, which is for everybody."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from agent.apply import Machine
from agent.core.facts import Facts
from agent.core.hints import ClusterHints
from agent.core.intent import Intent
from agent.core.layers import Layered
from agent.core.no_proxy import Entry
from agent.core.proxy_url import parse_proxy_url
from agent.discover import Discovered, cluster_hints
from agent.errors import AgentError


def as_told(machine: Machine, layered: Layered, facts: Facts, told: Mapping[str, Any]) -> Optional[Discovered]:
    """The Intent of the last pass without its credentials, with the settings of the files; None without such a pass."""
    intent = _intent(told)
    if intent is None or told.get("instance_id") != facts.instance_id:
        return None
    try:
        hints = cluster_hints(machine, layered.settings, facts)
    except AgentError:
        hints = ClusterHints()
    return Discovered(layered, facts, hints, intent)


def _intent(told: Mapping[str, Any]) -> Optional[Intent]:
    try:
        http, https = (parse_proxy_url(told["proxy"][name]) for name in ("http", "https"))
        entries = tuple(Entry(str(one["entry"]), str(one["reason"])) for one in told["no_proxy"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Intent(http, https, entries)
