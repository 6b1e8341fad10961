"""The machine for a report: system, versions of programs, time."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from typing import Any

from agent import __version__
from agent.core.status.timestamps import format_timestamp
from agent.errors import AgentError
from agent.report.node import ReportedNode

#: Programs of a node, and the argument that prints their version.
_PROGRAMS = (
    ("systemctl", "--version"),
    ("docker", "--version"),
    ("dockerd", "--version"),
    ("containerd", "--version"),
    ("kubelet", "--version"),
    ("nodeadm", "--version"),
    ("cloud-init", "--version"),
    ("amazon-ssm-agent", "-version"),
)
_CLOCKS = (["timedatectl", "show"], ["chronyc", "-n", "tracking"], ["chronyc", "-n", "sources"])
_FILE_SYSTEMS = ("/", "/etc", "/run", "/tmp", "/var", "/var/lib", "/var/log")  # noqa: S108 -- only its free space is read
_RELEASE = ("ID", "VERSION_ID", "PRETTY_NAME", "VARIANT_ID", "BUILD_ID")
#: Seconds for each program.
_SECONDS = 2.0


def machine(node: ReportedNode) -> Any:
    """Return what the node runs on; of a directory tree only its release."""
    about = {"agent": __version__, "time": format_timestamp(int(time.time())), "os_release": _release(node)}
    if not node.host.files.live:
        return about
    return {
        **about,
        "python": sys.version,
        "interpreter": sys.executable,
        "user": os.geteuid(),
        "system": dict(zip(("system", "host", "release", "version", "machine"), os.uname())),
        "libc": " ".join(platform.libc_ver()),
        "boot_id": _read(node, "/proc/sys/kernel/random/boot_id"),
        "uptime_seconds": _read(node, "/proc/uptime").partition(" ")[0],
        "load": _read(node, "/proc/loadavg"),
        "file_systems": {path: _space(path) for path in _FILE_SYSTEMS},
    }


def versions(node: ReportedNode) -> Any:
    """Return the first line that each program prints about its version."""
    node.require_machine()
    return {argv[0]: _first_line(node, argv) for argv in _PROGRAMS}


def clock(node: ReportedNode) -> str:
    """Return the state of time synchronization."""
    node.require_machine()
    lines: list[str] = []
    for argv in _CLOCKS:
        lines.append("$ " + shlex.join(argv))
        try:
            output = node.run(argv, seconds=_SECONDS)
            lines.append((output.stdout + output.stderr).decode("utf-8", "replace"))
        except AgentError as error:
            lines.append(str(error))
    return "\n".join(lines) + "\n"


def _first_line(node: ReportedNode, argv: tuple[str, str]) -> str:
    try:
        output = node.run(argv, seconds=_SECONDS)
    except AgentError as error:
        return str(error)
    return (output.stdout or output.stderr).decode("utf-8", "replace").strip().partition("\n")[0]


def _release(node: ReportedNode) -> dict[str, str]:
    """Return the keys of os-release(5) that name the system."""
    text = ""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        text = text or (node.host.files.state(path).content or b"").decode("utf-8", "replace")
    pairs = (line.partition("=") for line in text.splitlines())
    values = {name: value.strip("\"'") for name, _, value in pairs}
    return {name: values[name] for name in _RELEASE if name in values}


def _read(node: ReportedNode, path: str) -> str:
    return (node.host.files.state(path).content or b"").decode("utf-8", "replace").strip()


def _space(path: str) -> Any:
    try:
        space = os.statvfs(path)
    except OSError as error:
        return {"problem": error.strerror}
    return {
        "bytes": space.f_blocks * space.f_frsize,
        "bytes_free": space.f_bavail * space.f_frsize,
        "inodes_free": space.f_favail,
        "read_only": bool(space.f_flag & os.ST_RDONLY),
    }
