"""Access to the metadata service: with version 2, and not through a proxy."""

from __future__ import annotations

from collections.abc import Iterator

from agent.checks.context import NEEDS_MACHINE, CheckedNode
from agent.checks.finding import FAIL, OK, SKIP, Finding

GROUP = "metadata"
NAME = "service"


def check(node: CheckedNode) -> Iterator[Finding]:
    """Report the request for the facts.

    The agent uses version 2 only, and the service refuses requests that passed a proxy
    (X-Forwarded-For).  So a response shows both.
    """
    if node.metadata_error is not None:
        hint = "check metadata.endpoint, and that the metadata service is enabled for this instance"
        hint = "correct the file of --facts, or omit --facts" if node.sources.facts else hint
        yield Finding(GROUP, NAME, FAIL, str(node.metadata_error), node.metadata_error.hint or hint)
    elif node.sources.facts:
        yield Finding(GROUP, NAME, SKIP, f"facts are read from {node.sources.facts} (--facts)")
    elif not node.is_live:
        yield Finding(GROUP, NAME, SKIP, NEEDS_MACHINE)
    elif node.facts is None or node.layered is None:
        yield Finding(GROUP, NAME, SKIP, node.skip_reason)
    else:
        endpoint, milliseconds = node.layered.settings.metadata.endpoint, node.metadata_seconds * 1000
        text = f"{endpoint} responds within {milliseconds:.0f} ms (IMDSv2, no proxy in between)"
        instance = f"{node.facts.instance_id} in {node.facts.region}"
        hop_limit = "pods need a hop limit of 2 (not checked)"  # which the service does not report
        yield Finding(GROUP, NAME, OK, f"{text}: {instance}; {hop_limit}")
