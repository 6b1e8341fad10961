"""Our own memory: the baseline for revert (machine-wide), what belongs to one instance-id, and what `status` reads.

State is keyed by instance-id and never by "the file exists": a baked image carries files to another
instance.
"""

from __future__ import annotations

import base64
import json
import posixpath
from collections.abc import Mapping
from typing import Any, Callable

import attrs

from agent.core.plan.drift import Memory, memory_from_json
from agent.core.plan.files.kinds import kind_of
from agent.core.plan.plan import Baseline, Record
from agent.core.status.document import StatusDocument
from agent.core.status.proxy_memory import ProxyMemory
from agent.edges.files import FileSystem
from agent.edges.lock import BOOTSTRAP_LOCK, LOCK, Lock
from agent.errors import FileError

LIBRARY = "/var/lib/eks-proxy-agent"
BASELINE = LIBRARY + "/baseline.json"
INSTANCES = LIBRARY + "/instances"
RUN = "/run/eks-proxy-agent"
STATUS = RUN + "/status.json"
READY = RUN + "/ready"
PROXIES = RUN + "/proxies.json"
WATCH = RUN + "/watch.json"
PREPARED = LIBRARY + "/prepared.json"
TRUST_PENDING = LIBRARY + "/trust-pending"
RELOAD_PENDING = RUN + "/reload-pending"
#: The baseline holds the originals of all files, each as large as files.MAX_SIZE at the most, in
#: base64.
_MAX_SIZE = 128 * 1024 * 1024
#: What is lost with a spoilt file, by its name.
_LOSSES = {
    "baseline.json": "revert cannot restore the original files without it",
    "flags.json": "the flags kept by apply are lost with it",
    "bootstrap.json": "bootstrap.sh runs again on this instance without it",
}


