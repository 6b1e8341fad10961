"""Units that an operator added to node.units: which of them can wait for the agent at boot."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from agent.core.plan.files.managed_file import ManagedFile
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.plan.plan import Plan
from agent.core.record import evolve
from agent.core.settings.unit_table import DEFAULT_UNITS
from agent.core.systemd import UnitState, obstacle
from agent.edges.systemd import Systemd
from agent.errors import CommandError
from agent.node.host import Host

#: Seconds for each call of systemctl; without an answer the drop-ins stay as they are.
BOUND = 4.0


class Waiting(NamedTuple):
    """Units that wait for the agent, and (unit, reason) of those that cannot."""

    units: tuple[str, ...] = ()
    obstacles: tuple[tuple[str, str], ...] = ()


def waiting_units(host: Host, units: Iterable[str]) -> Waiting:
    """Return which of these units, except default units, can wait for the agent.

    A unit of which systemd reports nothing, as in a directory tree, waits if its drop-in says so
    already.  One that cannot be read is a problem of the plan, and no reason to take its order
    away.
    """
    added = [unit for unit in units if unit not in DEFAULT_UNITS]
    states = _with_preceded(host.units, added)
    waiting, obstacles = [], []
    for unit in added:
        if unit not in states:
            state = host.files.state(EnvironmentDropin.path_of(unit))
            reason = "" if state.problem or EnvironmentDropin.lets_wait(state.content) else "unknown"
        else:
            reason = obstacle(unit, states)
        if not reason:
            waiting.append(unit)
        elif unit in states and states[unit].exists:
            obstacles.append((unit, reason))
    return Waiting(tuple(waiting), tuple(obstacles))


def with_order(host: Host, files: Sequence[ManagedFile]) -> tuple[ManagedFile, ...]:
    """Return the files, with After= in the drop-ins of the units that can wait for the agent."""
    units = [file.unit for file in files if isinstance(file, EnvironmentDropin)]
    waiting = waiting_units(host, units).units
    return tuple(
        evolve(file, waits=True) if isinstance(file, EnvironmentDropin) and file.unit in waiting else file
        for file in files
    )


def order_warnings(host: Host, files: Sequence[ManagedFile]) -> tuple[str, ...]:
    """Return a warning for each unit with a drop-in in `files` that cannot wait for the agent."""
    units = [file.unit for file in files if isinstance(file, EnvironmentDropin) and not file.waits]
    return tuple(
        f"node.units: {unit} does not wait for the agent at boot, because it {reason}; if it needs the proxy, restart it after boot"
        for unit, reason in waiting_units(host, units).obstacles
    )


def order_notes(host: Host, plan: Plan) -> tuple[str, ...]:
    """Return a note for each unit whose drop-in makes it wait once `plan` is applied."""
    if not host.units.running:
        return ()
    return tuple(
        f"{unit} waits for the agent from the next boot on"
        for change in plan.changes
        for unit in filter(None, [EnvironmentDropin.unit_of(change.path)])
        if EnvironmentDropin.lets_wait(change.after)
    )


def _with_preceded(systemd: Systemd, units: Collection[str]) -> dict[str, UnitState]:
    """Return the states of units and, transitively, of those that start after them.

    Empty if systemd does not run, or does not respond.
    """
    states: dict[str, UnitState] = {}
    queried, new = set[str](), set(units) if systemd.running else set[str]()
    try:
        while new:
            states.update(systemd.show(sorted(new), timeout=BOUND))
            queried |= new
            new = {name for unit in states.values() for name in unit.before} - queried
    except CommandError:
        return {}
    return states
