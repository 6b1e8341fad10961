"""Does the metadata service answer, with version 2 and not through a proxy?"""

from __future__ import annotations

from collections.abc import Iterator

from agent.checks.context import OFFLINE, CheckedNode
from agent.checks.finding import FAIL, OK, SKIP, Finding

GROUP = "metadata"
NAME = "service"


def check(node: CheckedNode) -> Iterator[Finding]:
    """Version 2 alone is ever asked, and a request that passed a proxy (X-Forwarded-For) would have been refused."""
    if node.silent is not None:
        way = "see metadata.endpoint, and whether the service is enabled for this instance"
        way = "correct the file of --facts, or leave it out" if node.sources.facts else way
        yield Finding(GROUP, NAME, FAIL, str(node.silent), node.silent.hint or way)
    elif node.sources.facts:
        yield Finding(GROUP, NAME, SKIP, f"the facts come from {node.sources.facts} (--facts)")
    elif not node.live:
        yield Finding(GROUP, NAME, SKIP, OFFLINE)
    elif node.facts is None or node.layered is None:
        yield Finding(GROUP, NAME, SKIP, node.missing)
    else:
        text = f"{node.layered.settings.metadata.endpoint} answers (version 2, no proxy in between, {node.asked * 1000:.0f} ms): {node.facts.instance_id} in {node.facts.region}"
        yield Finding(GROUP, NAME, OK, text + "; pods that ask it need a hop limit of 2, which does not show from here")
