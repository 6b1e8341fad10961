"""Units as systemd has loaded them.

They must have the agent's drop-in, not overridden, and must be ordered after the agent.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence

from agent.checks.context import NEEDS_ROOT, CheckedNode, is_root
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.core.plan.files.environment import NODE_ENV, assignments
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.record import evolve
from agent.core.settings.unit_table import DEFAULT_UNITS, UNORDERED, unset_names, variables_of
from agent.core.status.document import DEGRADED, StatusDocument
from agent.core.systemd import AGENT, ALIVE, UnitState, considered, enabling, to_enable
from agent.edges.files import FileSystem
from agent.node.waiting import waiting_units

GROUP = "units"
RELOAD = "systemctl daemon-reload"
#: Seconds that systemctl gets: it waits for PID 1, which may be busy, and a person waits for us.
BOUND = 4.0


def check(node: CheckedNode) -> Iterator[Finding]:
    """Check the agent's unit, the units of node.units that exist, and those of node.enable."""
    covered, enable = node.settings.node.units, considered(node.settings)
    states = node.host.units.show(list(dict.fromkeys((AGENT, *covered, *enable))), timeout=BOUND)
    agent = states[AGENT]
    yield _agent(agent, node.status)
    for name in covered:
        if states[name].exists:
            yield _unit(node, states[name], agent)
    for name in to_enable(node.settings, states):
        rule = enabling(node.settings, states).rule
        text = f'disabled; node.enable = "auto": {rule}' if rule else "disabled, but listed in node.enable"
        yield Finding(GROUP, name, FAIL, text, "systemctl enable --now " + name, topic="disabled")


def problem(node: CheckedNode, unit: UnitState) -> Finding | None:
    """Return why the unit's next start does not get our environment, or None if it does.

    A restart alone fixes none of these problems.
    """
    return _not_loaded(node.host.files, unit) or _overridden(node, unit)


def _override(node: CheckedNode, unit: UnitState) -> tuple[str, str] | None:
    """Return a file that is read after node.env and sets another value, and the variable, or None.

    Environment= lines are harmless: files override them.  Raises PermissionError if only root can
    know.
    """
    desired = {name: value for name, value in variables_of(unit.name, node.intent.variables(secret=True)) if value}
    for path in _read_after_node_env(unit):
        for name, value in _assignments(node.host.files, path).items():
            if name in desired and value != desired[name]:
                if node.is_from_status:
                    raise PermissionError(path)  # it may be the same value, with the credentials
                return path, name
    return None


def _agent(unit: UnitState, status: StatusDocument | None) -> Finding:
    if not unit.exists or unit.enabled != "enabled":
        text, hint = _not_enabled(unit)
        return Finding(GROUP, AGENT, FAIL, text + "; the next boot does not configure this node", hint, topic="agent")
    if unit.active == "failed":
        return Finding(GROUP, AGENT, FAIL, "failed", "journalctl --boot --unit " + AGENT, topic="agent")
    if unit.active not in ALIVE:
        text = f"{unit.active}; drift is not repaired"
        return Finding(GROUP, AGENT, WARN, text, "systemctl start " + AGENT, topic="agent")
    if unit.needs_reload:
        return Finding(GROUP, AGENT, WARN, "unit file changed since systemd loaded it", RELOAD, topic="agent")
    if status and status.phase == DEGRADED:
        error = str(status.error).partition("\n")[0]
        hint = "eks-proxy-agent status; the agent retries by itself"
        return Finding(GROUP, AGENT, WARN, f"the last reconcile failed: {error}", hint, topic="degraded")
    return Finding(GROUP, AGENT, OK, f"enabled and {unit.active}")


def _not_enabled(unit: UnitState) -> tuple[str, str]:
    if unit.enabled.startswith("masked"):
        return "masked", f"systemctl unmask {AGENT}; systemctl enable --now {AGENT}"
    if unit.exists:
        return unit.enabled or "not enabled", "systemctl enable " + AGENT
    if unit.enabled:
        return "systemd cannot load it", "systemctl status " + AGENT
    return "not installed", "reinstall the package eks-proxy-agent"


def _unit(node: CheckedNode, unit: UnitState, agent: UnitState) -> Finding:
    finding = problem(node, unit)
    if finding is not None:
        return finding
    if unit.needs_reload:
        text = "the agent's drop-in is loaded; another file of the unit changed since systemd loaded it"
        return Finding(GROUP, unit.name, WARN, text, RELOAD)
    if unit.name in UNORDERED:
        text = f"the agent's drop-in is loaded and not overridden; {UNORDERED[unit.name].caveat}"
        return Finding(GROUP, unit.name, OK, text)
    if unit.name not in agent.before:
        return _does_not_wait(node, unit)
    text = "the agent's drop-in is loaded and not overridden; the unit starts after the agent"
    return Finding(GROUP, unit.name, OK, text)


