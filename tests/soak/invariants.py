"""The invariants: what must hold after each event, whatever it was.

`quick` compares the files with the world, independently of the agent; `deep` also asks the agent's
own `plan`, reads the journal, and looks for changed files of others.
"""

from __future__ import annotations

import base64
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .events import DAEMON, RUNTIMES
from .node import AGENT, SoakNode
from .world import DNF, ENVIRONMENT, NAMES, NODE_ENV, USER, drop_in, others_of

#: Texts that no journal may have.
FORBIDDEN = ("Traceback (most recent call last)", "ordering cycle", "Unknown key name", "Unknown section")
#: Parts of the disk that belong to other programs or to the agent; all else is of others.
NOT_OTHERS = re.compile(
    r"etc/(environment(\.real-\d+)?|dnf/dnf\.conf|clock-ahead|machine-id|eks-proxy-agent/.*)"
    r"|etc/systemd/system/[^/]+\.service\.d(/zz-eks-proxy\.conf)?"
    r"|etc/systemd/system/multi-user\.target\.wants/docker\.service"
    r"|var/lib/node_exporter/(textfile_collector/)?eks_proxy_agent\.prom"
    r"|(var/log|var/lib/docker|var/lib/containerd|var/lib/systemd|var/cache|var/tmp|tmp|run|root)(/.*)?"
)
WANTED = "etc/systemd/system/multi-user.target.wants/eks-proxy-agent.service"
#: A CIDR that left the VPC stays for this many seconds at least (core/plan/drift.py), and is gone
#: after as many again and a few quiet events.
KEPT = 300.0
Seen = dict[str, Any]


