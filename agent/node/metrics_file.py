"""The file for node_exporter's textfile collector, written by the daemon."""

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
#: The directories that packages and charts use, the most common first.  Debian's package uses the
#: second; the third is the parent of the first, which some configurations name.
USUAL = ("/var/lib/node_exporter/textfile_collector", "/var/lib/prometheus/node-exporter", "/var/lib/node_exporter")


def publish(state: LockedState, files: FileSystem, watch: Watch, status: StatusDocument) -> None:
    """Write the metrics of `status`, and save their path or the error to status.json.

    Called after each reconcile, with the document that was just saved.  An error is logged when it
    begins and when it ends; the phase of the node does not depend on it.  Never raises.
    """
    path = _path(files, watch.metrics)
    error = _attempt(files, path, status)
    result = MetricsStatus(path, error)
    if result == status.metrics:
        return
    if error != (status.metrics.error if status.metrics else None):
        if error:
            get_logger().warning("metrics.failed", error=error, meaning="monitoring does not see this node")
        else:
            get_logger().info("metrics.written", file=path or "-")
    try:
        status_file.save_metrics(state, status, result)
    except AgentError as save_error:
        get_logger().error("status.failed", error=str(save_error))


def withdraw(host: Host) -> tuple[str, ...]:
    """Remove the metrics file and return the removed paths.

    Otherwise the collector would export the last values of a removed agent forever.  Called while
    status.json still exists, because it has the path if the directory is not a usual one.
    """
    try:
        status = host.state.status()
    except FileError:
        status = None
    return _remove(host.files, _candidates(host.files, status))


def _path(files: FileSystem, directory: str | None) -> str | None:
    """Return the path of the file; None if metrics are off or there is no collector."""
    if directory is None:
        directory = next((candidate for candidate in USUAL if os.path.isdir(files.real(candidate))), "")
    return posixpath.join(directory, NAME) if directory else None


def _attempt(files: FileSystem, path: str | None, status: StatusDocument) -> str | None:
    """Write the file and return the error, None on success.

    A file in another directory, from an earlier setting, is removed first.
    """
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
    """Return the existing files that may be the agent's metrics."""
    paths = [posixpath.join(directory, NAME) for directory in USUAL]
    if status and status.metrics and status.metrics.path:
        paths.append(status.metrics.path)
    return [path for path in dict.fromkeys(paths) if os.path.lexists(files.real(path))]


def _remove(files: FileSystem, paths: list[str]) -> tuple[str, ...]:
    """Remove the files and return the removed paths.

    The directory may belong to another user, so a link is removed and its target stays.
    """
    removed = []
    for path in paths:
        try:
            files.remove(path, follow=False)
            removed.append(path)
        except FileError as error:
            get_logger().warning("metrics.failed", error=str(error), meaning="monitoring sees old values of this node")
    return tuple(removed)
