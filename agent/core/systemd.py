"""systemd units as values: what they are, what is to be done with them, which run with an old environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from agent.core.settings.schema import Settings


@attrs.frozen
class Unit:
    """A unit as systemd sees it; `main_pid` 0: none runs.

    `blocked`: its last start was refused by an Assert...= line.  `started`: it was, at least once since power on.
    `queued`: it is about to, as all are that wait for READY=1.  `since`: when its process began, in seconds of CLOCK_MONOTONIC.
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


#: What containers hang on.
RUNTIMES = ("containerd.service", "docker.service")
#: ActiveState of a unit that is not running and not about to.
IDLE = ("inactive", "failed")


def to_enable(settings: Settings, units: Mapping[str, Unit], *, interrupted: bool = False) -> tuple[str, ...]:
    """The units of node.enable that exist and are not enabled yet; they are started too.

    One that is enabled and stopped stays stopped: an administrator did that.  Unless an earlier run was `interrupted`,
    perhaps after it had enabled the unit and before it had started it.
    """
    found = (units[name] for name in settings.node.enable if name in units)
    waiting = ("inactive",) if interrupted else ()
    return tuple(unit.name for unit in found if unit.exists and (unit.enabled == "disabled" or unit.active in waiting))


def to_release(units: Mapping[str, Unit], *, closed: bool = True) -> tuple[str, ...]:
    """The units whose start failure.policy = "closed" refused, to be started now.

    One that requires a refused one, as kubelet requires docker, is not refused itself: its start is dropped for want of
    the other.  It is known by being enabled and never started, which only counts while the policy is `closed`.
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
