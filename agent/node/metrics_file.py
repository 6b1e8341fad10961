"""The file for node_exporter's textfile collector, and its copy in /run, written by the daemon."""

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
from agent.edges.state import METRICS, LockedState
from agent.errors import AgentError, CorruptError, FileError, NoRoomError
from agent.log import get_logger
from agent.node import status_file
from agent.node.host import Host

#: The directories that packages and charts use.  The agent's package creates the first, Debian's
#: prometheus-node-exporter the second; some configurations name the parent of the first.
USUAL = ("/var/lib/node_exporter/textfile_collector", "/var/lib/prometheus/node-exporter", "/var/lib/node_exporter")
#: The hint for a directory that takes nothing.
_READ_ONLY = (
    "the unit can write to usual directories that exist when it starts (then: systemctl restart eks-proxy-agent), "
    "and to those of ReadWritePaths= (docs/status.md)"
)


def publish(state: LockedState, files: FileSystem, watch: Watch, status: StatusDocument) -> None:
    """Write the metrics of `status`, and save their paths or the error to status.json.

    Called after each reconcile, with the document that was just saved.  An error is logged when it
    begins and when it ends; the phase of the node does not depend on it.  Never raises.
    """
    result = _attempt(state, files.guarded(), watch.metrics, status)
    if result == status.metrics:
        return
    if result.error != (status.metrics.error if status.metrics else None):
        if result.error:
            get_logger().warning("metrics.failed", error=result.error, meaning="monitoring may not see this node")
        else:
            get_logger().info("metrics.written", file=", ".join(result.paths) or "-")
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


def _attempt(state: LockedState, files: FileSystem, directory: str | None, status: StatusDocument) -> MetricsStatus:
    """Write the file to /run and to each directory of a collector, and return where it is.

    A file in another directory, from an earlier setting, is removed first.
    """
    paths, errors = _paths(files, directory)
    for problem in _remove(files, [other for other in _candidates(status) if other not in paths])[1]:
        get_logger().warning("metrics.failed", error=problem, meaning="monitoring sees old values of this node")
    content = redact(render(status, ".".join(map(str, sys.version_info[:3])))).encode("utf-8", "backslashreplace")
    for path in paths:
        errors += _write(files, path, content)
    errors = [f"watch.metrics: {error}" for error in errors]
    try:
        state.save_metrics(None if directory == "" else content)
    except FileError as error:
        errors.append(str(error))
    text = "\n".join(errors) or None
    if directory == "":
        return MetricsStatus((), text, "watch.metrics is empty")
    reason = None if paths else f"no directory of a textfile collector ({', '.join(USUAL)}); see watch.metrics"
    return MetricsStatus(paths, text, reason, METRICS)


def _write(files: FileSystem, path: str, content: bytes) -> list[str]:
    """Write one file if it differs; return the error, if any."""
    directory = posixpath.dirname(path)
    try:
        if not files.is_directory(directory):
            return [f"{directory} is not a directory"]
        if files.state(path, len(content)) != FileState(content, 0o644):
            files.write(path, content, 0o644)
    except NoRoomError as error:  # mostly read-only in the unit's sandbox
        return [f"{error}; {_READ_ONLY}"]
    except FileError as error:
        return [str(error)]
    return []


def _paths(files: FileSystem, directory: str | None) -> tuple[tuple[str, ...], list[str]]:
    """Return the paths of the file for collectors, and errors.

    These are in the operator's directory, or else in all of USUAL that exist.
    """
    if directory is not None:
        return (_in(directory),) if directory else (), []
    paths, errors = [], []
    for usual in USUAL:
        try:
            if files.is_directory(usual):
                paths.append(_in(usual))
        except FileError as error:
            errors.append(str(error))
    return tuple(paths), errors


def _in(directory: str) -> str:
    return "/" + posixpath.normpath(posixpath.join(directory, METRICS_FILE)).lstrip("/")


def _candidates(status: StatusDocument | None) -> list[str]:
    """Return the paths that may be the agent's metrics."""
    paths = [posixpath.join(directory, METRICS_FILE) for directory in USUAL]
    if status and status.metrics:
        paths += status.metrics.paths
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
