"""systemd's units, through systemctl, and the environments of their processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from agent.core.systemd import Unit
from agent.edges import command
from agent.errors import CommandError

_PROPERTIES = (
    "Id,LoadState,UnitFileState,ActiveState,MainPID,AssertResult,AssertTimestampMonotonic,InactiveExitTimestampMonotonic,"
    "ExecMainStartTimestampMonotonic,Job"
)


class Systemd:
    """The running systemd of this machine; every call raises CommandError."""

    running = True

    def show(self, names: Sequence[str]) -> dict[str, Unit]:
        """State by name; one call for all, because each costs 10 ms at boot."""
        if not names:
            return {}
        output = command.run(["systemctl", "show", "--property=" + _PROPERTIES, "--"] + list(names)).stdout
        blocks = [_properties(block.splitlines()) for block in output.strip().split("\n\n")]
        return {name: _unit(name, block) for name, block in zip(names, blocks)}

    def reload(self) -> None:
        command.run(["systemctl", "daemon-reload"], timeout=120)

    def enable(self, names: Sequence[str]) -> None:
        """Enable; `reload` has to follow, else systemctl would run all generators here and once more there."""
        command.run(["systemctl", "--no-reload", "enable", "--"] + list(names), timeout=120)

    def disable(self, names: Sequence[str]) -> None:
        """Disable without stopping; `reload` has to follow here too."""
        command.run(["systemctl", "--no-reload", "disable", "--"] + list(names), timeout=120)

    def disable_now(self, names: Sequence[str]) -> None:
        command.run(["systemctl", "disable", "--now", "--"] + list(names), timeout=120)

    def stop(self, names: Sequence[str]) -> None:
        command.run(["systemctl", "stop", "--"] + list(names), timeout=120)

    def try_restart(self, name: str, *, timeout: float) -> None:
        """Restart a unit if it runs, and wait until it does again."""
        command.run(["systemctl", "try-restart", "--", name], timeout=timeout)

    def dependants(self, name: str) -> tuple[str, ...]:
        """The units that systemd stops and restarts together with this one (systemd.unit(5), Requires= and its kind)."""
        properties = "--property=RequiredBy,RequisiteOf,BoundBy,ConsistsOf"
        output = command.run(["systemctl", "show", "--value", properties, "--", name]).stdout
        return tuple(output.split())

    def start(self, names: Sequence[str]) -> None:
        """Queue the start and return: waiting for a unit that is ordered after us would be a deadlock."""
        command.run(["systemctl", "start", "--no-block", "--"] + list(names))


class NoSystemd(Systemd):
    """For a machine without systemd: there is nothing to ask and nothing to do."""

    running = False

    def show(self, names: Sequence[str]) -> dict[str, Unit]:
        return {}

    def reload(self) -> None:
        """Nothing runs there."""

    def enable(self, names: Sequence[str]) -> None:
        """There is nothing to enable."""

    def disable(self, names: Sequence[str]) -> None:
        """There is nothing to disable."""

    def disable_now(self, names: Sequence[str]) -> None:
        """There is nothing to disable."""

    def stop(self, names: Sequence[str]) -> None:
        """Nothing runs there."""

    def start(self, names: Sequence[str]) -> None:
        """Nothing runs there."""

    def try_restart(self, name: str, *, timeout: float) -> None:
        """Nothing runs there."""

    def dependants(self, name: str) -> tuple[str, ...]:
        return ()


class OfflineSystemd(NoSystemd):
    """The units of a tree in which nothing runs: they can be enabled and disabled."""

    def __init__(self, root: str) -> None:
        self._systemctl = ["systemctl", "--root=" + root]

    def show(self, names: Sequence[str]) -> dict[str, Unit]:
        states = {name: command.run([*self._systemctl, "is-enabled", "--", name], check=False) for name in names}
        return {
            name: Unit(
                name, exists=state.stdout.strip() not in ("", "not-found"), enabled=state.stdout.strip(), active=""
            )
            for name, state in states.items()
        }

    def enable(self, names: Sequence[str]) -> None:
        command.run([*self._systemctl, "enable", "--", *names])

    def disable(self, names: Sequence[str]) -> None:
        command.run([*self._systemctl, "disable", "--", *names])

    disable_now = disable


def environ(pid: int) -> bytes:
    """The environment that a process was started with; empty when it is gone.  Raises CommandError without the right."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""
    except OSError as error:
        raise CommandError(f"/proc/{pid}/environ: {error.strerror}") from None


def _properties(lines: Iterable[str]) -> Mapping[str, str]:
    pairs = [line.partition("=") for line in lines]
    return {key: value for key, _, value in pairs}


def _unit(name: str, block: Mapping[str, str]) -> Unit:
    asked = block.get("AssertTimestampMonotonic", "0") not in ("", "0")
    return Unit(
        name=name,
        exists=block.get("LoadState") == "loaded",
        enabled=block.get("UnitFileState", ""),
        active=block.get("ActiveState", ""),
        main_pid=int(block.get("MainPID") or 0),
        blocked=asked and block.get("AssertResult") == "no",
        queued=block.get("Job", "0") not in ("", "0"),
        started=block.get("InactiveExitTimestampMonotonic", "0") not in ("", "0"),
        since=int(block.get("ExecMainStartTimestampMonotonic") or 0) / 1e6,
    )
