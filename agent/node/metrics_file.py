"""The file for node_exporter's textfile collector, written by the daemon."""

from __future__ import annotations

import posixpath
import sys

from agent.core.plan.baseline import FileState
from agent.core.redact import redact
from agent.core.settings.schema import Watch
from agent.core.status.document import StatusDocument
from agent.core.status.metrics import render
from agent.core.status.records import METRICS_FILE, MetricsStatus
from agent.edges.files import FileSystem
from agent.edges.state import LockedState
from agent.errors import AgentError, CorruptError, FileError
from agent.log import get_logger
from agent.node import status_file
from agent.node.host import Host

#: The directories that packages and charts use, the most common first.  Debian's package uses the
#: second; the third is the parent of the first, which some configurations name.
USUAL = ("/var/lib/node_exporter/textfile_collector", "/var/lib/prometheus/node-exporter", "/var/lib/node_exporter")


def publish(state: LockedState, files: FileSystem, watch: Watch, status: StatusDocument) -> None:
    """Write the metrics of `status`, and save their path or the error to status.json.

    Called after each reconcile, with the document that was just saved.  An error is logged when it
    begins and when it ends; the phase of the node does not depend on it.  Never raises.
    """
    path, error = _attempt(files.guarded(), watch.metrics, status)
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


def withdraw(host: Host) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remove the metrics file; return the removed paths, and the errors.

    Otherwise the collector would export the last values of a removed agent forever.  Called while
    status.json still exists, because it has the path if the directory is not a usual one.  If that
    cannot be read, this is one of the errors.
    """
    status, unreadable = None, []
    try:
        status = host.state.status()
    except CorruptError:
        pass  # its path is lost
    except FileError as error:
        unreadable.append(str(error))
    removed, problems = _remove(host.files.guarded(), _candidates(status))
    return removed, (*unreadable, *problems)


def _attempt(files: FileSystem, directory: str | None, status: StatusDocument) -> tuple[str | None, str | None]:
    """Write the file; return its path and the error, None on success.

    The path is None if metrics are off or there is no collector.  A file in another directory, from
    an earlier setting, is removed first.
    """
    path = None
    try:
        path = _path(files, directory)
        _, problems = _remove(files, [other for other in _candidates(status) if other != path])
        for problem in problems:
            get_logger().warning("metrics.failed", error=problem, meaning="monitoring sees old values of this node")
        if path is None:
            return None, None
        if not files.is_directory(posixpath.dirname(path)):
            return path, f"watch.metrics: {posixpath.dirname(path)} is not a directory"
        content = redact(render(status, ".".join(map(str, sys.version_info[:3])))).encode("utf-8", "backslashreplace")
        if files.state(path, len(content)) != FileState(content, 0o644):
            files.write(path, content, 0o644)
    except FileError as error:
        return path, f"watch.metrics: {error}"
    return path, None


def _path(files: FileSystem, directory: str | None) -> str | None:
    """Return the path of the file; None if metrics are off or there is no collector."""
    if directory is None:
        directory = next(filter(files.is_directory, USUAL), "")
    return "/" + posixpath.normpath(posixpath.join(directory, METRICS_FILE)).lstrip("/") if directory else None


def _candidates(status: StatusDocument | None) -> list[str]:
    """Return the paths that may be the agent's metrics."""
    paths = [posixpath.join(directory, METRICS_FILE) for directory in USUAL]
    if status and status.metrics and status.metrics.path:
        paths.append(status.metrics.path)
    return list(dict.fromkeys(paths))


def _remove(files: FileSystem, paths: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remove the files that exist; return their paths, and the errors.

    The directory may belong to another user, so a link is removed and its target stays.
    """
    removed, problems = [], []
    for path in paths:
        try:
            if files.remove(path, follow=False):
                removed.append(path)
        except FileError as error:
            problems.append(str(error))
    return tuple(removed), tuple(problems)
