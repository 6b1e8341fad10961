"""Has systemd loaded what is on disk, does nothing win over it, and do the units wait for the agent?"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence

from agent.checks.context import NEEDS_ROOT, CheckedNode, is_root
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.core.plan.files.environment import NAMES, NODE_ENV, assignments
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.status.document import DEGRADED, StatusDocument
from agent.core.systemd import UnitState, to_enable
from agent.edges.files import FileSystem

GROUP = "units"
AGENT = "eks-proxy-agent.service"
RELOAD = "systemctl daemon-reload"
#: Seconds until systemctl is given up: it waits for PID 1, which may be busy, and a person for us.
BOUND = 4.0


def check(node: CheckedNode) -> Iterator[Finding]:
    covered, enable = node.settings.node.units, node.settings.node.enable
    shown = node.host.units.show(list(dict.fromkeys((AGENT, *covered, *enable))), timeout=BOUND)
    agent = shown[AGENT]
    yield _agent(agent, node.told)
    for name in covered:
        if shown[name].exists:
            yield _unit(node, shown[name], agent)
    for name in to_enable(node.settings, shown):
        yield Finding(GROUP, name, FAIL, "is disabled, and node.enable names it", "systemctl enable --now " + name)


def problem(node: CheckedNode, unit: UnitState) -> Finding | None:
    """Why what starts now does not get our environment; None when it does.  A restart alone mends none of it."""
    return _not_loaded(node.host.files, unit) or _outdone(node, unit)


def _winner(node: CheckedNode, unit: UnitState) -> tuple[str, str] | None:
    """The file that is read after ours and sets a variable otherwise, and that variable; None when ours wins.

    Environment= lines are harmless: files beat them.  Raises PermissionError when only root can
    tell.
    """
    wanted = dict(node.intent.variables(secret=True))
    for path in _after_ours(unit):
        for name, value in _assignments(node.host.files, path).items():
            if name in NAMES and value != wanted[name]:
                if node.partial:
                    raise PermissionError(path)  # it may be the very value with the credentials
                return path, name
    return None


def _agent(unit: UnitState, told: StatusDocument | None) -> Finding:
    if not unit.exists or unit.enabled != "enabled":
        what, hint = _not_enabled(unit)
        return Finding(GROUP, AGENT, FAIL, what + ": at the next boot nobody configures this node", hint)
    if unit.active == "failed":
        return Finding(GROUP, AGENT, FAIL, "has failed", "journalctl --boot --unit " + AGENT)
    if unit.active not in ("active", "reloading", "activating"):
        return Finding(GROUP, AGENT, WARN, f"is {unit.active}: nobody repairs drift", "systemctl start " + AGENT)
    if unit.needs_reload:
        return Finding(GROUP, AGENT, WARN, "its unit file changed since systemd loaded it", RELOAD)
    if told and told.phase == DEGRADED:
        text = "its last pass failed: {}".format(str(told.error).partition("\n")[0])
        return Finding(GROUP, AGENT, WARN, text, "eks-proxy-agent status; it tries again by itself")
    return Finding(GROUP, AGENT, OK, f"enabled and {unit.active}")


def _not_enabled(unit: UnitState) -> tuple[str, str]:
    if unit.enabled.startswith("masked"):
        return "is masked", f"systemctl unmask {AGENT}; systemctl enable --now {AGENT}"
    if unit.exists:
        return "is " + (unit.enabled or "not enabled"), "systemctl enable " + AGENT
    if unit.enabled:
        return "cannot be loaded by systemd", "systemctl status " + AGENT
    return "is not installed", "install the package eks-proxy-agent again"


def _unit(node: CheckedNode, unit: UnitState, agent: UnitState) -> Finding:
    found = problem(node, unit)
    if found is not None:
        return found
    if unit.needs_reload:
        text = "our drop-in is loaded; another file of the unit changed since"
        return Finding(GROUP, unit.name, WARN, text, RELOAD)
    if unit.name not in agent.before:
        text = "our drop-in is loaded, but the unit starts without waiting for the agent"
        hint = f"systemctl edit {unit.name}: [Unit], After={AGENT}"
        return Finding(GROUP, unit.name, WARN, text, hint)
    return Finding(GROUP, unit.name, OK, "our drop-in is loaded and wins; it starts after the agent")


def _not_loaded(files: FileSystem, unit: UnitState) -> Finding | None:
    ours = EnvironmentDropin.path_of(unit.name)
    if ours in unit.drop_ins:
        return None
    if files.state(ours).content is None:
        return Finding(GROUP, unit.name, SKIP, "has no drop-in of ours on disk (see files)")
    text = f"{ours} is on disk, and systemd has not loaded it: the next start has no proxy"
    return Finding(GROUP, unit.name, FAIL, text, _reload(unit))


def _outdone(node: CheckedNode, unit: UnitState) -> Finding | None:
    files = node.host.files
    if NODE_ENV not in unit.environment_files:
        return _taken_back(files, unit)
    wanted = node.intent.variables(secret=True)
    gone = [name for name, value in wanted if name in unit.unset or f"{name}={value}" in unit.unset]
    if gone:
        text = "UnsetEnvironment= takes {} away".format(", ".join(gone))
        source = _source(files, unit.drop_ins, rb"UnsetEnvironment[ \t]*=.*\b%s\b.*" % gone[0].encode())
        return Finding(GROUP, unit.name, FAIL, text, _mend("it", source, unit))
    try:
        found = _winner(node, unit)
    except PermissionError:
        return Finding(GROUP, unit.name, SKIP, NEEDS_ROOT)
    if found is None:
        return None
    path, name = found
    source = _source(files, unit.drop_ins, rb"EnvironmentFile[ \t]*=[ \t]*-?%s" % re.escape(path.encode()))
    text = "EnvironmentFile={} of {} is read after ours and sets {} otherwise".format(path, source or "the unit", name)
    return Finding(GROUP, unit.name, FAIL, text, _mend("the line", source, unit))


def _taken_back(files: FileSystem, unit: UnitState) -> Finding:
    """systemd knows our drop-in, and not the file that it names."""
    ours = EnvironmentDropin.path_of(unit.name)
    source = _source(files, _later_drop_ins(unit), rb"EnvironmentFile[ \t]*=")
    if source:
        text = f"{ours} is loaded, but {source} takes its EnvironmentFile= back"
        return Finding(GROUP, unit.name, FAIL, text, _mend("the empty EnvironmentFile=", source, unit))
    if unit.needs_reload:
        text = f"systemd has loaded another text of {ours} than is on disk: the next start has no proxy"
        return Finding(GROUP, unit.name, FAIL, text, _reload(unit))
    return Finding(GROUP, unit.name, SKIP, "our drop-in is not as planned (see files)")


def _mend(what: str, where: str, unit: UnitState) -> str:
    return "take {} out of {}, then: {}; {}".format(what, where or "the unit", RELOAD, restart(unit.name))


def _reload(unit: UnitState) -> str:
    return f"{RELOAD}; then, when it suits you: {restart(unit.name)}"


def restart(name: str) -> str:
    return "systemctl restart " + name


def _after_ours(unit: UnitState) -> tuple[str, ...]:
    """The files that are read after node.env."""
    files = unit.environment_files
    if NODE_ENV not in files:
        return ()
    last = len(files) - 1 - files[::-1].index(NODE_ENV)
    return files[last + 1 :]


def _assignments(files: FileSystem, path: str) -> dict[str, str]:
    """What a file sets; a path with * or ? is that of several files, read in order of their names."""
    found: dict[str, str] = {}
    for name in sorted(glob.glob(path)) if glob.has_magic(path) else [path]:
        state = files.state(files.resolve(name))
        if state.problem and not is_root():
            raise PermissionError(name)
        found.update(assignments(state.content or b""))
    return found


def _later_drop_ins(unit: UnitState) -> list[str]:
    """The drop-ins that systemd reads after ours: it goes by their names, whatever directory they are in."""
    ours = EnvironmentDropin.path_of(unit.name)
    return [path for path in unit.drop_ins if path.rpartition("/")[2] > ours.rpartition("/")[2]]


def _source(files: FileSystem, drop_ins: Sequence[str], line: bytes) -> str:
    """The last of the drop-ins with such a line (a regular expression); empty when none has."""
    wanted = re.compile(rb"^[ \t]*%s[ \t]*$" % line, re.MULTILINE)
    return next((path for path in reversed(drop_ins) if wanted.search(files.state(path).content or b"")), "")
