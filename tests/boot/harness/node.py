"""A node: a root file system that survives several boots, each with systemd as PID 1."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests import json_schemas

from . import cgroup
from .boot import Boot
from .command import CLEAN_ENVIRONMENT, Argument, BedError, run
from .namespace import Namespace
from .secrets import SecretSearch, Watch
from .waiting import wait_for

# nspawn in a mount namespace of its own: it requires a tmpfs that systemd would have mounted on the
# host, and its mounts disappear with the namespace. The shell joins the boot's control groups
# before it becomes nspawn.
WRAPPER = """
mkdir -p /run/systemd/nspawn && mount -t tmpfs tmpfs /run/systemd/nspawn || exit 1
while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done
shift
exec "$@"
"""
# Options of nspawn that containers need: capabilities, keyrings and BPF for runc, and a kernel log
# for kubelet.
FOR_PODS = ("--capability=all", "--system-call-filter=@keyring bpf", "--bind=/dev/null:/dev/kmsg")


class Running:
    """A boot that is under way."""

    def __init__(
        self, process: subprocess.Popen[bytes], directory: Path, number: int, limit: float, watch: Watch
    ) -> None:
        """Take the directory that the node sees as /probe; kill the boot after `limit` seconds."""
        self.directory = directory
        self._watch = watch
        self._process = process
        self._number = number
        self._deadline = time.monotonic() + limit

    def leader(self) -> int:
        """Return the process id, on the host, of the node's PID 1."""
        return wait_for("the node's PID 1", lambda: _container_init(self._process.pid), limit=10)

    def run(self, *argv: Argument, check: bool = True, timeout: float = 60, stdin: str = "") -> str:
        """Run a command inside the node and return its standard output.

        What the agent prints with --json matches its schema.
        """
        enter: list[Argument] = ["nsenter", f"--target={self.leader()}", "--all", "--root", "--wd", "--"]
        output = run([*enter, *argv], check=check, timeout=timeout, stdin=stdin).stdout
        if str(argv[0]).endswith("eks-proxy-agent"):
            json_schemas.check([str(word) for word in argv[1:]], output)
        return output

    def show(self, unit: str, prop: str) -> str:
        """Return the current value of a unit's property."""
        return self.run("systemctl", "show", "--value", f"--property={prop}", unit).strip()

    def wait_settled(self) -> None:
        """Wait until systemd has no job left and the probe waits for release.

        The boot must have been started with `hold`.
        """
        self._wait_for_file("settled")

    def wait_until(self, event: str, *argv: Argument, limit: float = 30) -> None:
        """Wait until a command inside the node succeeds.

        Raises BedError that names `event` after `limit` seconds.
        """
        enter: list[Argument] = ["nsenter", f"--target={self.leader()}", "--all", "--root", "--wd", "--"]
        wait_for(event, lambda: run([*enter, *argv], check=False).returncode == 0, limit=limit, interval=0.1)

    def kill(self) -> None:
        """Cut the power: SIGKILL to PID 1 ends every process of the node immediately."""
        os.kill(self.leader(), signal.SIGKILL)
        self._process.wait(20)

    def finish(self) -> Boot:
        """Let the probe collect evidence and power off; return the evidence.

        Raises AssertionError if the boot shows the proxy's password.
        """
        (self.directory / "release").touch()
        self._wait_for_file("done")
        try:
            self._process.wait(max(self._remaining(), 10))
        except subprocess.TimeoutExpired:
            raise BedError(f"the node did not power off\n{self.console()}") from None
        self._watch.finish(self.directory)
        return Boot(self.directory, self._number)

    def stop(self) -> None:
        """Stop the boot, whatever its state."""
        if self._process.poll() is None:
            with suppress(BedError, OSError):
                os.kill(self.leader(), signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process.kill()
            self._process.wait(10)

    def console(self) -> str:
        """Return the last lines of the node's console."""
        return (self.directory / "console.log").read_text(errors="replace")[-4000:]

    def _wait_for_file(self, name: str) -> None:
        def exists() -> bool:
            if (self.directory / name).exists():
                return True
            if self._process.poll() is not None:
                raise BedError(
                    f"the node ended (exit code {self._process.returncode}) before '{name}'\n{self.console()}"
                )
            return False

        try:
            wait_for(f"'{name}' of boot {self._number}", exists, limit=self._remaining())
        except BedError as error:
            self.stop()
            raise BedError(f"{error}\n{self.console()}") from None

    def _remaining(self) -> float:
        return max(self._deadline - time.monotonic(), 1)


class Node:
    """A root file system and its boots: layers, and a temporary copy-on-write layer above them."""

    def __init__(
        self,
        name: str,
        directory: Path,
        layers: Sequence[Path],
        namespace: Namespace,
        image: Node | None = None,
        *,
        pods: bool = False,
    ) -> None:
        """Mount it; `layers` are read-only, the topmost first.

        `directory` must be where overlayfs can write. `image` is a node that is powered off and has
        the same layers: its disk is copied. With `pods`, containers can run on the node.
        """
        self.name = name
        self.namespace = namespace
        self.directory = directory
        self.root = directory / "root"
        self._options: Sequence[Argument] = FOR_PODS if pods else ()
        self._boots = 0
        self._running: Running | None = None
        self.watch: Watch = SecretSearch(self.root, directory / "upper", namespace)
        for part in ("upper", "work", "root"):
            (directory / part).mkdir(parents=True)
        if image is not None:
            run(["cp", "-a", f"{image.directory}/upper/.", directory / "upper"])
        lower = ":".join(str(layer) for layer in layers)
        options = f"lowerdir={lower},upperdir={directory}/upper,workdir={directory}/work"
        run(["mount", "-t", "overlay", "-o", options, name, self.root])

    def start(self, *, pull: str = "", hold: bool = False, limit: float = 90) -> Running:
        """Begin a boot; `pull` names an image that the probe pulls.

        With `hold` the probe waits for Running.finish().
        """
        self._boots += 1
        probe = self.directory / f"probe-{self._boots}"
        probe.mkdir()
        if pull:
            (probe / "pull").write_text(pull)
        if hold:
            (probe / "hold").touch()
        self.watch.start()
        groups = cgroup.create(f"{self.name}-{self._boots}")
        nspawn: list[Argument] = [
            "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--settings=no",
            f"--directory={self.root}", f"--machine={self.name}", f"--network-namespace-path={self.namespace.path}",
            f"--bind={probe}:/probe", "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
            *self._options,
        ]  # fmt: skip
        argv = ["unshare", "--mount", "sh", "-c", WRAPPER, "sh", *groups, "--", *nspawn]
        with (probe / "console.log").open("wb") as console:
            process = subprocess.Popen(
                [str(part) for part in argv],
                env=dict(CLEAN_ENVIRONMENT),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        self._running = Running(process, probe, self._boots, limit, self.watch)
        return self._running

    def boot(self, *, pull: str = "", limit: float = 90) -> Boot:
        """Boot from power on to power off."""
        return self.start(pull=pull, limit=limit).finish()

    def close(self) -> None:
        """Stop a running boot and remove the disk."""
        if self._running is not None:
            self._running.stop()
        self.watch.stop()
        run(["umount", self.root], check=False)
        cgroup.remove_all(self.name)
        run(["rm", "-rf", "--one-file-system", self.directory], check=False)


def _container_init(nspawn: int) -> int | None:
    """Return the descendant of nspawn that is PID 1 of a namespace one level down.

    Source: proc(5), NSpid.
    """
    waiting = [nspawn]
    while waiting:
        pid = waiting.pop()
        with suppress(OSError):
            children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
            for child in children:
                status = Path(f"/proc/{child}/status").read_text()
                levels = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
                if len(levels) == 2 and levels[1] == "1":
                    return child
            waiting.extend(children)
    return None
