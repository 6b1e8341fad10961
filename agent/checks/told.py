"""What somebody who is not root can know: what the last pass told in status.json, which is for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent.inputs import Inputs, Resolved
from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import parse_proxy_url
from agent.core.noproxy.entries import Entry
from agent.core.settings.layers import Layered
from agent.core.settings.user_data import read_user_data
from agent.errors import AgentError
from agent.node.host import Host
from agent.node.inputs import cluster_info


def as_told(host: Host, layered: Layered, facts: Facts, told: Mapping[str, Any]) -> Resolved | None:
    """The Intent of the last pass without its credentials, with the settings of the files; None without such a pass."""
    intent = _intent(told)
    if intent is None or told.get("instance_id") != facts.instance_id:
        return None
    try:
        info = cluster_info(host.files, layered.settings, read_user_data(facts.user_data))
    except AgentError:
        info = ClusterInfo()
    return Resolved(Inputs(layered, facts, info), intent)


def _intent(told: Mapping[str, Any]) -> Intent | None:
    try:
        http, https = (parse_proxy_url(told["proxy"][name]) for name in ("http", "https"))
        entries = tuple(Entry(str(one["entry"]), str(one["reason"])) for one in told["no_proxy"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Intent(http, https, entries)
