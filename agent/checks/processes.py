"""Do the processes that run have the environment that they should have?"""

from __future__ import annotations

from collections.abc import Iterator

from agent.checks import units
from agent.checks.context import NEEDS_ROOT, CheckedNode, is_root
from agent.checks.finding import FAIL, OK, SKIP, Finding
from agent.core.redact import redact_proxy
from agent.core.systemd import UnitState, differences
from agent.edges.systemd import environ
from agent.errors import CommandError

GROUP = "processes"


def check(node: CheckedNode) -> Iterator[Finding]:
    try:
        shown = node.host.units.show(node.settings.node.units, timeout=units.BOUND).values()
    except CommandError:
        yield Finding(GROUP, "services", SKIP, "systemd does not tell which there are (see units)")
        return
    running = [unit for unit in shown if unit.active == "active" and unit.main_pid]
    for unit in running:
        yield _process(node, unit)
    if not running:
        yield Finding(GROUP, "services", SKIP, "none of node.units is running")


def _process(node: CheckedNode, unit: UnitState) -> Finding:
    """What no restart would mend is the unit's fault, and told there."""
    name = unit.name
    try:
        environment = environ(unit.main_pid)
    except CommandError as error:
        return Finding(GROUP, name, SKIP, str(error) if is_root() else NEEDS_ROOT)
    if not environment:
        return Finding(GROUP, name, SKIP, f"process {unit.main_pid} has ended")
    wanted = dict(node.intent.variables(secret=True))
    found = differences(environment, wanted.items())
    if not found and unit.since < (node.host.state.memory().ca_changed_at or 0):
        text = f"process {unit.main_pid} is older than the proxy's CA in the trust store, which a program reads when it starts"
        return Finding(GROUP, name, FAIL, text, units.restart(unit.name))
    if not found:
        return Finding(GROUP, name, OK, f"process {unit.main_pid} has the proxy and its exceptions")
    if units.problem(node, unit) is not None:
        text = f"process {unit.main_pid} lacks the proxy or its exceptions, and no restart alone would mend that (see units)"
        return Finding(GROUP, name, SKIP, text)
    text = f"process {unit.main_pid} was started before the change: {_told(found, wanted)}"
    return Finding(GROUP, name, FAIL, text, units.restart(unit.name))


def _told(found: dict[str, str], wanted: dict[str, str]) -> str:
    """What differs; both cases of a name mostly do, and are told once."""
    told: dict[str, str] = {}
    for name, value in found.items():
        told.setdefault(name.lower(), _difference(name, value, wanted[name]))
    return "; ".join(told.values())


def _difference(name: str, value: str, wanted: str) -> str:
    if not value:
        return f"{name} is not set"
    if name.lower() == "no_proxy":
        has, wants = value.split(","), wanted.split(",")
        lacks = [entry for entry in wants if entry not in has]
        extra = [entry for entry in has if entry not in wants]
        parts = ["lacks " + " ".join(lacks)] * bool(lacks) + ["has " + " ".join(extra) + " too"] * bool(extra)
        return "{} {}".format(name, " and ".join(parts) or "is in another order")
    if redact_proxy(value) == redact_proxy(wanted):
        return f"{name} has other credentials"
    return f"{name} is {redact_proxy(value)}"
