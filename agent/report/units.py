"""Units for a report: their state, files and environments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from agent.core.plan.files.environment import ENVIRONMENT, NODE_ENV
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.plan.overrides import ROOTS, directories, service_settings
from agent.core.report import foreign
from agent.core.settings.unit_table import DEFAULT_UNITS
from agent.core.systemd import AGENT, parse_unit
from agent.edges.files import FileSystem
from agent.edges.systemd import environ
from agent.errors import AgentError, FileError
from agent.node.sources import SettingsSources, static_settings
from agent.report.node import NotHere, ReportedNode, first_line

BOOTSTRAP = "eks-proxy-agent-bootstrap.service"
#: Seconds for each systemctl.
_SECONDS = 5.0
#: The properties to show.  Not Environment= and Exec*=: they may hold secrets.
_PROPERTIES = (
    "Id,LoadState,UnitFileState,UnitFilePreset,ActiveState,SubState,Result,StatusText,Type,Job,MainPID,"
    "ExecMainStartTimestamp,ExecMainExitTimestamp,ExecMainCode,ExecMainStatus,NRestarts,StateChangeTimestamp,"
    "ActiveEnterTimestamp,ConditionResult,AssertResult,FragmentPath,DropInPaths,NeedDaemonReload,EnvironmentFiles,"
    "UnsetEnvironment,DefaultDependencies,Before,After,Requires,Wants"
)


def shown(node: ReportedNode) -> str:
    """Return the state of the units as systemd has loaded them."""
    node.require_systemd()
    argv = ["systemctl", "show", "--no-pager", "--property=" + _PROPERTIES, "--", *names(node.host.files)]
    output = node.run(argv, seconds=_SECONDS)
    return (output.stdout + output.stderr).decode("utf-8", "replace")


def systemd(node: ReportedNode) -> str:
    """Return the state of the system manager."""
    node.require_systemd()
    lines: list[str] = []
    for words in (["is-system-running"], ["--failed", "--plain", "--no-legend"], ["list-jobs", "--no-legend"]):
        argv = ["systemctl", "--no-pager", *words]
        lines.append("$ " + " ".join(argv))
        try:
            output = node.run(argv, seconds=_SECONDS)
            lines.append((output.stdout + output.stderr).decode("utf-8", "replace"))
        except AgentError as error:
            lines.append(str(error))
    return "\n".join(lines)


def names(files: FileSystem) -> tuple[str, ...]:
    """Return the agent's units, the covered ones, and those that have a drop-in of the agent."""
    covered: list[str] = []
    with contextlib.suppress(AgentError):  # wrong settings; `check` reports them
        covered += static_settings(files, SettingsSources()).settings.node.units
    for root in ROOTS:
        with contextlib.suppress(FileError):
            directories_of_units = [name for name in files.names(root) if name.endswith(".service.d")]
            covered += [
                name[: -len(".d")]
                for name in directories_of_units
                if files.state(f"{root}/{name}/{EnvironmentDropin.name}").content is not None
            ]
    return tuple(dict.fromkeys((AGENT, BOOTSTRAP, *DEFAULT_UNITS, *covered)))


def unit_files(node: ReportedNode) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the unit files and drop-ins on the disk, each once."""
    seen: set[str] = set()
    for unit in names(node.host.files):
        paths = [f"{root}/{unit}" for root in (*ROOTS, "/lib/systemd/system")]
        for directory in directories(unit):
            with contextlib.suppress(FileError):
                paths += [f"{directory}/{name}" for name in node.host.files.names(directory)]
        for path in paths:
            content = _content(node.host.files, path, seen)
            if content is not None:
                yield path, content


def files(node: ReportedNode) -> str:
    """Return the unit files and drop-ins; of those of others the lines that may be shown."""
    texts = [f"# {path}\n{foreign.unit_file(path, content)}" for path, content in unit_files(node)]
    if not texts:
        raise NotHere("there are no unit files")
    return "\n".join(texts)


def environment_files(node: ReportedNode) -> str:
    """Return /etc/environment, node.env, and the other files of EnvironmentFile= of the units."""
    paths = [ENVIRONMENT, NODE_ENV]
    for _, content in unit_files(node):
        paths += [value for key, value in service_settings(content) if key == "EnvironmentFile" and value[:1] == "/"]
    texts: list[str] = []
    for path in dict.fromkeys(paths):
        state = node.host.files.state(path)
        if state.content is not None:
            texts.append(f"# {path}\n{foreign.environment(state.content)}")
        else:
            texts.append(f"# {path}: {state.problem or 'does not exist'}\n")
    return "\n".join(texts)


def processes(node: ReportedNode) -> str:
    """Return the environment of the main process of each unit that runs."""
    node.require_systemd()
    units = names(node.host.files)
    argv = ["systemctl", "show", "--no-pager", "--property=Id,MainPID", "--", *units]
    blocks = node.run(argv, seconds=_SECONDS).stdout.decode("utf-8", "replace").strip().split("\n\n")
    texts: list[str] = []
    for unit in map(parse_unit, units, blocks):
        if not unit.main_pid:
            continue
        head = f"# {unit.name}, process {unit.main_pid}"
        try:
            texts.append(f"{head}\n{foreign.process_environment(environ(unit.main_pid))}")
        except AgentError as error:
            texts.append(f"{head}: {first_line(error)}\n")
    if not texts:
        raise NotHere("none of the units has a process")
    return "\n".join(texts)


def _content(files: FileSystem, path: str, seen: set[str]) -> bytes | None:
    """Return the content of a file that was not `seen` by another path; None without one."""
    with contextlib.suppress(FileError):
        resolved = files.resolve(path)
        if resolved not in seen:
            seen.add(resolved)
            return files.read(resolved)
    return None
