"""The units of systemd as values: their state, what to enable or start, and stale environments."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from agent.core.record import record
from agent.core.settings.schema import Settings

#: The agent's unit.
AGENT = "eks-proxy-agent.service"
#: The properties that `systemctl show` prints; it reads all of them from systemd anyway.
PROPERTIES = (
    "Id,LoadState,UnitFileState,ActiveState,MainPID,AssertResult,AssertTimestampMonotonic,InactiveExitTimestampMonotonic,"
    "ExecMainStartTimestampMonotonic,Job,NeedDaemonReload,DropInPaths,EnvironmentFiles,UnsetEnvironment,Before,"
    "Requires,Wants,BindsTo,After,DefaultDependencies"
)


@record
class UnitState:
    """A unit as systemd sees it, which may differ from the files on disk.

    `main_pid`: 0 without a main process.  `blocked`: an Assert...= line refused its last start.
    `started`: it was started at least once since power-on.  `queued`: it has a job, as all units
    have that wait for READY=1.  `since`: start of its process, in seconds of CLOCK_MONOTONIC.
    `environment_files`: in the order in which they are read; the later one wins.  `needs`: the
    units of Requires=, Wants= and BindsTo=.
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
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    default_dependencies: bool = True


def parse_unit(name: str, block: str) -> UnitState:
    """Return one unit from the output of `systemctl show`.

    A property may occur several times, with one line for each value.
    """
    properties: dict[str, list[str]] = {}
    for line in block.splitlines():
        key, _, value = line.partition("=")
        properties.setdefault(key, []).append(value)

    def words(key: str) -> tuple[str, ...]:
        return tuple(" ".join(properties.get(key, ())).split())

    def word(key: str) -> str:
        return properties.get(key, [""])[0]

    def number(key: str) -> int:
        return int(word(key)) if word(key).isdigit() else 0

    files = properties.get("EnvironmentFiles", ())
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
        needs=words("Requires") + words("Wants") + words("BindsTo"),
        after=words("After"),
        default_dependencies=word("DefaultDependencies") != "no",
    )


#: The agent starts after basic.target and waits for the network, so none of these may wait for it.
_EARLY = ("sysinit.target", "basic.target", "sockets.target", "network-pre.target", "network.target", AGENT)


def obstacle(unit: str, states: Mapping[str, UnitState]) -> str:
    """Return why a unit cannot wait for the agent at boot; empty if it can.

    `states` has the unit and, transitively, all units that start after it.
    """
    if not states[unit].exists:
        return "does not exist"
    if not states[unit].default_dependencies:
        return "has DefaultDependencies=no"
    later, new = set[str](), set(states[unit].before)
    while new:
        later |= new
        new = {name for other in new if other in states for name in states[other].before} - later
    early = next((name for name in _EARLY if name in later), "")
    return f"starts before {early}" if early else ""


def unit_of_cgroup(text: str) -> str:
    """Return the service whose control group a process is in, or "".

    `text` is its /proc/PID/cgroup, see cgroups(7); a service may have groups below its own.
    """
    paths = (line.split(":", 2)[2] for line in text.splitlines() if line.count(":") >= 2 and "/system" in line)
    names = (name for path in paths for name in path.split("/") if name.endswith(".service"))
    return next(names, "")


#: The container runtimes.
RUNTIMES = ("containerd.service", "docker.service")
#: ActiveState of a unit that does not run and is not about to run, and of one that does or is.
IDLE, ALIVE = ("inactive", "failed"), ("active", "activating", "reloading")


#: The units whose state decides about node.enable = "auto"; the first is the one to enable.
_DOCKER, _KUBELET, _CRI_DOCKER = AUTO = ("docker.service", "kubelet.service", "cri-docker.service")


class Enabling(NamedTuple):
    """The units that node.enable means, and for "auto" the rule that decided it, for people."""

    units: tuple[str, ...]
    rule: str = ""


def considered(settings: Settings) -> tuple[str, ...]:
    """Return the units whose state `enabling` needs."""
    return AUTO if settings.node.enable is None else settings.node.enable


