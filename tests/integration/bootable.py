"""A node with a bootstrap.sh and a cfn-signal that write down how they were called; `bootstrap` run
on it in this process.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from agent.commands.bootstrap import bootstrap
from agent.core.record import record
from agent.node.host import Host, host_of
from agent.node.sources import SettingsSources
from tests.integration.command_line import FACTS, PROXY, Node

STACK = '[signal]\nstack = "my-stack"\nresource = "NodeGroup"\n'
PASSWORD = "p@ss w:rd"
#: Flags for a node without a metadata service.
GONE = ("metadata.endpoint=http://127.0.0.1:1", "metadata.deadline=0.1")

#: Writes down how it was called: arguments, environment, working directory, and the command lines
#: of itself and its parent.
RECORDER = """#!/bin/sh
n=$(ls {record} | grep -c '{name}[.][0-9]*[.]argv')
printf '%s\\n' "$@" > {record}/{name}.$n.argv
tr '\\0' '\\n' < /proc/$$/environ > {record}/{name}.$n.environ
cat /proc/$$/cmdline /proc/$PPID/cmdline > {record}/{name}.$n.cmdline
pwd > {record}/{name}.$n.directory
readlink /proc/$$/fd/0 > {record}/{name}.$n.stdin
{then}
"""


@record
class Call:
    """One run of a script."""

    argv: list[str]
    environment: dict[str, str]
    cmdline: str
    directory: str
    stdin: str


class Bootable(Node):
    """A node with a bootstrap.sh and a cfn-signal that write down how they were called."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.record = directory / "record"
        self.record.mkdir()
        self.script("etc/eks/bootstrap.sh", "exit 0")
        self.script("opt/aws/bin/cfn-signal", "exit 0")
        self.configure()

    def configure(self, more: str = STACK) -> None:
        """Settings with a proxy, and `more`."""
        self.settings(f'[proxy]\nurl = "{PROXY}"\ncredentials_file = "/etc/proxy.pass"\n{more}')
        self.write("etc/proxy.pass", (f"alice:{PASSWORD}\n").encode(), 0o600)

    def script(self, path: str, then: str) -> None:
        """Put a recording script there that ends with `then`."""
        text = RECORDER.format(record=self.record, name=os.path.basename(path), then=then)
        self.write(path, text.encode(), 0o755)

    def calls(self, name: str) -> list[Call]:
        """How often and how a script was called."""
        found = []
        for number in range(len(list(self.record.glob(name + ".*.argv")))):
            argv, environ, cmdline, directory, stdin = (
                (self.record / (f"{name}.{number}.{what}")).read_text().splitlines()
                for what in ("argv", "environ", "cmdline", "directory", "stdin")
            )
            pairs = [line.partition("=") for line in environ]
            variables = {key: value for key, _, value in pairs}
            found.append(Call(argv, variables, "".join(cmdline), "".join(directory), "".join(stdin)))
        return found

    @property
    def ran(self) -> list[Call]:
        """The runs of bootstrap.sh."""
        return self.calls("bootstrap.sh")

    @property
    def signals(self) -> list[Call]:
        """The runs of cfn-signal."""
        return self.calls("cfn-signal")

    def remembered(self, instance_id: str = str(FACTS["instance_id"])) -> dict[str, Any] | None:
        """What is kept of the bootstrap of an instance, without its time."""
        text = self.read(f"var/lib/eks-proxy-agent/instances/{instance_id}/bootstrap.json")
        return {key: value for key, value in json.loads(text).items() if key != "time"} if text else None

    def remember(self, **record: Any) -> None:
        """An earlier run left this behind."""
        path = "var/lib/eks-proxy-agent/instances/{}/bootstrap.json".format(FACTS["instance_id"])
        self.write(path, json.dumps(record).encode(), 0o600)

    def bootstrap(self, *arguments: str, metadata: bool = True, **flags: Any) -> int:
        """Run it with ARGS, on the facts of this node, or where no metadata service answers."""
        return bootstrap(self.host, self.sources(*arguments, metadata=metadata), **flags)

    @property
    def host(self) -> Host:
        """This node."""
        return host_of(argparse.Namespace(root=str(self.root)))

    def sources(self, *arguments: str, metadata: bool = True) -> SettingsSources:
        """Flags of `bootstrap` for the facts of this node, or without a metadata service."""
        return SettingsSources(
            arguments=arguments, facts=str(self.facts) if metadata else "", sets=() if metadata else GONE
        )
