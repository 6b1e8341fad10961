"""The agent's state on disk: the baseline of the machine, state of an instance, status of a boot.

State of an instance is keyed by instance-id, and not by the existence of a file: a baked image
carries files to another instance.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any, Callable

from agent.core.plan.baseline import Baseline
from agent.core.plan.drift import Memory
from agent.core.record import asdict
from agent.core.status.document import StatusDocument
from agent.core.status.proxy_memory import ProxyMemory
from agent.core.status.records import is_plain_name
from agent.edges import state_files
from agent.edges.files import FileSystem
from agent.edges.lock import BOOTSTRAP_LOCK, LOCK, Lock
from agent.errors import CorruptError, FileError, NoRoomError

LIBRARY = "/var/lib/eks-proxy-agent"
BASELINE = LIBRARY + "/baseline.json"
INSTANCES = LIBRARY + "/instances"
RUN = "/run/eks-proxy-agent"
STATUS = RUN + "/status.json"
METRICS = RUN + "/metrics.prom"
READY = RUN + "/ready"
PROXIES = RUN + "/proxies.json"
WATCH = RUN + "/watch.json"
PREPARED = LIBRARY + "/prepared.json"
TRUST_PENDING = LIBRARY + "/trust-pending"
RELOAD_PENDING = RUN + "/reload-pending"
#: Bytes.  The baseline holds the originals of all files in base64, each up to files.MAX_SIZE.
_MAX_SIZE = 128 * 1024 * 1024


class State:
    """Read access to the agent's state.

    Methods raise FileError for a file that cannot be read or is corrupt, unless they say otherwise.
    """

    def __init__(self, files: FileSystem) -> None:
        self._files = files

    def baseline(self) -> Baseline:
        """Return the baseline; an empty one before the first change."""
        baseline: Baseline | None = self._load(BASELINE, state_files.read_record)
        return baseline or Baseline()

    def of_instance(self, instance_id: str, name: str) -> dict[str, Any] | None:
        """Return the table `name` (facts, flags, bootstrap) of an instance, or None."""
        table: dict[str, Any] | None = self._load(instance_file(instance_id, name))
        return table

    def cached(self, instance_id: str, name: str) -> dict[str, Any] | None:
        """Return a table that can be rebuilt or lost (facts, restarts, signal); None if corrupt."""
        try:
            return self.of_instance(instance_id, name)
        except FileError:
            return None

    def status(self) -> StatusDocument | None:
        """Return status.json, or None.

        Raises FileError, also for a file of another version.
        """
        document: StatusDocument | None = self._load(STATUS, state_files.read_record)
        return document

    def memory(self) -> Memory:
        """Return what the daemon keeps between cycles until a reboot; empty if it is corrupt.

        Raises FileError if it cannot be read: an empty one would be saved in its place.
        """
        try:
            memory: Memory | None = self._load(WATCH, state_files.read_record)
        except CorruptError:
            memory = None
        return memory or Memory()

    def memory_if_readable(self) -> Memory:
        """Return the memory for a reader that saves none; empty if it cannot be read."""
        try:
            return self.memory()
        except FileError:
            return Memory()

    def proxies(self) -> ProxyMemory:
        """Return the choice among several proxies and the preflight, both of this boot.

        What is corrupt is left out.
        """
        try:
            content = self._files.read(PROXIES, _MAX_SIZE)
            return ProxyMemory.from_json(state_files.parse(PROXIES, content) if content is not None else {})
        except FileError:
            return ProxyMemory()

    def prepared(self) -> dict[str, Any] | None:
        """Return the desired units of the last reconcile, or None; see daemon/boot.py.

        An empty one if it is corrupt, which is not what a reconcile saves.
        """
        try:
            prepared: dict[str, Any] | None = self._load(PREPARED)
        except FileError:
            prepared = {}
        return prepared

    def losses(self) -> dict[str, str]:
        """Return what is lost with each corrupt file, by its path.

        Files that cannot be read are left to their readers: without root some are private.
        """
        paths, texts = [BASELINE, STATUS, WATCH, PROXIES, PREPARED], {}
        with contextlib.suppress(FileError):
            for instance in self._files.names(INSTANCES):
                paths += [f"{INSTANCES}/{instance}/{name}" for name in state_files.TABLES]
        for path in paths:
            try:
                self._load(path)
            except CorruptError:
                texts[path] = state_files.loss(path)
            except FileError:
                continue
        return texts

    @property
    def ready(self) -> bool:
        """Return True if the node was configured since power-on.

        failure.policy = "closed" waits for this file.
        """
        return self._files.state(READY).content is not None

    @property
    def reload_pending(self) -> bool:
        """Return True if a drop-in was written and systemd is not reloaded yet.

        In /run, because a reboot makes the reload unnecessary.
        """
        return self._files.read(RELOAD_PENDING) is not None

    @property
    def reload_mark(self) -> object:
        """Return a value that differs after each `set_reload_pending(True)`, of any run."""
        return self._files.versions([RELOAD_PENDING])

    @property
    def trust_pending(self) -> bool:
        """Return True if certificates changed and the trust store is not rebuilt yet.

        It outlives a reboot, because the trust store does too.
        """
        return self._files.read(TRUST_PENDING) is not None

    def _load(self, path: str, read: Callable[[str, bytes], Any] = state_files.read) -> Any:
        """Return what the reader of a file makes of it, None without the file."""
        content = self._files.read(path, _MAX_SIZE)
        return None if content is None else read(path, content)


class LockedState(State):
    """State that can also be saved; Host.locked() yields it while the lock is held.

    What /run has no room for is in `not_saved`, by path with the problem, and raises no error: the
    node's files are elsewhere, and what is in /run can be made again.
    """

    def __init__(self, files: FileSystem, lock: Lock) -> None:
        super().__init__(files)
        self._lock = lock
        self.not_saved: dict[str, str] = {}

    def save_baseline(self, baseline: Baseline) -> None:
        """Save the baseline with mode 0600: the original content of files may hold a password."""
        if baseline == Baseline():
            self._files.remove(BASELINE)
            return
        self._save(BASELINE, baseline.to_json(), 0o600)

    def save_of_instance(self, instance_id: str, name: str, data: Mapping[str, Any]) -> None:
        self._save(instance_file(instance_id, name), data, 0o600)

    def forget(self, *, bootstrap: bool = False, status: bool = True) -> tuple[str, ...]:
        """Remove the state of every instance and of this boot; return the instance-ids.

        Without `bootstrap` the record of the bootstrap stays, so that it does not run again on its
        instance.  Without `status` status.json stays: it has the path of a metrics file that could
        not be removed.  The lock file is removed last: a process that creates a new one is not
        excluded.
        """
        names = ("flags", "kept", "facts", "direct", "restarts") + (("bootstrap",) if bootstrap else ())
        instances = tuple(self._files.names(INSTANCES))
        for instance_id in instances:
            for name in names:
                self._files.remove(instance_file(instance_id, name))
            self._files.sweep(instance_file(instance_id, "bootstrap"))
            self._files.remove_directory(f"{INSTANCES}/{instance_id}")
        for path in (BASELINE, TRUST_PENDING, RELOAD_PENDING):  # these stay, but not what a killed run left
            self._files.sweep(path)
        run = ((STATUS,) if status else ()) + (METRICS, READY, PROXIES, WATCH, BOOTSTRAP_LOCK.file)
        for path in (*run, PREPARED, LOCK.file):
            self._files.remove(path)
        for directory in (INSTANCES, LIBRARY, RUN):
            self._files.remove_directory(directory)
        return instances

    def save_status(self, document: StatusDocument) -> None:
        self._save(STATUS, document.to_json(), 0o644)

    def save_metrics(self, content: bytes | None) -> None:
        """Save the metrics of this boot; remove them without `content`."""
        if content is None:
            self._files.remove(METRICS)
        else:
            self._put(METRICS, content, 0o644)

    def save_memory(self, memory: Memory) -> None:
        self._save(WATCH, asdict(memory), 0o600)

    def update_memory(self, change: Callable[[Memory], Memory]) -> Memory:
        """Save the result of `change` for the memory, if it differs, and return it."""
        before = self.memory()
        after = change(before)
        if after != before:
            self.save_memory(after)
        return after

    def save_proxies(self, memory: ProxyMemory) -> None:
        self._save(PROXIES, memory.to_json(), 0o644)

    def save_prepared(self, desired: Mapping[str, Any] | None) -> None:
        if desired is None:
            self._files.remove(PREPARED)
        else:
            self._save(PREPARED, desired, 0o600)

    def set_ready(self) -> None:
        """Create the file that failure.policy = "closed" waits for."""
        self._put(READY, b"", 0o644)

    def set_reload_pending(self, pending: bool) -> None:
        """Record it with a new mark, if there is room: the flag of an earlier run counts too."""
        self._flag(RELOAD_PENDING, pending)
        if pending and RELOAD_PENDING not in self.not_saved:
            with contextlib.suppress(NoRoomError):
                self._files.write(RELOAD_PENDING, b"", 0o644)

    def set_trust_pending(self, pending: bool) -> None:
        self._flag(TRUST_PENDING, pending)

    def _flag(self, path: str, is_set: bool) -> None:
        if is_set:
            self._put(path, b"", 0o644)
        else:
            self._files.remove(path)

    def _save(self, path: str, data: Mapping[str, Any], mode: int) -> None:
        self._put(path, (json.dumps(data, indent=1, sort_keys=True) + "\n").encode("utf-8"), mode)

    def _put(self, path: str, content: bytes, mode: int) -> None:
        """Write a file; one in /run that there is no room for goes to `not_saved`."""
        try:
            self._files.put(path, content, mode)
        except NoRoomError as error:
            if not path.startswith(RUN + "/"):
                raise
            try:
                self._files.remove(path)  # an outdated status would mislead; this may also make the room
                self._files.put(path, content, mode)
            except NoRoomError:
                self.not_saved[path] = str(error)


def instance_file(instance_id: str, name: str) -> str:
    """Return the path of the table `name` of an instance.

    Raises FileError for an instance-id that is not the name of a directory.
    """
    if not is_plain_name(instance_id):
        raise FileError(f"instance-id {instance_id!a}: not the name of a directory")
    return f"{INSTANCES}/{instance_id}/{name}.json"