class Judge:
    """What has to stay the same from event to event, and the checks."""

    def __init__(self, node: SoakNode) -> None:
        """Take the node as it is after its boot."""
        self.node, self.world = node, node.world
        self._pids: dict[str, str] = {}
        self._drop_ins: dict[str, str] = {}
        self._removed: dict[str, tuple[float, int]] = {}  # CIDR: when it left, and quiet events since
        self._cidrs = set(node.world.cidrs)
        self._cursor = ""
        self.journal_lines = 0  # of the agent, since the last call of `deep`
        self.journal: list[str] = []  # problems of the journal, which are read once
        self._others = self._files_of_others()
        self.expect(node.observe())

    def expect(self, seen: Seen, restarts: str = "") -> None:
        """Take the processes of the node as those that must stay; None were asked to restart."""
        units = seen["units"]
        fresh = {name: unit["MainPID"] for name, unit in units.items()}
        if not self._pids:
            self._pids = fresh
            self._drop_ins = {path: seen["files"][path].get("content", "") for path in seen["drop_ins"]}
        if restarts == DAEMON:
            self._pids[AGENT] = fresh[AGENT]
        if restarts == RUNTIMES:
            self._pids.update({name: fresh[name] for name in ("docker", "containerd", "kubelet")})
        for cidr in self._cidrs - set(self.world.cidrs):
            self._removed.setdefault(cidr, (time.monotonic(), 0))
        for cidr in self.world.cidrs:
            self._removed.pop(cidr, None)
        self._cidrs |= set(self.world.cidrs)

    def quiet(self) -> None:
        """Count an event after which the node was configured by well metadata."""
        self._removed = {cidr: (since, count + 1) for cidr, (since, count) in self._removed.items()}

    # --- what one look at the node shows

    def at_once(self, seen: Seen) -> list[str]:
        """Return what must not be for a moment, and does not improve."""
        daemons = [pid for pid, parent in seen["processes"] if parent == 1]
        workers = [pid for pid, parent in seen["processes"] if parent in daemons]
        many = len(daemons) > 1 or len(workers) > 1
        return self.read_journal() + ([f"several daemons or workers: {seen['processes']}"] if many else [])

    def quick(self, seen: Seen) -> list[str]:
        """Return what does not hold (yet)."""
        return [*self._processes(seen), *self._status(seen), *self._files(seen)]

    def _processes(self, seen: Seen) -> Iterator[str]:
        for name, unit in seen["units"].items():
            if name != "eks-proxy-agent-bootstrap" and unit["ActiveState"] not in ("active", "reloading"):
                yield f"{name}.service is {unit['ActiveState']} ({unit['SubState']}, {unit['Result']})"
            elif unit["ActiveState"] == "failed":
                yield f"{name}.service has failed: {unit['Result']}"
            elif unit["MainPID"] != self._pids.get(name):
                yield f"{name}.service restarted: {self._pids.get(name)} -> {unit['MainPID']}"
        if len([pid for pid, parent in seen["processes"] if parent == 1]) != 1:
            yield f"no daemon, or several: {seen['processes']}"
        if seen["locked"]:
            yield "the lock is held"
        if seen["temporaries"]:
            yield f"temporary files: {seen['temporaries']}"

    def _status(self, seen: Seen) -> Iterator[str]:
        world = self.world
        if world.full == "/run":  # status.json may be missing, or of the cycle before
            return
        if seen["status"] is None:
            yield "no status.json"
            return
        status = json.loads(seen["status"])
        phase, error = status["phase"], status.get("error") or ""
        must, may = world.must_degrade(), world.may_degrade()
        if phase == "degraded":
            if not any(re.search(pattern, error) for pattern in may):
                yield f"degraded without a reason of the world: {error!r}"
            elif must and not any(re.search(pattern, error) for pattern in must):
                yield f"degraded for another reason than {must}: {error!r}"
        elif must:
            yield f"{phase}, although {must}"
        elif phase != ("unconfigured" if world.is_removed else "configured"):
            yield f"{phase}, although the settings are {'removed' if world.is_removed else 'valid'}"

    # --- files

    def _files(self, seen: Seen) -> Iterator[str]:
        world = self.world
        contested = _contested(seen)
        for path in (ENVIRONMENT, DNF):
            others = others_of(path, _content(seen, path) or b"")
            if not world.accept(path, others):
                yield f"{path}: lines of others are {others!r}, expected {world.others[path]!r}"
        target = (seen["files"][ENVIRONMENT] or {}).get("link")
        if target != (f"{ENVIRONMENT}.real-{world.linked}" if world.linked else None):
            yield f"{ENVIRONMENT}: links to {target}, expected {world.linked or 'a file'}"
        node_env = _variables(_content(seen, NODE_ENV))
        # Without room for the baseline no file is changed, without settings none is planned.
        is_repaired = not world.full and not world.wrong and NODE_ENV not in contested
        if node_env is not None and sorted(node_env) != sorted(NAMES):
            if is_repaired:
                yield f"{NODE_ENV}: holds {sorted(node_env)}"
            return
        if world.wrong or world.full == "/var":
            return  # the last good values, or as far as there was room
        if world.is_removed:
            yield from self._unconfigured(seen)
        elif node_env is None:
            yield f"{NODE_ENV} is missing"
        elif NODE_ENV not in contested:
            yield from self._node_env(seen, node_env)
            yield from self._shared(seen, node_env, contested)
            yield from self._drop_in_files(seen, contested)

    def _unconfigured(self, seen: Seen) -> Iterator[str]:
        if seen["files"][NODE_ENV]:
            yield f"{NODE_ENV} exists"
        for path in (ENVIRONMENT, DNF):
            content = _content(seen, path) or b""
            if others_of(path, content) != content or not self.world.accept(path, content):
                yield f"{path}: is {content!r}, expected {self.world.others[path]!r}"
        remaining = [path for path in seen["drop_ins"] if path != self.world.blocked]
        if remaining:
            yield f"drop-ins exist: {remaining}"

    def _node_env(self, seen: Seen, variables: dict[str, str]) -> Iterator[str]:
        world = self.world
        if seen["files"][NODE_ENV]["mode"] != 0o600:
            yield f"{NODE_ENV}: mode {seen['files'][NODE_ENV]['mode']:o}"
        url = variables["http_proxy"]
        prefix = f"http://{USER}:{world.password}@"
        address = url[len(prefix) :].partition(":")[0]
        if not url.startswith(prefix) or address not in world.urls:
            yield f"{NODE_ENV}: http_proxy={url}, expected one of {world.urls} with {world.password}"
        is_checked = world.is_metadata_well and not world.full and set(world.urls) & world.alive
        if is_checked and len(world.urls) > 1 and address not in world.alive:
            yield f"the proxy in use, {address}, is down; up: {sorted(world.alive)}"
        entries = variables["no_proxy"].split(",")
        yield from (f"NO_PROXY lacks {name}" for name in world.no_proxy if name not in entries)
        if world.is_metadata_well:
            yield from (f"NO_PROXY lacks {cidr}" for cidr in world.cidrs if cidr not in entries)
        for cidr, (since, quiet) in self._removed.items():
            if cidr in entries and time.monotonic() - since > 2 * KEPT and quiet > 5:
                yield f"NO_PROXY still has {cidr}, which left the VPC"

    def _shared(self, seen: Seen, node_env: dict[str, str], contested: set[str]) -> Iterator[str]:
        world = self.world
        address = node_env["http_proxy"].rpartition("@")[2]
        if ENVIRONMENT not in contested and not any(path.startswith(f"{ENVIRONMENT}.real") for path in contested):
            plain = {name: value.replace(f"{USER}:{world.password}@", "") for name, value in node_env.items()}
            expected = plain if world.has_environment else {}
            content = _content(seen, ENVIRONMENT) or b""
            ours = _variables(content.replace(world.others[ENVIRONMENT], b"", 1)) or {}
            if ours != expected:
                yield f"{ENVIRONMENT}: has {ours}, expected {expected}"
        if DNF not in contested:
            user = f"{USER}:{world.password}@" if world.is_yum_private else ""
            expected_lines = [f"proxy=http://{user}{address}".encode()] if world.has_yum else []
            content = _content(seen, DNF) or b""
            lines = [line for line in content.splitlines() if line.startswith(b"proxy")]
            if lines != expected_lines:
                yield f"{DNF}: has {lines}, expected {expected_lines}"
            if world.has_yum and world.is_yum_private and seen["files"][DNF]["mode"] != 0o600:
                yield f"{DNF}: mode {seen['files'][DNF]['mode']:o} with a password"

    def _drop_in_files(self, seen: Seen, contested: set[str]) -> Iterator[str]:
        expected = {drop_in(unit) for unit in self.world.units}
        for path in sorted(expected | set(seen["drop_ins"])):
            if path == self.world.blocked or path in contested:
                continue
            file = seen["files"].get(path)
            if (file is None) == (path in expected):
                yield f"{path}: {'missing' if file is None else 'exists'}"
            elif file and file.get("content") != self._drop_ins[path]:
                yield f"{path}: differs from the first one"
            elif file and file["mode"] != 0o644:
                yield f"{path}: mode {file['mode']:o}"

    # --- what takes longer

    def deep(self, seen: Seen) -> list[str]:
        """Return what else does not hold; called when `quick` finds nothing."""
        world = self.world
        problems = []
        if world.is_metadata_well and not (world.wrong or world.full or world.blocked):
            problems += self._plan(seen)
            problems += self._left_behind()
        problems += self._secrets(seen)
        problems += self._changed_files_of_others()
        return problems

    def _plan(self, seen: Seen) -> Iterator[str]:
        """Compare with what `apply` would do: nothing, apart from contested files.

        It would also remove a CIDR at once that the daemon keeps for a while.
        """
        contested = _contested(seen)
        entries = (_variables(_content(seen, NODE_ENV)) or {}).get("no_proxy", "").split(",")
        if not set(entries).isdisjoint(self._removed):
            contested |= {NODE_ENV, ENVIRONMENT, f"{ENVIRONMENT}.real-{self.world.linked}"}
        code, output = self.node.result("eks-proxy-agent plan --json 2>/dev/null")
        changes = [change["path"] for change in json.loads(output)["changes"]] if code in (0, 3) else []
        if code not in (0, 3) or set(changes) - contested:
            yield f"plan: exit code {code}, changes {changes}, contested {sorted(contested)}: {output[-300:]}"

    def _left_behind(self) -> Iterator[str]:
        """Compare files that were /etc/environment for a while: no line of ours stays in them."""
        for path in (self.node.directory / "upper/etc").glob("environment.real-*"):
            if path.name != f"environment.real-{self.world.linked}":
                content = path.read_bytes()
                if others_of(ENVIRONMENT, content) != content:
                    yield f"/etc/{path.name}: has lines of the agent, although nothing links to it any more"

    def _secrets(self, seen: Seen) -> Iterator[str]:
        places = {
            "status.json": seen["status"] or "",
            ENVIRONMENT: (_content(seen, ENVIRONMENT) or b"").decode("utf-8", "replace"),
        }
        for secret in self.world.secrets:
            yield from (f"{place} shows the password" for place, text in places.items() if secret in text)

    def read_journal(self) -> list[str]:
        """Read what the journal has since the last call; return its problems."""
        entries, self._cursor = self.node.journal(self._cursor)
        problems = []
        for entry in entries:
            text = json.dumps(entry)
            message = entry.get("MESSAGE")
            message = bytes(message).decode("utf-8", "replace") if isinstance(message, list) else str(message)
            if "eks-proxy-agent" in (entry.get("SYSLOG_IDENTIFIER"), str(entry.get("_SYSTEMD_UNIT")).partition(".")[0]):
                self.journal_lines += 1
            if any(part in message for part in FORBIDDEN):
                problems.append(f"journal: {message[-1500:]}")
            if any(secret in text or secret in message for secret in self.world.secrets):
                problems.append(f"journal shows the password: {message[-500:]}")
        return problems

    def reverted(self, seen: Seen) -> list[str]:
        """Return what remains of the agent after `revert`."""
        self._others.pop(WANTED, None)  # revert disables the daemon
        return [*self._unconfigured(seen), *self._left_behind(), *self._changed_files_of_others()]

    def _changed_files_of_others(self) -> Iterator[str]:
        now = self._files_of_others()
        for path in sorted(now.keys() | self._others.keys()):
            if now.get(path) != self._others.get(path):
                yield f"/{path}: a file of others changed: {self._others.get(path)} -> {now.get(path)}"

    def _files_of_others(self) -> dict[str, tuple[object, ...]]:
        """Return what identifies each changed file of the disk that belongs to others.

        The layer above the image has all that was written since it was made.
        """
        top = self.node.directory / "upper"
        files: dict[str, tuple[object, ...]] = {}
        for directory, names, leaves in os.walk(top):
            place = Path(directory).relative_to(top)
            names[:] = [name for name in names if not NOT_OTHERS.fullmatch(str(place / name))]
            for name in leaves:
                path = str(place / name)
                if not NOT_OTHERS.fullmatch(path):
                    status = os.lstat(top / path)
                    link = os.readlink(top / path) if stat.S_ISLNK(status.st_mode) else ""
                    files[path] = (
                        status.st_mode,
                        status.st_uid,
                        status.st_gid,
                        status.st_size,
                        status.st_mtime_ns,
                        link,
                    )
        return files


def _content(seen: Seen, path: str) -> bytes | None:
    """Return the content of a file; None if it is absent."""
    file = seen["files"].get(path)
    return base64.b64decode(file["content"]) if file and "content" in file else None


def _variables(content: bytes | None) -> dict[str, str] | None:
    """Return the variables of a file of plain NAME=VALUE lines; None if it is absent."""
    if content is None:
        return None
    lines = [line for line in content.decode("utf-8", "replace").splitlines() if line and not line.startswith("#")]
    return dict(line.partition("=")[::2] for line in lines)


def _contested(seen: Seen) -> set[str]:
    """Return the files that the status says are left alone."""
    status = json.loads(seen["status"]) if seen["status"] else {}
    return set((status.get("repairs") or {}).get("fought", []))
