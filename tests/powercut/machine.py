"""A virtual machine of QEMU: power on, and off by itself or by a cut."""

from __future__ import annotations

import random
import re
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.boot.harness.command import CLEAN_ENVIRONMENT, BedError

from .disk import Disk, Loss, Write

#: Lines of the console between which the agent configures the node.
BEGIN, END = "Starting eks-proxy-agent.service", "Started eks-proxy-agent.service"
COLOR = re.compile(r"\x1b\[[0-9;]*m")
LIMIT = 1200  # seconds of a boot, a safety net: about 40 s on an idle machine
MEMORY = "1024"  # MiB
KERNEL_OPTIONS = (
    "root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off apparmor=0 "
    "systemd.show_status=1 systemd.status_unit_format=name"
).split()


@dataclass(frozen=True)
class Moment:
    """When to cut the power: seconds after power on, or writes after the agent's start."""

    seconds: float = 0
    writes: int = 0

    def halved(self) -> Moment:
        """Return an earlier moment of the same kind."""
        return Moment(self.seconds / 2, (self.writes + 1) // 2)

    def __str__(self) -> str:
        return (
            f"{self.writes} writes after the agent's start" if self.writes else f"{self.seconds:.1f} s after power on"
        )


@dataclass(frozen=True)
class Run:
    """One run of a machine: seconds from power on, writes of the disk, and the console."""

    seconds: float
    agent_writes: int  # from the agent's start until it was ready
    stage: str  # "before the agent", "agent" or "after the agent": where it ended
    loss: Loss | None  # of a power cut
    console: str
    history: list[Write | None]  # of the disk, if it was recorded
    window: tuple[int, int]  # the part of the history in which the agent starts


@dataclass
class _Seen:
    """What the console showed; see Run."""

    stage: str = "before the agent"
    agent_writes: int = 0
    window: tuple[int, int] = (0, 0)
    console: str = ""


class Machine:
    """The machine that boots a kernel from an image; each run has a disk with an empty cache."""

    def __init__(self, directory: Path, kernel: Path, initrd: Path) -> None:
        """Take a directory for the socket and the console."""
        self._directory = directory
        self._kernel = kernel
        self._initrd = initrd

    def run(
        self,
        image: Path,
        chance: random.Random,
        cut: Moment | None = None,
        options: tuple[str, ...] = ("lsm=capability",),
        is_recorded: bool = False,
    ) -> Run:
        """Boot `image` until it powers off, or until the cut; return what happened.

        Raises BedError if it takes too long.
        """
        address = self._directory / "disk.socket"
        disk = Disk(image, address, chance, is_recorded=is_recorded)
        process = subprocess.Popen(
            self._command(address, options),
            env=dict(CLEAN_ENVIRONMENT),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        timers = [threading.Timer(LIMIT, process.kill)]
        if cut and cut.seconds:
            timers.append(threading.Timer(cut.seconds, lambda: (disk.cut(), process.kill())))
        begin = time.monotonic()
        try:
            for timer in timers:
                timer.start()
            seen = self._watch(process, disk, cut)
            seconds = time.monotonic() - begin
        finally:
            for timer in timers:
                timer.cancel()
            process.kill()
            process.wait(10)
            disk.close()
        if seconds >= LIMIT:
            raise BedError(f"the machine did not power off within {LIMIT} s:\n{seen.console[-4000:]}")
        return Run(seconds, seen.agent_writes, seen.stage, disk.loss, seen.console, disk.history, seen.window)

    def _watch(self, process: subprocess.Popen[str], disk: Disk, cut: Moment | None) -> _Seen:
        """Read the console to its end."""
        seen = _Seen()
        writes = begin = 0  # at the agent's start
        assert process.stdout is not None
        for line in map(_plain, process.stdout):
            seen.console += line
            if BEGIN in line and seen.stage == "before the agent":
                seen.stage, writes, begin = "agent", disk.writes, len(disk.history)
                if cut and cut.writes:
                    disk.cut_after(cut.writes, process.kill)
            elif END in line and seen.stage == "agent":
                seen.stage, seen.agent_writes = "after the agent", disk.writes - writes
                seen.window = begin, len(disk.history)
        (self._directory / "console.log").write_text(seen.console)
        return seen

    def _command(self, address: Path, options: tuple[str, ...]) -> list[str]:
        return [
            "setpriv", "--pdeathsig=KILL",  # it dies with this process, not only by a cut
            "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "qemu64",
            # One processor: with two, the kernel takes their TSCs for unsynchronized, and reads a
            # slower clock.
            "-m", MEMORY, "-nodefaults", "-no-reboot", "-nic", "none", "-display", "none", "-serial", "stdio",
            "-kernel", str(self._kernel), "-initrd", str(self._initrd), "-append", " ".join([*KERNEL_OPTIONS, *options]),
            "-blockdev", f"driver=nbd,node-name=disk,server.type=unix,server.path={address}",
            "-device", "virtio-blk-pci,drive=disk,write-cache=on",
        ]  # fmt: skip


def _plain(line: str) -> str:
    return COLOR.sub("", line)
