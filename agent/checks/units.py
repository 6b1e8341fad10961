"""Has systemd loaded what is on disk, does nothing win over it, and do the units wait for the agent?"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence

from agent.checks.context import NEEDS_ROOT, Node, is_root
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.core.plan.files.environment import NAMES, NODE_ENV, assignments
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.status.document import DEGRADED, StatusDocument
from agent.core.systemd import to_enable
from agent.core.wiring import Wiring
from agent.edges.files import FileSystem
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
    for name in to_enable(node.settings, node.host.units.show(node.settings.node.enable)):
        yield Finding(GROUP, name, FAIL, "is disabled, and node.enable names it", "systemctl enable --now " + name)


def problem(node: Node, wiring: Wiring) -> Finding | None:
    """Why what starts now does not get our environment; None when it does.  A restart alone mends none of it."""
    return _not_loaded(node.host.files, wiring) or _outdone(node, wiring)


def _winner(node: Node, wiring: Wiring) -> tuple[str, str] | None:
    """The file that is read after ours and sets a variable otherwise, and that variable; None when ours wins.

    Environment= lines are harmless: files beat them.  Raises PermissionError when only root can tell.
    """
    wanted = dict(node.intent.variables(secret=True))
    for path in _after_ours(wiring):
        for name, value in _assignments(node.host.files, path).items():
            if name in NAMES and value != wanted[name]:
                if node.partial:
                    raise PermissionError(path)  # it may be the very value with the credentials
                return path, name
    return None


def _agent(wiring: Wiring, told: StatusDocument | None) -> Finding:
    if not wiring.exists or wiring.enabled != "enabled":
        what, hint = _not_enabled(wiring)
        return Finding(GROUP, AGENT, FAIL, what + ": at the next boot nobody configures this node", hint)
    if wiring.active == "failed":
        return Finding(GROUP, AGENT, FAIL, "has failed", "journalctl --boot --unit " + AGENT)
    if wiring.active not in ("active", "reloading", "activating"):
        return Finding(GROUP, AGENT, WARN, f"is {wiring.active}: nobody repairs drift", "systemctl start " + AGENT)
    if wiring.needs_reload:
        return Finding(GROUP, AGENT, WARN, "its unit file changed since systemd loaded it", RELOAD)
    if told and told.phase == DEGRADED:
        text = "its last pass failed: {}".format(str(told.error).partition("\n")[0])
        return Finding(GROUP, AGENT, WARN, text, "eks-proxy-agent status; it tries again by itself")
    return Finding(GROUP, AGENT, OK, f"enabled and {wiring.active}")


def _not_enabled(wiring: Wiring) -> tuple[str, str]:
    if wiring.enabled.startswith("masked"):
        return "is masked", f"systemctl unmask {AGENT}; systemctl enable --now {AGENT}"
    if wiring.exists:
        return "is " + (wiring.enabled or "not enabled"), "systemctl enable " + AGENT
    if wiring.enabled:
        return "cannot be loaded by systemd", "systemctl status " + AGENT
    return "is not installed", "install the package eks-proxy-agent again"


def _unit(node: Node, wiring: Wiring, agent: Wiring) -> Finding:
    found = problem(node, wiring)
    if found is not None:
        return found
    if wiring.needs_reload:
        text = "our drop-in is loaded; another file of the unit changed since"
        return Finding(GROUP, wiring.name, WARN, text, RELOAD)
    if wiring.name not in agent.before:
        text = "our drop-in is loaded, but the unit starts without waiting for the agent"
        hint = f"systemctl edit {wiring.name}: [Unit], After={AGENT}"
        return Finding(GROUP, wiring.name, WARN, text, hint)
    return Finding(GROUP, wiring.name, OK, "our drop-in is loaded and wins; it starts after the agent")


def _not_loaded(files: FileSystem, wiring: Wiring) -> Finding | None:
    ours = EnvironmentDropin.path_of(wiring.name)
    if ours in wiring.drop_ins:
        return None
    if files.state(ours).content is None:
        return Finding(GROUP, wiring.name, SKIP, "has no drop-in of ours on disk (see files)")
    text = f"{ours} is on disk, and systemd has not loaded it: the next start has no proxy"
    return Finding(GROUP, wiring.name, FAIL, text, _reload(wiring))


def _outdone(node: Node, wiring: Wiring) -> Finding | None:
    files = node.host.files
    if NODE_ENV not in wiring.environment_files:
        return _taken_back(files, wiring)
    wanted = node.intent.variables(secret=True)
    gone = [name for name, value in wanted if name in wiring.unset or f"{name}={value}" in wiring.unset]
    if gone:
        text = "UnsetEnvironment= takes {} away".format(", ".join(gone))
        source = _source(files, wiring.drop_ins, rb"UnsetEnvironment[ \t]*=.*\b%s\b.*" % gone[0].encode())
        return Finding(GROUP, wiring.name, FAIL, text, _mend("it", source, wiring))
    try:
        found = _winner(node, wiring)
    except PermissionError:
        return Finding(GROUP, wiring.name, SKIP, NEEDS_ROOT)
    if found is None:
        return None
    path, name = found
    source = _source(files, wiring.drop_ins, rb"EnvironmentFile[ \t]*=[ \t]*-?%s" % re.escape(path.encode()))
    text = "EnvironmentFile={} of {} is read after ours and sets {} otherwise".format(path, source or "the unit", name)
    return Finding(GROUP, wiring.name, FAIL, text, _mend("the line", source, wiring))


def _taken_back(files: FileSystem, wiring: Wiring) -> Finding:
    """systemd knows our drop-in, and not the file that it names."""
    ours = EnvironmentDropin.path_of(wiring.name)
    source = _source(files, _later_drop_ins(wiring), rb"EnvironmentFile[ \t]*=")
    if source:
        text = f"{ours} is loaded, but {source} takes its EnvironmentFile= back"
        return Finding(GROUP, wiring.name, FAIL, text, _mend("the empty EnvironmentFile=", source, wiring))
    if wiring.needs_reload:
        text = f"systemd has loaded another text of {ours} than is on disk: the next start has no proxy"
        return Finding(GROUP, wiring.name, FAIL, text, _reload(wiring))
    return Finding(GROUP, wiring.name, SKIP, "our drop-in is not as planned (see files)")


def _mend(what: str, where: str, wiring: Wiring) -> str:
    return "take {} out of {}, then: {}; {}".format(what, where or "the unit", RELOAD, restart(wiring.name))


def _reload(wiring: Wiring) -> str:
    return f"{RELOAD}; then, when it suits you: {restart(wiring.name)}"


def restart(name: str) -> str:
    return "systemctl restart " + name


def _after_ours(wiring: Wiring) -> tuple[str, ...]:
    """The files that are read after node.env."""
    files = wiring.environment_files
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


def _later_drop_ins(wiring: Wiring) -> list[str]:
    """The drop-ins that systemd reads after ours: it goes by their names, whatever folder they are in."""
    ours = EnvironmentDropin.path_of(wiring.name)
    return [path for path in wiring.drop_ins if path.rpartition("/")[2] > ours.rpartition("/")[2]]


def _source(files: FileSystem, drop_ins: Sequence[str], line: bytes) -> str:
    """The last of the drop-ins with such a line (a regular expression); empty when none has."""
    wanted = re.compile(rb"^[ \t]*%s[ \t]*$" % line, re.MULTILINE)
    return next((path for path in reversed(drop_ins) if wanted.search(files.state(path).content or b"")), "")