def _does_not_wait(node: CheckedNode, unit: UnitState) -> Finding:
    text = "the agent's drop-in is loaded, but the unit does not wait for the agent at boot"
    if unit.name in DEFAULT_UNITS:
        hint = f"{RELOAD}; if that does not help, reinstall the package eks-proxy-agent"
        return Finding(GROUP, unit.name, WARN, text, hint)
    reason = dict(waiting_units(node.host, [unit.name]).obstacles).get(unit.name)
    if reason:
        hint = f"if it needs the proxy, restart it after boot: {restart(unit.name)}"
        return Finding(GROUP, unit.name, WARN, f"{text}: it {reason}", hint)
    return Finding(GROUP, unit.name, WARN, text, "eks-proxy-agent apply; it counts from the next boot on")


def _not_loaded(files: FileSystem, unit: UnitState) -> Finding | None:
    dropin = EnvironmentDropin.path_of(unit.name)
    if dropin in unit.drop_ins:
        return None
    if files.state(dropin).content is None:
        return Finding(GROUP, unit.name, SKIP, "the agent's drop-in is missing (see files)")
    text = f"{dropin} exists, but systemd has not loaded it; the unit's next start gets no proxy"
    return Finding(GROUP, unit.name, FAIL, text, _reload_hint(unit))


def _overridden(node: CheckedNode, unit: UnitState) -> Finding | None:
    files = node.host.files
    if NODE_ENV not in unit.environment_files:
        return _without_line(files, unit, "EnvironmentFile=", "gets no proxy")
    desired = variables_of(unit.name, node.intent.variables(secret=True))
    removed = [name for name, value in desired if value and (name in unit.unset or f"{name}={value}" in unit.unset)]
    if removed:
        source = _source(files, unit.drop_ins, rb"UnsetEnvironment[ \t]*=.*\b%s\b.*" % removed[0].encode())
        text = f"UnsetEnvironment= of {source or 'the unit'} removes {', '.join(removed)}"
        return Finding(GROUP, unit.name, FAIL, text, _removal_hint("the line", source, unit))
    if not set(unset_names(unit.name)) <= set(unit.unset):
        finding = _without_line(files, unit, "UnsetEnvironment=", "queries the metadata service through the proxy")
        return evolve(finding, topic="metadata")
    try:
        override = _override(node, unit)
    except PermissionError:
        return Finding(GROUP, unit.name, SKIP, NEEDS_ROOT)
    if override is None:
        return None
    path, name = override
    source = _source(files, unit.drop_ins, rb"EnvironmentFile[ \t]*=[ \t]*-?%s" % re.escape(path.encode()))
    text = f"EnvironmentFile={path} of {source or 'the unit'} overrides {name}"
    return Finding(GROUP, unit.name, FAIL, text, _removal_hint("the line", source, unit))


def _without_line(files: FileSystem, unit: UnitState, key: str, consequence: str) -> Finding:
    """Say why a unit with our drop-in lacks the value of one of its lines."""
    dropin = EnvironmentDropin.path_of(unit.name)
    source = _source(files, _later_drop_ins(unit), key[:-1].encode() + rb"[ \t]*=")
    if source:
        text = f"{dropin} is loaded, but {source} resets {key}"
        return Finding(GROUP, unit.name, FAIL, text, _removal_hint("the empty " + key, source, unit))
    if unit.needs_reload:
        text = f"{dropin} changed since systemd loaded it; the unit's next start {consequence}"
        return Finding(GROUP, unit.name, FAIL, text, _reload_hint(unit))
    return Finding(GROUP, unit.name, SKIP, "the agent's drop-in is not as planned (see files)")


def _removal_hint(line: str, path: str, unit: UnitState) -> str:
    return f"remove {line} from {path or 'the unit'}, then run: {RELOAD}; {restart(unit.name)}"


def _reload_hint(unit: UnitState) -> str:
    return f"{RELOAD}; restart at a convenient time: {restart(unit.name)}"


def restart(name: str) -> str:
    return "systemctl restart " + name


def _read_after_node_env(unit: UnitState) -> tuple[str, ...]:
    """Return the files of EnvironmentFile= that systemd reads after node.env."""
    files = unit.environment_files
    if NODE_ENV not in files:
        return ()
    last = len(files) - 1 - files[::-1].index(NODE_ENV)
    return files[last + 1 :]


def _assignments(files: FileSystem, path: str) -> dict[str, str]:
    """Return the variables that a file sets.

    A path with * or ? stands for several files, which systemd reads in order of their names.
    Raises PermissionError without the right to read one.
    """
    variables: dict[str, str] = {}
    for name in sorted(glob.glob(path)) if glob.has_magic(path) else [path]:
        state = files.state(files.resolve(name))
        if state.problem and not is_root():
            raise PermissionError(name)
        variables.update(assignments(state.content or b""))
    return variables


def _later_drop_ins(unit: UnitState) -> list[str]:
    """Return the drop-ins that systemd reads after ours.

    It sorts them by file name, whatever directory they are in.
    """
    ours = EnvironmentDropin.path_of(unit.name)
    return [path for path in unit.drop_ins if path.rpartition("/")[2] > ours.rpartition("/")[2]]


def _source(files: FileSystem, drop_ins: Sequence[str], line: bytes) -> str:
    """Return the last drop-in with a line that matches the regular expression, else ''."""
    pattern = re.compile(rb"^[ \t]*%s[ \t]*$" % line, re.MULTILINE)
    return next((path for path in reversed(drop_ins) if pattern.search(files.state(path).content or b"")), "")
