"""The file for node_exporter's textfile collector: where it goes, and that it goes when the agent does."""

from __future__ import annotations

import os
import platform
import posixpath

from agent.core.plan.plan import FileState
from agent.core.redact import redact
from agent.core.settings.schema import Watch
from agent.core.status.document import StatusDocument
from agent.core.status.metrics import render
from agent.core.status.records import MetricsStatus
from agent.edges.files import FileSystem
from agent.edges.state import LockedState
from agent.errors import AgentError, FileError
from agent.log import get_logger
from agent.node import status_file
from agent.node.host import Host

NAME = "eks_proxy_agent.prom"
#: What packages and charts call the directory, the likeliest first: Debian's has the second,
#: /var/lib/node_exporter is the one where its parent is given.
USUAL = ("/var/lib/node_exporter/textfile_collector", "/var/lib/prometheus/node-exporter", "/var/lib/node_exporter")


def publish(state: LockedState, files: FileSystem, watch: Watch, status: StatusDocument) -> None:
    """Write what status.json says as metrics too, and into status.json where, or why not.  Never raises.

    To be called after each pass, with what was just saved as the status.  A trouble is logged when
    it begins and when it ends; the node's phase does not depend on it.
    """
    path = _path(files, watch.metrics)
    error = _attempt(files, path, status)
    now = MetricsStatus(path, error)
    if now == status.metrics:
        return
    if error != (status.metrics.error if status.metrics else None):
        if error:
            get_logger().warning("metrics.failed", error=error, meaning="monitoring does not see this node")
        else:
            get_logger().info("metrics.written", file=path or "-")
    try:
        status_file.save_metrics(state, status, now)
    except AgentError as second:
        get_logger().error("status.failed", error=str(second))


def withdraw(host: Host) -> tuple[str, ...]:
    """Remove the metrics, because an agent that is gone would go on saying that all is well; answers their paths.

    To be called while status.json is still there, which knows of a directory that is not one of the
    usual.
    """
    try:
        status = host.state.status()
    except FileError:
        status = None
    return _remove(host.files, _candidates(host.files, status))


def _path(files: FileSystem, directory: str | None) -> str | None:
    """The file to write; None when the owner wants none, or when there is no collector."""
    if directory is None:
        directory = next((usual for usual in USUAL if os.path.isdir(files.real(usual))), "")
    return posixpath.join(directory, NAME) if directory else None


def _attempt(files: FileSystem, path: str | None, status: StatusDocument) -> str | None:
    """What went wrong, if anything.  The same metrics elsewhere, as of another setting, are removed first."""
    _remove(files, [other for other in _candidates(files, status) if other != path])
    if path is None:
        return None
    directory = posixpath.dirname(path)
    if not os.path.isdir(files.real(directory)):
        return f"watch.metrics: {directory} is not a directory"
    content = redact(render(status, platform.python_version())).encode("utf-8", "backslashreplace")
    try:
        if files.state(path, len(content)) != FileState(content, 0o644):
            files.write(path, content, 0o644)
    except FileError as error:
        return f"watch.metrics: {error}"
    return None


def _candidates(files: FileSystem, status: StatusDocument | None) -> list[str]:
    """Where metrics of ours may lie."""
    paths = [posixpath.join(directory, NAME) for directory in USUAL]
    if status and status.metrics and status.metrics.path:
        paths.append(status.metrics.path)
    return [path for path in dict.fromkeys(paths) if os.path.lexists(files.real(path))]


def _remove(files: FileSystem, paths: list[str]) -> tuple[str, ...]:
    """Remove; the directory may be another user's, so what they linked the name to stays."""
    removed = []
    for path in paths:
        try:
            files.remove(path, follow=False)
            removed.append(path)
        except FileError as error:
            get_logger().warning("metrics.failed", error=str(error), meaning="monitoring sees old values of this node")
    return tuple(removed)
