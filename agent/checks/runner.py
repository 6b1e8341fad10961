"""List of all groups, in the order of the output, and the code that runs them in parallel."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Callable

from agent.checks import (
    clock,
    direct,
    elsewhere,
    files,
    metadata,
    no_proxy,
    packages,
    processes,
    proxy,
    settings,
    units,
)
from agent.checks.context import NEEDS_MACHINE, CheckedNode, error_summary
from agent.checks.finding import FAIL, SKIP, Finding
from agent.core.record import evolve, record
from agent.core.redact import redact
from agent.edges.threads import start
from agent.errors import AgentError

#: The name of a finding about a whole group.
ALL = "all"
NO_SYSTEMD = "systemd is not running"
#: Seconds for all groups together, without the time to read the node's state.  Each group has a
#: shorter limit of its own.
BOUND = 6.0


@record
class Group:
    """A group of checks and what it requires.

    `needs_machine`: a running machine, not a directory tree.  `needs_intent`: valid settings with a
    proxy.  `needs_systemd`: systemd, which it queries.
    """

    name: str
    check: Callable[[CheckedNode], Iterable[Finding]]
    needs_machine: bool = True
    needs_intent: bool = True
    needs_systemd: bool = False


GROUPS = (
    Group(settings.GROUP, settings.check, needs_machine=False, needs_intent=False),
    Group(metadata.GROUP, metadata.check, needs_machine=False, needs_intent=False),
    Group(files.GROUP, files.check, needs_machine=False),
    Group(units.GROUP, units.check, needs_systemd=True),
    Group(processes.GROUP, processes.check, needs_systemd=True),
    Group(proxy.GROUP, proxy.check),
    Group(direct.GROUP, direct.check),
    Group(no_proxy.GROUP, no_proxy.check, needs_machine=False),
    Group(packages.GROUP, packages.check, needs_machine=False),
    Group(elsewhere.GROUP, elsewhere.check, needs_machine=False),
    Group(clock.GROUP, clock.check),
)


def examine(node: CheckedNode, groups: Sequence[Group]) -> tuple[Finding, ...]:
    """Run the groups in parallel and return their findings in the order of the groups, redacted.

    Groups for which the system refuses a thread run one after the other, as far as the time allows.
    """
    results: dict[str, list[Finding]] = {}
    threads = [threading.Thread(target=_run_group, args=(node, group, results), daemon=True) for group in groups]
    deadline = time.monotonic() + BOUND
    started = start(threads)
    for group in groups[len(started) :]:
        if time.monotonic() < deadline:
            _run_group(node, group, results)
    for thread in started:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = {
        group.name: [Finding(group.name, ALL, FAIL, f"timed out after {BOUND:g} s", topic="failed check")]
        for group in groups
    }
    return tuple(
        evolve(finding, text=redact(finding.text), hint=redact(finding.hint))
        for group in groups
        for finding in results.get(group.name, late[group.name])
    )


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 0 if nothing failed, 78 for invalid settings alone, 3 for drift alone, else 1."""
    codes = {finding.exit_code for finding in findings if finding.state == FAIL}
    return codes.pop() if len(codes) == 1 else int(bool(codes))


def _run_group(node: CheckedNode, group: Group, results: dict[str, list[Finding]]) -> None:
    """Store the findings of a group.

    An error in a group is a finding too, and does not stop the other groups.
    """
    if group.needs_machine and not node.is_live:
        results[group.name] = [Finding(group.name, ALL, SKIP, NEEDS_MACHINE)]
    elif group.needs_intent and node.skip_reason:
        results[group.name] = [Finding(group.name, ALL, SKIP, node.skip_reason)]
    elif group.needs_systemd and not node.host.units.running:
        results[group.name] = [Finding(group.name, ALL, SKIP, NO_SYSTEMD)]
    else:
        try:
            results[group.name] = list(group.check(node))
        except AgentError as error:
            results[group.name] = [Finding(group.name, ALL, FAIL, error_summary(error), error.hint)]
        except Exception as error:  # noqa: BLE001 -- whatever is on the disk, the other groups must run
            text = f"internal error: {type(error).__name__}: {error}"
            hint = "report it: this is a bug in eks-proxy-agent"
            results[group.name] = [Finding(group.name, ALL, FAIL, text, hint, topic="failed check")]
