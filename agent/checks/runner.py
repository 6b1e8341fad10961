"""All groups, in the order in which a person reads them, looked at side by side and each within a bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Callable

import attrs

from agent.checks import clock, direct, files, metadata, no_proxy, packages, processes, proxy, settings, units
from agent.checks.context import OFFLINE, CheckedNode, reason
from agent.checks.finding import FAIL, SKIP, Finding
from agent.core.redact import redact
from agent.errors import AgentError

#: The name of a finding about a whole group.
ALL = "all"
NO_SYSTEMD = "no systemd runs here"
#: Seconds for all groups together, once the node was looked up; each has a shorter bound of its
#: own.
BOUND = 6.0


@attrs.frozen
class Group:
    """What is looked at, and what that takes.

    `live`: needs the running machine.  `intent`: needs valid settings with a proxy.  `systemd`:
    asks systemd.
    """

    name: str
    check: Callable[[CheckedNode], Iterable[Finding]]
    live: bool = True
    intent: bool = True
    systemd: bool = False


GROUPS = (
    Group(settings.GROUP, settings.check, live=False, intent=False),
    Group(metadata.GROUP, metadata.check, live=False, intent=False),
    Group(files.GROUP, files.check, live=False),
    Group(units.GROUP, units.check, systemd=True),
    Group(processes.GROUP, processes.check, systemd=True),
    Group(proxy.GROUP, proxy.check),
    Group(direct.GROUP, direct.check),
    Group(no_proxy.GROUP, no_proxy.check, live=False),
    Group(packages.GROUP, packages.check, live=False),
    Group(clock.GROUP, clock.check),
)


def examine(node: CheckedNode, groups: Sequence[Group]) -> tuple[Finding, ...]:
    """What all of them find, in their order, without credentials."""
    found: dict[str, list[Finding]] = {}
    threads = [threading.Thread(target=_examine, args=(node, group, found), daemon=True) for group in groups]
    ends = time.monotonic() + BOUND
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
    late = {group.name: [Finding(group.name, ALL, FAIL, f"no end after {BOUND:g} seconds")] for group in groups}
    return tuple(
        attrs.evolve(finding, text=redact(finding.text), hint=redact(finding.hint))
        for group in groups
        for finding in found.get(group.name, late[group.name])
    )


def exit_code(findings: Iterable[Finding]) -> int:
    """0 when nothing failed; 78 for wrong settings alone, 3 for drift alone, else 1."""
    failed = {finding.exit_code for finding in findings if finding.state == FAIL}
    return failed.pop() if len(failed) == 1 else int(bool(failed))


def _examine(node: CheckedNode, group: Group, found: dict[str, list[Finding]]) -> None:
    """A check that cannot be made is a finding too, and never the end of the others."""
    if group.live and not node.live:
        found[group.name] = [Finding(group.name, ALL, SKIP, OFFLINE)]
    elif group.intent and node.missing:
        found[group.name] = [Finding(group.name, ALL, SKIP, node.missing)]
    elif group.systemd and not node.host.units.running:
        found[group.name] = [Finding(group.name, ALL, SKIP, NO_SYSTEMD)]
    else:
        try:
            found[group.name] = list(group.check(node))
        except AgentError as error:
            found[group.name] = [Finding(group.name, ALL, FAIL, reason(error), error.hint)]
        except Exception as error:  # noqa: BLE001 -- whatever lies on the disk, the other checks are worth having
            text = f"could not be made: {type(error).__name__}: {error}"
            found[group.name] = [Finding(group.name, ALL, FAIL, text, "this is a mistake in eks-proxy-agent")]
