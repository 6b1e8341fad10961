"""Environments of the running processes, compared with the desired one."""

from __future__ import annotations

from collections.abc import Iterable

from agent.checks import units
from agent.checks.context import NEEDS_ROOT, CheckedNode, is_root
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.core.redact import redact_proxy
from agent.core.settings.unit_table import is_boot_job, variables_of
from agent.core.systemd import UnitState, differences
from agent.edges.systemd import environ
from agent.errors import CommandError

GROUP = "processes"


def check(node: CheckedNode) -> Iterable[Finding]:
    """Check the main process of each running unit of node.units."""
    try:
        states = node.host.units.show(node.settings.node.units, timeout=units.BOUND).values()
    except CommandError:
        yield Finding(GROUP, "services", SKIP, "systemd does not respond (see units)")
        return
    running = [unit for unit in states if unit.active == "active" and unit.main_pid]
    for unit in running:
        yield _process(node, unit)
    if not running:
        yield Finding(GROUP, "services", SKIP, "no unit of node.units is running")


def _process(node: CheckedNode, unit: UnitState) -> Finding:
    """Check one process.

    What a restart would not fix is the unit's fault: it is a finding of the unit, and skipped here.
    """
    name, process = unit.name, f"process {unit.main_pid}"
    try:
        environment = environ(unit.main_pid)
    except CommandError as error:
        return Finding(GROUP, name, SKIP, str(error) if is_root() else NEEDS_ROOT)
    if not environment:
        return Finding(GROUP, name, SKIP, f"{process} has exited")
    desired = dict(variables_of(name, node.intent.variables(secret=True)))
    different = differences(environment, desired.items())
    memory = node.host.state.memory_if_readable()
    if memory.accepted.defers(name, different) and unit.since >= (memory.ca_changed_at or 0):
        text = f"{process} has the environment of an earlier version of the agent, which was right for these settings"
        return Finding(GROUP, name, OK, f"{text}; what the new version added takes effect at the next restart")
    if not different and unit.since < (memory.ca_changed_at or 0):
        text = f"{process} started before the proxy's CA changed in the trust store; programs read it at start"
        return Finding(GROUP, name, FAIL, text, units.restart(unit.name))
    if not different:
        return Finding(GROUP, name, OK, f"{process} has the desired proxy and NO_PROXY")
    if units.problem(node, unit) is not None:
        text = f"{process} does not have the desired proxy and NO_PROXY; a restart alone does not fix it (see units)"
        return Finding(GROUP, name, SKIP, text)
    text = f"{process} has an old environment: {_describe(different, desired)}"
    if is_boot_job(name):
        return Finding(GROUP, name, WARN, text, "do not restart it: it runs once at boot, and ends by itself")
    return Finding(GROUP, name, FAIL, text, units.restart(unit.name))


def _describe(different: dict[str, str], desired: dict[str, str]) -> str:
    """Describe the differences.

    A name in lower and in upper case usually has the same value, so only the first is described.
    """
    texts: dict[str, str] = {}
    for name, value in different.items():
        texts.setdefault(name.lower(), _difference(name, value, desired[name]))
    return "; ".join(texts.values())


def _difference(name: str, value: str, desired: str) -> str:
    if not value:
        return f"{name} is not set"
    if not desired:
        return f"{name} is set, and must not be: this unit queries the metadata service"
    if name.lower() == "no_proxy":
        actual_entries, desired_entries = value.split(","), desired.split(",")
        missing = [entry for entry in desired_entries if entry not in actual_entries]
        unexpected = [entry for entry in actual_entries if entry not in desired_entries]
        parts = ["lacks " + " ".join(missing)] * bool(missing)
        parts += ["has unexpected " + " ".join(unexpected)] * bool(unexpected)
        return f"{name} {' and '.join(parts) or 'has its entries in a different order'}"
    if redact_proxy(value) == redact_proxy(desired):
        return f"{name} has different credentials"
    return f"{name} is {redact_proxy(value)}"
