"""The agent's own files for a report, and the user data of the instance."""

from __future__ import annotations

import contextlib
import json
import posixpath
import stat
from collections.abc import Iterator
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
from agent.report.node import NotHere, ReportedNode

_CONFIGURATION = "/etc/eks-proxy-agent"
#: Bytes of a state file that is read.  The baseline may be larger, and is then left out.
_LIMIT = 16 * 1024 * 1024
#: Names of one directory that are listed.
_NAMES = 200


def files(node: ReportedNode) -> Any:
    """Return owner, mode, size and time of the settings, the state, and the managed files."""
    status = _status(node)
    managed = sorted(status.files) if status else []
    return {path: _attributes(node, path) for path in dict.fromkeys([*_own(node), ENVIRONMENT, *managed])}


def documents(node: ReportedNode) -> Any:
    """Return the content of each state file, without secrets, or the reason why not."""
    contents = {path: _document(node, path) for path in _own(node) if path.endswith(".json")}
    if not contents:
        raise NotHere("the agent has no state on this node")
    return contents


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


def _own(node: ReportedNode) -> Iterator[str]:
    """Yield the paths of the settings and of the state, in order."""
    pending = [places.RUN, places.LIBRARY, _CONFIGURATION]
    while pending:
        directory = pending.pop()
        try:
            names = node.host.files.names(directory)
        except FileError:
            continue
        for name in names[:_NAMES]:
            path = f"{directory}/{name}"
            with contextlib.suppress(FileError):
                if node.host.files.is_directory(path):
                    pending.append(path)
                    continue
            yield path


def _attributes(node: ReportedNode, path: str) -> Any:
    try:
        status = node.host.files.status(path)
    except FileError as error:
        return {"problem": str(error)}
    if status is None:
        return {"problem": "does not exist"}
    return {
        "mode": stat.filemode(status.st_mode),
        "owner": status.st_uid,
        "group": status.st_gid,
        "bytes": status.st_size,
        "modified": format_timestamp(int(status.st_mtime)),
    }


def _document(node: ReportedNode, path: str) -> Any:
    try:
        content = node.host.files.read(path, _LIMIT)
        return masked.state_file(path, json.loads((content or b"").decode("utf-8")))
    except FileError as error:
        return {"problem": str(error)}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {"problem": f"corrupt, or written by another version: {posixpath.basename(path)}"}
