"""`status`: how the node stands, in one screen."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any, Dict, List, Optional

from agent.apply import Machine
from agent.commands.machine import machine_of
from agent.core.files.dropin import unit_of
from agent.core.plan import digest
from agent.errors import AgentError, FileError


def run(arguments: argparse.Namespace) -> int:
    machine = machine_of(arguments)
    known = machine.state.status() or {"schema": 1, "phase": "not configured", "error": None}
    known["files"] = [{"path": path, "state": _file_state(machine, path)} for path in known.get("files", [])]
    known["units"] = _units(machine, known)
    if arguments.json:
        print(json.dumps(known, indent=2))
        return 0
    for line in _screen(known):
        print(line)
    return 0


def _file_state(machine: Machine, path: str) -> str:
    """`ok`, `changed` or `missing`, by what we last wrote there."""
    try:
        resolved = machine.disk.resolve(path)
        state = machine.disk.state(resolved)
        record = machine.state.baseline().files.get(resolved)
    except FileError:
        return "unknown (root can tell)" if os.geteuid() else "unreadable"
    if state.problem:
        return "unknown (root can tell)" if os.geteuid() else state.problem
    if state.content is None:
        return "missing"
    if record is None:
        return "ok"
    return "ok" if digest(state.content) in record.written[:1] else "changed since"


def _units(machine: Machine, known: Dict[str, Any]) -> List[Dict[str, Any]]:
    names = [name for name in (unit_of(item["path"]) for item in known["files"]) if name]
    try:
        units = machine.units.show(names)
    except AgentError:
        return []
    return [{"unit": name, "state": unit.active if unit.exists else "absent"} for name, unit in units.items()]


def _screen(known: Dict[str, Any]) -> List[str]:
    proxy: Optional[Dict[str, str]] = known.get("proxy")
    lines = ["phase      %s" % known["phase"]]
    if known.get("error"):
        lines += ["error      " + line for line in known["error"].splitlines()]
    if known.get("instance_id"):
        lines.append("instance   %s in %s" % (known["instance_id"], known["region"]))
    if proxy:
        lines.append(
            "proxy      %s" % proxy["http"] + ("" if proxy["https"] == proxy["http"] else ", https %s" % proxy["https"])
        )
        lines.append("intent     %s, as of %s" % (known["intent"], known["updated"]))
        lines.append("no_proxy   %s" % _entries(known["no_proxy"]))
    lines += ["warning    " + warning for warning in known.get("warnings", [])]
    lines += ["file       %-60s %s" % (item["path"], item["state"]) for item in known["files"]]
    lines += ["unit       %-60s %s" % (item["unit"], item["state"]) for item in known["units"]]
    return lines


def _entries(entries: List[Dict[str, str]]) -> str:
    """The entries by reason, one line a reason."""
    reasons: Dict[str, List[str]] = {}
    for entry in entries:
        reasons.setdefault(entry["reason"], []).append(entry["entry"])
    return "\n           ".join("%-15s %s" % (reason, " ".join(values)) for reason, values in reasons.items())
