"""systemd units as values: what they are, what is to be done with them, which run with an old environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import attrs

from agent.core.settings.schema import Settings

#: What is asked of `systemctl show`; it fetches all of them anyway, and prints these.
PROPERTIES = (
    "Id,LoadState,UnitFileState,ActiveState,MainPID,AssertResult,AssertTimestampMonotonic,InactiveExitTimestampMonotonic,"
    "ExecMainStartTimestampMonotonic,Job,NeedDaemonReload,DropInPaths,EnvironmentFiles,UnsetEnvironment,Before"
)


@attrs.frozen
class UnitState:
    """A unit as systemd sees it, which may differ from what is on disk; `main_pid` 0: none runs.

    `blocked`: its last start was refused by an Assert...= line.  `started`: it was, at least once
    since power on. `queued`: it is about to, as all are that wait for READY=1.  `since`: when its
    process began, in seconds of CLOCK_MONOTONIC. `environment_files` are in the order in which they
    are read: the later wins.
    """

    name: str
    exists: bool = True
    enabled: str = "enabled"
    active: str = "active"
    main_pid: int = 0
    blocked: bool = False
    started: bool = True
    queued: bool = False
    since: float = 0.0
    needs_reload: bool = False
    drop_ins: tuple[str, ...] = ()
    environment_files: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    before: tuple[str, ...] = ()


def parse_unit(name: str, block: str) -> UnitState:
    """Read what `systemctl show` says of one unit; a property may come several times, one line for each value."""
    found: dict[str, list[str]] = {}
    for line in block.splitlines():
        key, _, value = line.partition("=")
        found.setdefault(key, []).append(value)

    def words(key: str) -> tuple[str, ...]:
        return tuple(" ".join(found.get(key, ())).split())

    def word(key: str) -> str:
        return found.get(key, [""])[0]

    def number(key: str) -> int:
        return int(word(key)) if word(key).isdigit() else 0

    files = found.get("EnvironmentFiles", ())
    return UnitState(
        name=name,
        exists=word("LoadState") == "loaded",
        enabled=word("UnitFileState"),
        active=word("ActiveState"),
        main_pid=number("MainPID"),
        blocked=number("AssertTimestampMonotonic") > 0 and word("AssertResult") == "no",
        started=number("InactiveExitTimestampMonotonic") > 0,
        queued=number("Job") > 0,
        since=number("ExecMainStartTimestampMonotonic") / 1e6,
        needs_reload=word("NeedDaemonReload") == "yes",
        drop_ins=words("DropInPaths"),
        environment_files=tuple(re.sub(r" \(ignore_errors=(yes|no)\)$", "", file) for file in files if file),
        unset=words("UnsetEnvironment"),
        before=words("Before"),
    )


#: What containers hang on.
RUNTIMES = ("containerd.service", "docker.service")
#: ActiveState of a unit that is not running and not about to.
IDLE = ("inactive", "failed")


def to_enable(settings: Settings, units: Mapping[str, UnitState], *, interrupted: bool = False) -> tuple[str, ...]:
    """The units of node.enable that exist and are not enabled yet; they are started too.

    One that is enabled and stopped stays stopped: an administrator did that.  Unless an earlier run
    was `interrupted`, perhaps after it had enabled the unit and before it had started it.
    """
    found = (units[name] for name in settings.node.enable if name in units)
    waiting = ("inactive",) if interrupted else ()
    return tuple(unit.name for unit in found if unit.exists and (unit.enabled == "disabled" or unit.active in waiting))


def to_release(units: Mapping[str, UnitState], *, closed: bool = True) -> tuple[str, ...]:
    """The units whose start failure.policy = "closed" refused, to be started now.

    One that requires a refused one, as kubelet requires docker, is not refused itself: its start is
    dropped for want of the other.  It is known by being enabled and never started, which only
    counts while the policy is `closed`.
    """
    stopped = (unit for unit in units.values() if unit.exists and not unit.queued and unit.active in IDLE)
    return tuple(
        unit.name for unit in stopped if unit.blocked or (closed and unit.enabled == "enabled" and not unit.started)
    )


def restart_order(names: Iterable[str]) -> tuple[str, ...]:
    """The order in which to restart units: what others need first, kubelet last."""
    first = {name: number for number, name in enumerate(RUNTIMES)}
    return tuple(sorted(names, key=lambda name: (first.get(name, 9 if name == "kubelet.service" else 5), name)))


def is_stale(environ: bytes, variables: Iterable[tuple[str, str]]) -> bool:
    """Whether a process (its /proc/PID/environ) lacks one of the variables or has another value."""
    return bool(differences(environ, variables))


def differences(environ: bytes, variables: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The variables that a process has otherwise than wanted: name → its value, empty when it has none."""
    pairs: dict[str, str] = {}
    for item in environ.split(b"\0"):
        name, _, value = item.partition(b"=")
        pairs[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    return {name: pairs.get(name, "") for name, value in variables if pairs.get(name) != value}
