"""The command `report`: one archive for support about this node, without secrets."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence

from agent import __version__
from agent.core.report.contents import README, Member, readme, within_limit
from agent.core.report.masks import Mask
from agent.core.status.timestamps import format_timestamp
from agent.edges import new_file
from agent.edges.signals import unwound
from agent.errors import AgentError, FileError, UsageError
from agent.node.host import Host, host_of
from agent.report import archive
from agent.report.collectors import COLLECTORS
from agent.report.node import ReportedNode
from agent.report.runner import collect
from agent.report.secrets import known_credentials

_STDOUT = "-"


def run(arguments: argparse.Namespace) -> int:
    """Collect, write the archive, and print its path; a summary goes to stderr."""
    host = host_of(arguments)
    moment = int(time.time())
    top = f"eks-proxy-agent-{_instance(host)}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(moment))}"
    path = _output(arguments.output, top)
    mask = Mask(known_credentials(host))
    try:
        with unwound():
            members = within_limit(collect(ReportedNode(host, arguments.facts, mask), COLLECTORS, progress=_progress))
    finally:
        _progress(0, ())
    about = [
        ("created", format_timestamp(moment)),
        ("agent", __version__),
        ("user", "root" if os.geteuid() == 0 else f"uid {os.geteuid()}; root could collect more"),
        ("tree", "this machine" if host.files.live else mask.text(host.files.root)),
    ]
    files = [(README, mask.known(readme(top, about, members)).encode("utf-8", "backslashreplace"))]
    files += [(member.path, member.content) for member in members if member.content is not None]
    content = archive.pack(top, files, moment)
    if path == _STDOUT:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        new_file.write(path, content)
        print(path)
    _summary(members, len(content))
    return 0


def _output(output: str | None, top: str) -> str:
    """Return the path of the archive, or `-`.

    Raises FileError or UsageError if nothing can be written there, before anything is collected.
    """
    if output == _STDOUT:
        if sys.stdout.isatty():
            raise UsageError("--output -: stdout is a terminal", hint="redirect it, or name a file")
        return _STDOUT
    if output == "" or "\0" in (output or ""):
        raise UsageError("--output: not the name of a file")
    try:
        path = os.path.abspath(output or f"{top}.tar.gz")
    except OSError as error:
        raise FileError(f"working directory: {error.strerror}", hint="change to another directory") from None
    new_file.require_absent(path)
    return path


def _instance(host: Host) -> str:
    """Return the instance-id of the last reconcile, else the host name, fit for a file name."""
    try:
        status = host.state.status()
    except AgentError:
        status = None
    name = (status.instance_id if status else None) or os.uname().nodename
    return re.sub(r"[^A-Za-z0-9.-]", "-", name)[:64] or "node"


def _progress(done: int, running: Sequence[str]) -> None:
    """Show on a terminal how far it is; the next line replaces this one."""
    if sys.stderr is not None and sys.stderr.isatty():
        text = f"collected {done} of {len(COLLECTORS)}; waiting for {', '.join(running[:3])}" if running else ""
        print(f"\r\033[K{text[:78]}", end="", file=sys.stderr, flush=True)


def _summary(members: Sequence[Member], size: int) -> None:
    missing = [member.path for member in members if member.content is None]
    text = f"{len(members) - len(missing)} files, {(size + 1023) // 1024} KiB"
    more = "; root could collect more" if os.geteuid() else ""
    text += f"; not collected: {', '.join(missing)} (README.txt says why{more})" if missing else ""
    print(text, file=sys.stderr)
    note = "passwords and tokens are masked, but it names hosts, addresses and accounts; look before you send it"
    print("note: " + note, file=sys.stderr)
