"""Has systemd loaded what is on disk, does nothing win over it, and do the units wait for the agent?"""

from __future__ import annotations

import glob
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.checks.node import NEEDS_ROOT, Node, is_root
from agent.configure import DEGRADED
from agent.core.files.dropin import environment_path
from agent.core.files.environment import NAMES, assignments
from agent.core.targets import NODE_ENV
from agent.core.units import to_enable
from agent.core.wiring import Wiring
from agent.edges.disk import Disk
from agent.edges.wiring import wirings

GROUP = "units"
AGENT = "eks-proxy-agent.service"
RELOAD = "systemctl daemon-reload"


def check(node: Node) -> Iterator[Finding]:
    shown = wirings([AGENT, *node.settings.node.units])
    agent = shown.pop(AGENT)
    yield _agent(agent, node.told)
    for wiring in shown.values():
        if wiring.exists:
            yield _unit(node, wiring, agent)
    for name in to_enable(node.settings, node.machine.units.show(node.settings.node.enable)):
        yield Finding(GROUP, name, FAIL, "is disabled, and node.enable names it", "systemctl enable --now " + name)


def winner(node: Node, wiring: Wiring) -> Optional[Tuple[str, str]]:
    """The file that is read after ours and sets a variable otherwise, and that variable; None when ours wins.

    Environment= lines are harmless: files beat them.  Raises PermissionError when only root can tell.
    """
    wanted = dict(node.intent.variables(secret=True))
    for path in _after_ours(wiring):
        for name, value in _assignments(node.machine.disk, path).items():
            if name in NAMES and value != wanted[name]:
                if node.partial:
                    raise PermissionError(path)  # it may be the very value with the credentials
                return path, name
    return None


def _agent(wiring: Wiring, told: Mapping[str, Any]) -> Finding:
    if not wiring.exists:
        return Finding(GROUP, AGENT, FAIL, "is not installed: at the next boot nobody configures this node")
    if wiring.enabled != "enabled":
        text = "is %s: at the next boot nobody configures this node" % (wiring.enabled or "not enabled")
        return Finding(GROUP, AGENT, FAIL, text, "systemctl enable " + AGENT)
    if wiring.active == "failed":
        return Finding(GROUP, AGENT, FAIL, "has failed", "journalctl --boot --unit " + AGENT)
    if wiring.active not in ("active", "reloading", "activating"):
        return Finding(GROUP, AGENT, WARN, "is %s: nobody repairs drift" % wiring.active, "systemctl start " + AGENT)
    if wiring.needs_reload:
        return Finding(GROUP, AGENT, WARN, "its unit file changed since systemd loaded it", RELOAD)
    if told.get("phase") == DEGRADED:
        text = "its last pass failed: %s" % str(told.get("error")).partition("\n")[0]
        return Finding(GROUP, AGENT, WARN, text, "eks-proxy-agent status; it tries again by itself")
    return Finding(GROUP, AGENT, OK, "enabled and %s" % wiring.active)


def _unit(node: Node, wiring: Wiring, agent: Wiring) -> Finding:
    problem = _not_loaded(node.machine.disk, wiring) or _outdone(node, wiring)
    if problem is not None:
        return problem
    if wiring.needs_reload:
        text = "our drop-in is loaded; another file of the unit changed since"
        return Finding(GROUP, wiring.name, WARN, text, RELOAD)
    if wiring.name not in agent.before:
        text = "our drop-in is loaded, but the unit starts without waiting for the agent"
        hint = "systemctl edit %s: [Unit], After=%s" % (wiring.name, AGENT)
        return Finding(GROUP, wiring.name, WARN, text, hint)
    return Finding(GROUP, wiring.name, OK, "our drop-in is loaded and wins; it starts after the agent")


def _not_loaded(disk: Disk, wiring: Wiring) -> Optional[Finding]:
    ours = environment_path(wiring.name)
    if ours in wiring.drop_ins:
        return None
    if disk.state(ours).content is None:
        return Finding(GROUP, wiring.name, SKIP, "has no drop-in of ours on disk (see files)")
    text = "%s is on disk, and systemd has not loaded it: the next start has no proxy" % ours
    return Finding(GROUP, wiring.name, FAIL, text, "%s; then, when it suits you: %s" % (RELOAD, restart(wiring.name)))


def _outdone(node: Node, wiring: Wiring) -> Optional[Finding]:
    if NODE_ENV not in wiring.environment_files:
        later = ", ".join(_later_drop_ins(wiring)) or "a drop-in"
        text = "%s is loaded, but %s takes its EnvironmentFile= back" % (environment_path(wiring.name), later)
        return Finding(GROUP, wiring.name, FAIL, text, _mend("the empty EnvironmentFile=", later, wiring))
    gone = [name for name in NAMES if any(name == word.partition("=")[0] for word in wiring.unset)]
    if gone:
        text = "UnsetEnvironment= takes %s away" % ", ".join(gone)
        return Finding(GROUP, wiring.name, FAIL, text, _mend("it", ", ".join(_later_drop_ins(wiring)), wiring))
    try:
        found = winner(node, wiring)
    except PermissionError:
        return Finding(GROUP, wiring.name, SKIP, NEEDS_ROOT)
    if found is None:
        return None
    path, name = found
    source = _source(node.machine.disk, wiring, path)
    text = "EnvironmentFile=%s of %s is read after ours and sets %s otherwise" % (path, source, name)
    return Finding(GROUP, wiring.name, FAIL, text, _mend("the line", source, wiring))


def _mend(what: str, where: str, wiring: Wiring) -> str:
    return "take %s out of %s, then: %s; %s" % (what, where or "the unit", RELOAD, restart(wiring.name))


def restart(name: str) -> str:
    return "systemctl restart " + name


def _after_ours(wiring: Wiring) -> Tuple[str, ...]:
    """The files that are read after node.env."""
    files = wiring.environment_files
    if NODE_ENV not in files:
        return ()
    last = len(files) - 1 - files[::-1].index(NODE_ENV)
    return files[last + 1 :]


def _assignments(disk: Disk, path: str) -> Dict[str, str]:
    """What a file sets; a path with * or ? is that of several files, read in order of their names."""
    found: Dict[str, str] = {}
    for name in sorted(glob.glob(path)) if glob.has_magic(path) else [path]:
        state = disk.state(disk.resolve(name))
        if state.problem and not is_root():
            raise PermissionError(name)
        found.update(assignments(state.content or b""))
    return found


def _later_drop_ins(wiring: Wiring) -> List[str]:
    """The drop-ins that systemd reads after ours, or, when ours is not there, all."""
    ours = environment_path(wiring.name)
    return [path for path in wiring.drop_ins if path.rpartition("/")[2] > ours.rpartition("/")[2]]


def _source(disk: Disk, wiring: Wiring, path: str) -> str:
    """The drop-in that names an EnvironmentFile."""
    for drop_in in reversed(wiring.drop_ins):
        content = disk.state(drop_in).content or b""
        if path.encode() in content:
            return drop_in
    return "the unit"