class State:
    """Reads the files above through `files`; raises FileError for what cannot be read or is not what we wrote."""

    def __init__(self, files: FileSystem) -> None:
        self._files = files

    def baseline(self) -> Baseline:
        data = self._load(BASELINE)
        if data is None:
            return Baseline()
        try:
            return Baseline(
                files={path: _record(path, record) for path, record in data["files"].items()},
                directories=tuple(map(str, data["folders"])),
                enabled=tuple(map(str, data["enabled"])),
                baked=bool(data["baked"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise _garbage(BASELINE) from None

    def of_instance(self, instance_id: str, name: str) -> dict[str, Any] | None:
        """The table `name` (facts, flags, bootstrap) of an instance, or None."""
        path = instance_file(instance_id, name)
        data = self._load(path)
        if name == "bootstrap" and data and not isinstance(data.get("exit_code"), (int, type(None))):
            raise _garbage(path)
        return data

    def learned(self, instance_id: str, name: str) -> dict[str, Any] | None:
        """The same of what can be learned again (facts, direct, restarts): None too when somebody spoilt it."""
        try:
            return self.of_instance(instance_id, name)
        except FileError:
            return None

    def status(self) -> StatusDocument | None:
        """What the last pass left for people and programs.  Raises FileError, for a file of another version too."""
        data = self._load(STATUS)
        try:
            return None if data is None else StatusDocument.from_json(data)
        except ValueError:
            raise _garbage(STATUS) from None

    def memory(self) -> Memory:
        """What the daemon remembers from pass to pass; gone with /run at a reboot."""
        try:
            return memory_from_json(self._load(WATCH))
        except FileError:
            return Memory()

    def proxies(self) -> ProxyMemory:
        """The choice among several proxies and the preflight; of this boot, as /run is."""
        try:
            return ProxyMemory.from_json(self._load(PROXIES) or {})
        except FileError:
            return ProxyMemory()

    def prepared(self) -> dict[str, Any] | None:
        """What the last pass wanted of the units, or None; see daemon/boot.py."""
        return self._load(PREPARED)

    @property
    def ready(self) -> bool:
        """True once the node was configured since power on: failure.policy = "closed" waits for that file."""
        return self._files.state(READY).content is not None

    @property
    def reload_pending(self) -> bool:
        """Whether a drop-in was written and systemd not yet reloaded; gone with /run at a reboot, as the need is."""
        return self._files.state(RELOAD_PENDING).content is not None

    @property
    def trust_pending(self) -> bool:
        """Whether certificates changed and the trust store was not made anew; outlives a reboot, as the need does."""
        return self._files.state(TRUST_PENDING).content is not None

    def _load(self, path: str) -> dict[str, Any] | None:
        content = self._files.read(path, _MAX_SIZE)
        if content is None:
            return None
        try:
            data = json.loads(content.decode("utf-8"))
        except (ValueError, RecursionError):
            raise _garbage(path) from None
        if not isinstance(data, dict):
            raise _garbage(path)
        return data


class LockedState(State):
    """State that can also be saved; Host.locked() makes one, for as long as the lock is held."""

    def __init__(self, files: FileSystem, lock: Lock) -> None:
        super().__init__(files)
        self._lock = lock

    def save_baseline(self, baseline: Baseline) -> None:
        """Save it; private, because what files held before us may hold a password."""
        if baseline == Baseline():
            self._files.remove(BASELINE)
            return
        files = {path: _plain(record) for path, record in sorted(baseline.files.items())}
        rest = {"folders": list(baseline.directories), "enabled": list(baseline.enabled), "baked": baseline.baked}
        self._save(BASELINE, {"files": files, **rest}, 0o600)

    def save_of_instance(self, instance_id: str, name: str, data: Mapping[str, Any]) -> None:
        self._save(instance_file(instance_id, name), data, 0o600)

    def keep_flags(self, instance_id: str, flags: Mapping[str, Any]) -> None:
        """Put the flags of this run over those kept before, key by key."""
        if not flags:
            return
        merged = dict(self.of_instance(instance_id, "flags") or {})
        for section, table in flags.items():
            merged[section] = {**merged.get(section, {}), **table}
        self.save_of_instance(instance_id, "flags", merged)

    def forget(self, *, bootstrap: bool = False) -> tuple[str, ...]:
        """Forget every instance, and what happened since power on; return the instance-ids.

        Without `bootstrap` the record of a bootstrap stays: it must not run again on an instance
        where it ran. The lock's file goes last: whoever finds another one there is not kept out any
        more.
        """
        names = ("flags", "facts", "direct", "restarts") + (("bootstrap",) if bootstrap else ())
        instances = tuple(self._files.names(INSTANCES))
        for instance_id in instances:
            for name in names:
                self._files.remove(instance_file(instance_id, name))
            self._files.sweep(instance_file(instance_id, "bootstrap"))
            self._files.remove_directory(f"{INSTANCES}/{instance_id}")
        for path in (STATUS, READY, PROXIES, WATCH, PREPARED, BOOTSTRAP_LOCK, LOCK):
            self._files.remove(path)
        for directory in (INSTANCES, LIBRARY, RUN):
            self._files.remove_directory(directory)
        return instances

    def save_status(self, document: StatusDocument) -> None:
        self._save(STATUS, document.to_json(), 0o644)

    def save_memory(self, memory: Memory) -> None:
        self._save(WATCH, attrs.asdict(memory), 0o600)

    def update_memory(self, change: Callable[[Memory], Memory]) -> Memory:
        """Save what `change` makes of the memory, if it is another one, and return it."""
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
        """Make the file that failure.policy = "closed" waits for."""
        self._files.put(READY, b"")

    def set_reload_pending(self, pending: bool) -> None:
        self._flag(RELOAD_PENDING, pending)

    def set_trust_pending(self, pending: bool) -> None:
        self._flag(TRUST_PENDING, pending)

    def _flag(self, path: str, there: bool) -> None:
        if there:
            self._files.put(path, b"")
        else:
            self._files.remove(path)

    def _save(self, path: str, data: Mapping[str, Any], mode: int) -> None:
        self._files.sweep(path)  # of a run that was killed: an equal file is not written again
        self._files.put(path, (json.dumps(data, indent=1, sort_keys=True) + "\n").encode("utf-8"), mode)


def instance_file(instance_id: str, name: str) -> str:
    """The path of the table `name` of an instance."""
    return f"{INSTANCES}/{instance_id}/{name}.json"


def _plain(record: Record) -> dict[str, Any]:
    before = None if record.before is None else base64.b64encode(record.before).decode("ascii")
    return dict(attrs.asdict(record), before=before, written=list(record.written))


def _record(path: str, data: Mapping[str, Any]) -> Record:
    before = data["before"]
    return Record(
        kind=kind_of(str(data["kind"]), path),
        before=None if before is None else base64.b64decode(before, validate=True),
        mode=int(data["mode"]),
        written=tuple(map(str, data["written"])),
    )


def _garbage(path: str) -> FileError:
    loss = _LOSSES.get(posixpath.basename(path))
    hint = "inspect it, then move it away" + ("; " + loss if loss else "")
    if path == STATUS:
        hint = "to rewrite it: eks-proxy-agent apply"
    return FileError(f"{path}: corrupt, or written by another version", hint=hint)
