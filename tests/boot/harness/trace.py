"""strace of the agent inside a node: a stop at an exact system call, and the order of its calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

UNIT = "etc/systemd/system/eks-proxy-agent.service.d/50-trace.conf"
TRACE = "/probe/trace"
# -y prints the path behind every file descriptor.
DROP_IN = """\
[Service]
NotifyAccess=all
WatchdogSec=0
ReadWritePaths=/probe
SystemCallFilter=
ExecStart=
ExecStart=/usr/bin/strace -f -y -o {trace} -e trace=openat,write,fsync,fdatasync,renameat,renameat2 \
{options} /usr/bin/eks-proxy-agent run
"""


def install(root: Path, options: str = "") -> None:
    """Let the next boots of the node run the agent under strace."""
    target = root / UNIT
    target.parent.mkdir(exist_ok=True)
    target.write_text(DROP_IN.format(trace=TRACE, options=options))


def remove(root: Path) -> None:
    """Let the agent run without strace again."""
    (root / UNIT).unlink()
    (root / UNIT).parent.rmdir()


def stop_at(call: str, number: int) -> str:
    """Return options that stop the agent for good after its Nth call, to cut the power then.

    Source: strace(1), inject.
    """
    return f"-e inject={call}:signal=STOP:when={number}"


def stopped(trace: Path) -> bool:
    """Return True if the agent has reached that call."""
    return trace.exists() and "--- stopped by SIGSTOP ---" in trace.read_text(errors="replace")


@dataclass(frozen=True)
class Call:
    """A system call that succeeded, its path, and the target of a rename."""

    name: str
    path: str
    target: str = ""


def calls(trace: Path) -> Iterator[Call]:
    """Yield the write, fsync and rename calls of a trace, in order."""
    for line in _joined(trace.read_text(errors="replace").splitlines()):
        call = line.partition(" ")[2].lstrip()
        renamed = re.match(r'renameat2?\(\d+<([^>]+)>, "([^"]+)", \d+<([^>]+)>, "([^"]+)".*= 0$', call)
        on_file = re.match(r"(write|fsync|fdatasync)\(\d+<([^>]+)>.*= \d+$", call)
        if renamed:
            yield Call("rename", f"{renamed[1]}/{renamed[2]}", f"{renamed[3]}/{renamed[4]}")
        elif on_file:
            yield Call(on_file[1], on_file[2])


def _joined(lines: list[str]) -> Iterator[str]:
    """Join calls that strace printed in two halves because another thread ran in between."""
    open_halves = {}
    for line in lines:
        pid, _, call = line.partition(" ")
        if call.endswith("<unfinished ...>"):
            open_halves[pid] = line[: -len("<unfinished ...>")].rstrip()
        elif "resumed>" in call and pid in open_halves:
            yield open_halves.pop(pid) + call.partition("resumed>")[2]
        else:
            yield line
