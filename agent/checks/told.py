"""What somebody who is not root can know: what the last pass told in status.json, which is for everybody."""

from __future__ import annotations

from agent.core.facts.cluster_hints import ClusterInfo
from agent.core.facts.instance import Facts
from agent.core.intent.inputs import Inputs, Resolved
from agent.core.settings.layers import Layered
from agent.core.settings.user_data import read_user_data
from agent.core.status.document import StatusDocument
from agent.errors import AgentError
from agent.node.host import Host
from agent.node.inputs import cluster_info


def as_told(host: Host, layered: Layered, facts: Facts, told: StatusDocument) -> Resolved | None:
    """The Intent of the last pass without its credentials, with the settings of the files; None without such a pass."""
    intent = told.intent()
    if intent is None or told.instance_id != facts.instance_id:
        return None
    try:
        info = cluster_info(host.files, layered.settings, read_user_data(facts.user_data))
    except AgentError:
        info = ClusterInfo()
    return Resolved(Inputs(layered, facts, info), intent)
