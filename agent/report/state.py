"""The agent's own files for a report, and the user data of the instance."""

from __future__ import annotations

import contextlib
import json
import posixpath
import stat
from typing import Any

from agent.core.facts.instance import Facts, facts_from_json
from agent.core.plan.files.environment import ENVIRONMENT
from agent.core.report import documents as masked
from agent.core.status.timestamps import format_timestamp
from agent.edges import state as places
from agent.errors import AgentError, FileError
from agent.node.budget import Budget
from agent.node.inputs import COMMAND_DEADLINE, facts_of
from agent.node.sources import SettingsSources, static_settings
from agent.report.node import Noted, NotHere, ReportedNode

_CONFIGURATION = "/etc/eks-proxy-agent"
#: Bytes of a state file that is read.  The baseline may be larger, and is then left out.
_LIMIT = 16 * 1024 * 1024
#: Names of one directory that are listed, and of all of them; directories below the first.
_NAMES, _ALL_NAMES, _DEPTH = 200, 2000, 3
#: Lines of the note about names that are left out.
_NOTES = 10


def files(node: ReportedNode) -> Any:
    """Return owner, mode, size and time of the settings, the state, and the managed files."""
    status = _status(node)
    managed = sorted(status.files) if status else []
    own, note = _own(node, places.RUN, places.LIBRARY, _CONFIGURATION)
    return Noted({path: _attributes(node, path) for path in dict.fromkeys([*own, ENVIRONMENT, *managed])}, note)


def documents(node: ReportedNode) -> Any:
    """Return the content of each state file, without secrets, or the reason why not."""
    paths, note = _own(node, places.RUN, places.LIBRARY)
    contents = {path: _document(node, path) for path in paths if masked.is_state_file(path)}
    if not contents:
        raise NotHere("the agent has no state on this node")
    return Noted(contents, note)


def metrics(node: ReportedNode) -> str:
    """Return the metrics of the last reconcile."""
    content = node.host.files.read(places.METRICS)
    if content is None:
        raise NotHere("no metrics are written (watch.metrics), or the daemon did not run yet")
    return content.decode("utf-8", "replace")


def user_data(node: ReportedNode) -> Any:
    """Return the parts of the user data, from the metadata service or the last facts."""
    source, facts = "the metadata service", None
    try:
        static = static_settings(node.host.files, SettingsSources(facts=node.facts))
        source = node.facts or source
        if node.host.files.live or node.facts:
            facts = facts_of(static, Budget(COMMAND_DEADLINE))
    except AgentError:
        pass  # `check` reports it
    if facts is None:
        source, facts = "the facts of the last reconcile", _last_facts(node)
    if facts is None:
        raise NotHere("neither the metadata service nor earlier facts can be read")
    return {"source": source, **masked.user_data(facts.user_data)}


def _last_facts(node: ReportedNode) -> Facts | None:
    status = _status(node)
    try:
        table = node.host.state.of_instance(status.instance_id, "facts") if status and status.instance_id else None
        return facts_from_json(json.dumps(table)) if table else None
    except AgentError:
        return None


def _status(node: ReportedNode) -> Any:
    with contextlib.suppress(AgentError):
        return node.host.state.status()
    return None


def _own(node: ReportedNode, *directories: str) -> Noted:
    """Return the paths below these directories, in order, with a note about what is left out.

    A link is a path, and is never entered: it may lead to files of others, or up again.
    """
    paths: list[str] = []
    left_out: list[str] = []
    pending = [(directory, 1) for directory in directories]
    while pending:
        directory, depth = pending.pop()
        try:
            names = node.host.files.names(directory)
        except FileError:
            continue
        room = min(_NAMES, _ALL_NAMES - len(paths)) if depth <= _DEPTH else 0
        if len(names) > room:
            left_out.append(f"{directory}: names left out: {len(names) - room}")
        for name in names[:room]:
            node.require_time()
            path = f"{directory}/{name}"
            kind = _kind(node, path)
            if kind == stat.S_IFDIR:
                pending.append((path, depth + 1))
            else:
                paths.append(path)
    return Noted(paths, "\n".join(left_out[:_NOTES]))


def _kind(node: ReportedNode, path: str) -> int:
    """Return the type of a file as stat.S_IFMT does, 0 if it is unknown."""
    with contextlib.suppress(FileError):
        status = node.host.files.status(path, follow=False)
        return stat.S_IFMT(status.st_mode) if status else 0
    return 0


def _attributes(node: ReportedNode, path: str) -> Any:
    """Return the attributes of a file; of a link those of its target."""
    node.require_time()
    link = {"link": True} if _kind(node, path) == stat.S_IFLNK else {}
    try:
        status = node.host.files.status(path)
    except FileError as error:
        return {**link, "problem": str(error)}
    if status is None:
        return {**link, "problem": "does not exist"}
    return {
        **link,
        "mode": stat.filemode(status.st_mode),
        "owner": status.st_uid,
        "group": status.st_gid,
        "bytes": status.st_size,
        "modified": format_timestamp(int(status.st_mtime)),
    }


def _document(node: ReportedNode, path: str) -> Any:
    node.require_time()
    if _kind(node, path) == stat.S_IFLNK:
        return {"problem": "is a symbolic link, which the agent does not create"}
    try:
        content = node.host.files.read(path, _LIMIT)
        return masked.state_file(path, json.loads((content or b"").decode("utf-8")))
    except FileError as error:
        return {"problem": str(error)}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {"problem": f"corrupt, or written by another version: {posixpath.basename(path)}"}
