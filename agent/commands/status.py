"""The command `status`: the state of the node as a screen or as JSON (docs/status.md)."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from agent.commands.node import DAEMON, print_losses
from agent.core.plan.files.environment import NODE_ENV, assignments
from agent.core.plan.files.systemd_dropin import GATED_UNITS, ClosedGate, EnvironmentDropin
from agent.core.plan.plan import digest
from agent.core.record import evolve
from agent.core.status.document import NOT_RUN, StatusDocument
from agent.core.status.node_view import DaemonStatus, NodeView
from agent.core.status.records import BootstrapStatus
from agent.core.status.summary import Line, screen
from agent.core.systemd import UnitState
from agent.edges.state import READY
from agent.errors import AgentError, FileError
from agent.node.host import Host, host_of
from agent.node.units import outdated_units

_COLOURS = {"good": "32", "warn": "33", "bad": "31"}


def run(arguments: argparse.Namespace) -> int:
    host = host_of(arguments)
    view = inspect_node(host)
    print_losses(host)
    if arguments.json:
        print(json.dumps(view.to_json(), indent=2))
        return 0
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    for line in screen(view, time.time(), full=arguments.full):
        print(_shown(line, colours))
    return 0


def inspect_node(host: Host) -> NodeView:
    """Return status.json and the current state of files, units, the daemon and the bootstrap."""
    document = host.state.status() or StatusDocument(NOT_RUN)
    names = [name for name in map(EnvironmentDropin.unit_of, document.files) if name]
    units = _units(host, [DAEMON, *names])
    return NodeView(
        _with_current_units(host, document, [units[name] for name in names if name in units]),
        files={path: _file_state(host, path) for path in document.files},
        links=dict(_links(host, document.files)),
        units={name: _state(units[name]) for name in names if name in units},
        daemon=_daemon(units.get(DAEMON)),
        bootstrap=_result(host, document.instance_id, "bootstrap"),
        signal=_result(host, document.instance_id, "signal"),
        held_units=_held_units(host),
    )


def _with_current_units(host: Host, document: StatusDocument, units: Sequence[UnitState]) -> StatusDocument:
    """Return the document with the units that are outdated now, if root asks.

    The daemon's last check may be ten minutes old, or still to come.
    """
    if not (host.files.live and units):
        return document
    try:
        variables = assignments(host.files.read(NODE_ENV) or b"")
        outdated = outdated_units(host, units, tuple(variables.items()))
    except AgentError:
        return document
    return evolve(document, stale_units=outdated.stale, deferred_units=outdated.deferred)


def _shown(line: Line, colours: bool) -> str:
    text = line.text
    if colours and line.tone:
        text = f"\033[{_COLOURS[line.tone]}m{text}\033[0m"
    return f"{line.label:<10} {text}".rstrip()


def _file_state(host: Host, path: str) -> str:
    """Return `ok`, `changed since` or `missing`, compared with the last write; or the problem."""
    try:
        resolved = host.files.resolve(path)
        state = host.files.state(resolved)
        record = host.state.baseline().files.get(resolved)
    except FileError:
        return "unknown (root can tell)" if os.geteuid() else "unreadable"
    if state.problem:
        return "unknown (root can tell)" if os.geteuid() else state.problem
    if state.content is None:
        return "missing"
    if record is None:
        return "ok"
    return "ok" if digest(state.content) in record.written[:1] else "changed since"


def _links(host: Host, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each path that leads to another file, such as yum.conf, with that file."""
    for path in paths:
        with contextlib.suppress(FileError):
            resolved = host.files.resolve(path)
            if resolved != path:
                yield path, resolved


def _units(host: Host, names: list[str]) -> Mapping[str, UnitState]:
    try:
        return host.units.show(names)
    except AgentError:
        return {}


def _state(unit: UnitState) -> str:
    return unit.active if unit.exists else "absent"


def _daemon(unit: UnitState | None) -> DaemonStatus | None:
    """Return systemd's view of the daemon; None without systemd or without the unit."""
    if unit is None or not unit.exists or not unit.active:
        return None
    return DaemonStatus(unit.active, unit.enabled, unit.main_pid or None)


def _result(host: Host, instance_id: str | None, table: str) -> BootstrapStatus | None:
    """Return the result in a record of this instance; None if unknown or without root."""
    try:
        record = host.state.of_instance(instance_id, table) if instance_id else None
    except FileError:
        return None
    return BootstrapStatus.from_json(record) if record else None


def _held_units(host: Host) -> tuple[str, ...]:
    """Return the units that failure.policy = "closed" does not allow to start now."""
    if not host.files.live or host.files.state(READY).content is not None:
        return ()
    return tuple(unit for unit in GATED_UNITS if host.files.state(ClosedGate.path_of(unit)).content is not None)
