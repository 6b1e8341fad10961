"""Units of systemd, through systemctl, and the environments of their processes."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from typing import Callable

from agent.core.systemd import PROPERTIES, UnitState, dependencies, parse_unit, unit_of_cgroup
from agent.edges import command, threads
from agent.edges.files import FileSystem
from agent.errors import CommandError, FileError

#: Where unit files are, in order of precedence (systemd.unit(5)).
_DIRECTORIES = (
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)


class Systemd:
    """Units of this machine.

    Unless systemd is `running`, queries return nothing and changes do nothing.

    Every call raises CommandError, and waits first for the work in the background.
    """

    def __init__(self, *, running: bool = True) -> None:
        self.running = running
        self._background: threading.Thread | None = None
        self._errors: list[str] | None = None
        #: The mark of the work in the background, until `finish`; None without any.
        self.background: object = None

    def begin(self, work: Callable[[], list[str]], mark: object) -> None:
        """Call `work`, which calls this object, in the background; it returns its errors.

        `mark` is a value by which callers recognize what the work is for.
        """

        def run() -> None:
            try:
                self._errors = work()
            except Exception as error:  # noqa: BLE001 -- an exception of a thread is lost
                self._errors = [f"{type(error).__name__}: {error}"]

        self.background = mark
        self._background = threading.Thread(target=run, daemon=True)
        if not threads.start([self._background]):
            run()

    def finish(self) -> list[str] | None:
        """Wait for the work in the background, and return its errors; None if there is none."""
        if self._background is None:
            return None
        self.wait()
        self._background = self.background = None
        return self._errors

    def wait(self, seconds: float | None = None) -> None:
        """Wait for the work in the background, at most so many seconds."""
        thread = self._background
        if thread and thread is not threading.current_thread() and thread.ident:
            thread.join(seconds)

    def show(self, names: Sequence[str], *, timeout: float = 30.0) -> dict[str, UnitState]:
        """Return the state of each unit by name, also of units that do not exist.

        One systemctl for all, because each costs 10 ms at boot.
        """
        if not names:
            return {}
        try:
            output = self._systemctl("show", "--property=" + PROPERTIES, "--", *names, timeout=timeout)
        except CommandError as error:
            raise CommandError(str(error), hint="check that systemd responds: systemctl is-system-running") from None
        blocks = output.strip().split("\n\n") if output else []
        return {name: parse_unit(name, block) for name, block in zip(names, blocks)}

    def reload(self) -> None:
        self._systemctl("daemon-reload", timeout=120)

    def enable(self, names: Sequence[str]) -> None:
        """Enable units; `reload` has to follow.

        systemctl does not reload itself, because all generators would run twice.
        """
        self._systemctl("--no-reload", "enable", "--", *names, timeout=120)

    def disable(self, names: Sequence[str]) -> None:
        """Disable units without stopping them; `reload` has to follow, as for `enable`."""
        self._systemctl("--no-reload", "disable", "--", *names, timeout=120)

    def disable_now(self, names: Sequence[str]) -> None:
        self._systemctl("disable", "--now", "--", *names, timeout=120)

    def enable_now(self, name: str, *, timeout: float) -> None:
        """Enable a unit, start it, and wait until it has started."""
        self._systemctl("enable", "--now", "--", name, timeout=timeout)

    def start_and_wait(self, name: str, *, timeout: float) -> None:
        """Start a unit, and wait until it has started.

        Only for a unit that does not wait for this process.
        """
        self._systemctl("start", "--", name, timeout=timeout)

    def stop(self, names: Sequence[str]) -> None:
        self._systemctl("stop", "--", *names, timeout=120)

    def try_restart(self, name: str, *, timeout: float) -> None:
        """Restart a unit if it is active, and wait until it is active again."""
        self._systemctl("try-restart", "--", name, timeout=timeout)

    def dependants(self, name: str) -> tuple[str, ...]:
        """Return the units that systemd stops and restarts together with this one.

        These have Requires= or a similar dependency on it (systemd.unit(5)).
        """
        properties = "--property=RequiredBy,RequisiteOf,BoundBy,ConsistsOf"
        return tuple(self._systemctl("show", "--value", properties, "--", name).split())

    def start(self, names: Sequence[str]) -> None:
        """Queue the start and return.

        Waiting for a unit that is ordered after the agent would be a deadlock.
        """
        self._systemctl("start", "--no-block", "--", *names)

    def _systemctl(self, *arguments: str, timeout: float = 30.0) -> str:
        """Return what systemctl prints; an empty string where systemd does not run."""
        self.wait(timeout)
        return command.run(["systemctl", *arguments], timeout=timeout).stdout if self.running else ""


class OfflineSystemd(Systemd):
    """Units of a tree in which nothing runs: they can be enabled and disabled."""

    def __init__(self, root: str) -> None:
        super().__init__(running=False)
        self._files = FileSystem(root)
        self._offline = ["systemctl", "--root=" + root]

    def show(self, names: Sequence[str], *, timeout: float = 30.0) -> dict[str, UnitState]:
        states = {
            name: command.run([*self._offline, "is-enabled", "--", name], timeout=timeout, check=False).stdout.strip()
            for name in names
        }
        return {name: self._state(name, state) for name, state in states.items()}

    def _state(self, name: str, enabled: str) -> UnitState:
        exists = enabled not in ("", "not-found")
        needs, after = dependencies(self._text(name)) if exists else ((), ())
        return UnitState(name, exists=exists, enabled=enabled, active="", needs=needs, after=after)

    def _text(self, name: str) -> str:
        """Return the text of a unit file, of the first directory that has it, and its drop-ins."""
        files = [f"{directory}/{name}" for directory in _DIRECTORIES]
        texts = [text for text in map(self._read, files) if text][:1]
        for path in files:
            with contextlib.suppress(FileError):
                texts += [self._read(f"{path}.d/{drop_in}") for drop_in in self._files.names(path + ".d")]
        return "\n".join(texts)

    def _read(self, path: str) -> str:
        """Return the text of a file below the root; empty for one that cannot be read."""
        with contextlib.suppress(FileError):
            return (self._files.read(path) or b"").decode("utf-8", "replace")
        return ""

    def enable(self, names: Sequence[str]) -> None:
        command.run([*self._offline, "enable", "--", *names])

    def disable(self, names: Sequence[str]) -> None:
        command.run([*self._offline, "disable", "--", *names])

    disable_now = disable


def environ(pid: int) -> bytes:
    """Return the environment that a process was started with.

    It is empty if the process has ended, or if systemd has not executed its program yet.  Raises
    CommandError, for example without permission.
    """
    try:
        if _is_systemd(pid):
            return b""
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return b""
    except OSError as error:
        raise CommandError(f"/proc/{pid}/environ: {error.strerror}") from None


def own_unit() -> str:
    """Return the service that this process belongs to; "" for that of a login, or if unknown."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
            return unit_of_cgroup(file.read())
    except OSError:
        return ""


def _is_systemd(pid: int) -> bool:
    """Return True if a process still is the copy of systemd that will execute a unit's program.

    From version 255 on that copy is the program systemd-executor.
    """
    try:
        program = os.readlink(f"/proc/{pid}/exe")
        return os.path.basename(program) == "systemd-executor" or program == os.readlink("/proc/1/exe")
    except OSError:
        return False