def enabling(settings: Settings, units: Mapping[str, UnitState]) -> Enabling:
    """Return the units to enable: those of the list, for "auto" docker.service where it is used.

    An image may have docker for builds only, next to a kubelet with containerd.
    """
    if settings.node.enable is not None:
        return Enabling(settings.node.enable)
    docker = units.get(_DOCKER)
    if docker is None or not (docker.exists or docker.enabled.startswith("masked")):
        return Enabling(())
    runtime = _container_runtime(settings.bootstrap.arguments)
    user = next((unit for unit in map(units.get, AUTO[1:]) if unit and unit.exists and _uses_docker(unit)), None)
    kubelet = units.get(_KUBELET)
    if kubelet is None or not kubelet.exists:
        reason = "there is no kubelet.service"
    elif user:
        reason = f"{user.name} names it"
    elif runtime == "dockerd":
        reason = "bootstrap.arguments has --container-runtime dockerd"
    else:
        return Enabling((), "docker.service is left as it is: kubelet.service does not use it")
    if docker.enabled.startswith("masked"):
        return Enabling((), "docker.service is masked and stays so")
    return Enabling((_DOCKER,), f"docker.service is enabled: {reason}")


def _uses_docker(unit: UnitState) -> bool:
    """Return True if a unit names docker.service.

    After= with containerd.service too is the order of a unit that works with either.
    """
    return _DOCKER in unit.needs or (_DOCKER in unit.after and RUNTIMES[0] not in unit.after)


def _container_runtime(arguments: Sequence[str]) -> str:
    """Return the last --container-runtime of bootstrap.sh's arguments, or ""."""
    flag, value = "--container-runtime", ""
    for index, argument in enumerate(arguments):
        if argument == flag:
            value = arguments[index + 1] if index + 1 < len(arguments) else ""
        elif argument.startswith(flag + "="):
            value = argument.partition("=")[2]
    return value


def dependencies(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return `needs` and `after` of a unit file, where no systemd runs that could be asked.

    Lines of other sections have other keys.  Source: systemd.unit(5).
    """
    values: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        key, equals, value = line.partition("=")
        if equals:
            values.setdefault(key.strip(), []).extend(value.split())
    needs = (name for key in ("Requires", "Wants", "BindsTo") for name in values.get(key, ()))
    return tuple(needs), tuple(values.get("After", ()))


def to_enable(settings: Settings, units: Mapping[str, UnitState], *, interrupted: bool = False) -> tuple[str, ...]:
    """Return the units of node.enable that exist and are disabled; they are started too.

    A unit that is enabled and stopped stays stopped, because an administrator stopped it.  The
    exception is after an `interrupted` run: it may have enabled the unit without starting it.
    """
    candidates = (units[name] for name in enabling(settings, units).units if name in units)
    to_start = ("inactive",) if interrupted else ()
    return tuple(
        unit.name for unit in candidates if unit.exists and (unit.enabled == "disabled" or unit.active in to_start)
    )


def to_release(units: Mapping[str, UnitState], *, closed: bool = True) -> tuple[str, ...]:
    """Return the units to start now, because failure.policy = "closed" refused their start.

    A unit that requires a refused one, as kubelet requires docker, is not refused itself: systemd
    drops its start job.  It is recognized as enabled and never started, which counts only while
    the policy is `closed`.
    """
    stopped = (unit for unit in units.values() if unit.exists and not unit.queued and unit.active in IDLE)
    return tuple(
        unit.name for unit in stopped if unit.blocked or (closed and unit.enabled == "enabled" and not unit.started)
    )


def restart_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return the units in restart order: the runtimes first, kubelet last."""
    first = {name: number for number, name in enumerate(RUNTIMES)}
    return tuple(sorted(names, key=lambda name: (first.get(name, 9 if name == "kubelet.service" else 5), name)))


class OutdatedUnits(NamedTuple):
    """Units whose process has not the desired environment.

    `stale` ones need a restart.  `deferred` ones lack only what a new version of the agent added;
    that takes effect at their next restart, which is not urgent.
    """

    stale: tuple[str, ...] = ()
    deferred: tuple[str, ...] = ()


def is_deferred(different: Mapping[str, str], earlier: Collection[str]) -> bool:
    """Return True if a process has one of the `earlier` NO_PROXY values, and else no difference.

    `different` is the result of `differences`.
    """
    return bool(different) and all(name.lower() == "no_proxy" and value in earlier for name, value in different.items())


def differences(environ: bytes, variables: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the variables of a process that differ from the desired ones.

    `environ` is the content of its /proc/PID/environ.  A variable with the desired value "" must
    not be set.  The result maps the name to the value in the process, which is empty if it is not
    set.
    """
    pairs: dict[str, str] = {}
    for item in environ.split(b"\0"):
        name, _, value = item.partition(b"=")
        pairs[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    return {name: pairs.get(name, "") for name, value in variables if pairs.get(name, "") != value}
