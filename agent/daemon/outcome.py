"""Schedule, metrics and watched files: what a worker leaves for the next."""

from __future__ import annotations

import os
import posixpath
import time
from collections.abc import Iterable

from agent.core.plan.drift import Memory
from agent.core.settings.schema import Settings, Watch
from agent.core.systemd import OutdatedUnits
from agent.daemon.daemon import Daemon
from agent.edges.files import FileSystem
from agent.errors import FileError
from agent.node import metrics_file, status_file
from agent.node.inputs import NODEADM_D
from agent.node.sources import CONFIG, CONFIG_D


def save_schedule(daemon: Daemon, watch: Watch, memory: Memory, units: OutdatedUnits | None, delay: float) -> None:
    """Write the schedule and the findings of a cycle to status.json, and the metrics.

    With `units` None, those of the cycle before stay.
    """
    host = daemon.host
    with host.locked() as state:
        status = status_file.save_schedule(state, memory, units, time.time() + delay)
        if status:
            metrics_file.publish(state, host.files, watch, status)


def last_watch(daemon: Daemon) -> Watch:
    """Return the Watch settings to use while the settings cannot be read.

    The metrics stay where they are, or go where the image's files say if there were none.
    """
    try:
        status = daemon.host.state.status()
    except FileError:
        status = None
    if status is None or status.metrics is None:
        return daemon.usable_settings().watch
    paths = status.metrics.paths
    if status.metrics.copy and len(paths) != 1:
        return Watch()  # "auto", which found none or several
    return Watch(metrics=posixpath.dirname(paths[0]) if paths else "")


def watched_paths(daemon: Daemon, settings: Settings, desired: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the real paths of files whose change starts a cycle, without contested files.

    `desired`: the files of the node besides those that the memory names.
    """
    files, memory = daemon.host.files, daemon.host.state.memory_if_readable()
    paths = [CONFIG, CONFIG_D + "/", NODEADM_D + "/", *memory.desired, *desired]
    paths += [path for path in (settings.proxy.credentials_file, settings.node.ca_bundle) if path.startswith("/")]
    targets = {path: path if path.endswith("/") else _resolved(files, path) for path in paths}
    config = [os.path.abspath(daemon.sources.config)] if daemon.sources.config else []
    watched = [pair for pair in targets.items() if not set(pair) & set(memory.contested)]
    # Editors change the target of a link.
    real = dict.fromkeys([path for path, _ in watched] + [target for _, target in watched])
    return (*config, *map(files.real, real))


def _resolved(files: FileSystem, path: str) -> str:
    """Return the target of a link; the link itself for a loop, which fails the reconcile."""
    try:
        return files.resolve(path)
    except FileError:
        return path
