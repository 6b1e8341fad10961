"""The commands into which faults are injected, each with the node on which it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from agent.core.record import record
from tests.faults.processes import Command, Server
from tests.faults.tree import Tree, read_tree, write_tree
from tests.integration.certificates import EXPIRED
from tests.integration.command_line import FACTS
from tests.integration.scratch import rename_to_former

DROP_INS = "etc/systemd/system/docker.service.d/"
METRICS = "var/lib/node_exporter/textfile_collector"
#: Nothing listens there, so health checks end at once.
PROXY, OTHER_PROXY = "http://127.0.0.1:9", "http://127.0.0.1:19"
FIRST = f"""\
[proxy]
url = "{PROXY}"
credentials_file = "/etc/proxy.pass"
credentials_in_yum = true
[node]
units = ["docker"]
ca_bundle = "/etc/ca.pem"
[aws]
direct = []
[bootstrap]
enabled = true
command = "/etc/eks/bootstrap.sh"
[signal]
stack = "stack"
resource = "NodeGroup"
command = "/opt/aws/bin/cfn-signal"
"""
#: Another proxy, no credentials in dnf.conf, no CA, another unit, and gates.
SECOND = f"""\
[proxy]
url = "{OTHER_PROXY}"
[node]
units = ["kubelet"]
[aws]
direct = []
[failure]
policy = "closed"
"""
#: Files as images have them: (content, mode, owner and group, an attribute).
FILES: dict[str, tuple[bytes, int, int, bool]] = {
    "etc/environment": (b"# for everyone\r\nLANG=C.UTF-8\nhttp_proxy=http://old:1\nEDITOR=vi", 0o664, 1000, True),
    "etc/dnf/dnf.conf": (b"[main]\ngpgcheck = 1\n\n[other]\nname=other\n", 0o640, 1001, True),
    DROP_INS + "10-other.conf": (b"[Service]\nRestart=always\n", 0o644, 0, False),
    DROP_INS + "proxy.conf": (b"[Service]\nEnvironmentFile=/etc/environment\n", 0o640, 1002, True),
    "etc/proxy.pass": (b"alice:hunter2\n", 0o600, 0, False),
    "etc/ca.pem": (EXPIRED.encode(), 0o644, 0, False),
    "etc/machine-id": (b"0123456789abcdef0123456789abcdef\n", 0o444, 0, False),
    "etc/eks/bootstrap.sh": (b"#!/bin/sh\nexit 0\n", 0o755, 0, False),
    "opt/aws/bin/cfn-signal": (b"#!/bin/sh\nexit 0\n", 0o755, 0, False),
    "etc/eks-proxy-agent/config.toml": (FIRST.encode(), 0o644, 0, False),
}  # fmt: skip
DIRECTORIES = ("etc/pki/ca-trust/source/anchors", "etc/systemd/system", METRICS, "run", "var/lib")


class Node:
    """A tree and the server that runs commands on it."""

    def __init__(self, directory: Path, server: Server) -> None:
        self.root, self.facts = directory / "root", directory / "facts.json"
        self.log = directory / "trace"
        self.server = server
        self.facts.write_text(json.dumps(FACTS))

    def create(self) -> None:
        """Create the tree before the first command."""
        write_tree(self.root, {})
        for name in DIRECTORIES:
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for name, (content, mode, owner, is_attributed) in FILES.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)
            if os.geteuid() == 0:
                os.chown(path, owner, owner)
            if is_attributed:
                os.setxattr(path, "user.author", name.encode())
        (self.root / "etc/yum.conf").symlink_to("dnf/dnf.conf")

    def edit(self, name: str, content: str) -> None:
        """Change a file in place, as an operator does."""
        (self.root / name).write_text(content)

    def command(self, *words: str) -> Command:
        """Return a command of the command line for this tree."""
        has_facts = words[0] != "revert"
        facts = ("--facts", str(self.facts)) if has_facts else ()
        return Command("agent", (words[0], "--root", str(self.root), *facts, *words[1:]))

    def bootstrap(self) -> Command:
        """Return `bootstrap` for this tree."""
        return Command("bootstrap", (str(self.root), "--facts", str(self.facts)))

    def worker(self, reason: str) -> Command:
        """Return a worker of the daemon for this tree."""
        return Command("worker:" + reason, ("--root", str(self.root), "--facts", str(self.facts)))

    def succeed(self, *commands: Command) -> Tree:
        """Run commands that must succeed; return the tree."""
        for command in commands:
            outcome = self.server.run(command)
            assert outcome.code == 0, (command, outcome)
        return read_tree(self.root)


Commands = Callable[[Node], Sequence[Command]]


def _nothing(node: Node) -> None:
    """Leave the tree as it was created."""


@record
class Scenario:
    """A command, the tree before it, and the commands of the rerun (by default the same).

    `prepare`: what happened before the command.  `survivors`: files that a
    revert leaves on purpose.  `codes`: the exit codes after an error.
    `forgets`: the command forgets the originals, so a revert right after the fault may restore
    more than one after the whole command.
    """

    name: str
    command: Callable[[Node], Command]
    prepare: Callable[[Node], None] = _nothing
    reruns: Commands | None = None
    survivors: tuple[str, ...] = ()
    codes: frozenset[int] = frozenset({0, 1, 78})
    forgets: bool = False

    def rerun(self, node: Node) -> Sequence[Command]:
        """Return the commands that complete what the fault disturbed."""
        return self.reruns(node) if self.reruns else (self.command(node),)

    def survives(self, tree: Tree) -> set[str]:
        """Return the survivors in a tree, and the directories that only they keep."""
        kept = {path for path in tree if path in (*self.survivors, PENDING)}
        parents = {str(parent) for path in kept for parent in Path(path).parents}
        others = {str(parent) for path in tree.keys() - kept - parents for parent in Path(path).parents}
        return kept | (parents - others)


def _apply_first(node: Node) -> None:
    node.succeed(node.command("apply"))


def _update(node: Node) -> None:
    _apply_first(node)
    node.edit("etc/eks-proxy-agent/config.toml", SECOND)


def _upgrade(node: Node) -> None:
    """The drop-ins have the name that an earlier version gave them."""
    _apply_first(node)
    rename_to_former(node.root)


def _edit_ours(node: Node) -> None:
    """Both kinds of files: one that is kept as a copy, and one with lines of others."""
    _apply_first(node)
    node.edit(DROP_INS + "zz-eks-proxy.conf", "# edited\n")
    with (node.root / "etc/environment").open("ab") as file:
        file.write(b"PAGER=less\n")


def _bake_and_apply(node: Node) -> None:
    node.succeed(node.command("bake"), node.command("apply"))


def _boot_and_drift(node: Node) -> None:
    node.succeed(node.worker("boot"))
    node.edit("etc/environment", "LANG=C.UTF-8\n")
    (node.root / DROP_INS / "zz-eks-proxy.conf").unlink()


#: In an image the trust store is rebuilt later, so this stays.
PENDING = "var/lib/eks-proxy-agent/trust-pending"
RECORD = f"var/lib/eks-proxy-agent/instances/{FACTS['instance_id']}/bootstrap.json"

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("apply", lambda node: node.command("apply", "--set", 'proxy.no_proxy=["direct.corp"]')),
        Scenario("update", lambda node: node.command("apply"), _update),
        Scenario("upgrade", lambda node: node.command("apply"), _upgrade),
        Scenario("revert", lambda node: node.command("revert"), _edit_ours),
        Scenario("bake", lambda node: node.command("bake")),
        Scenario("clean", lambda node: node.command("clean"), _bake_and_apply, forgets=True),
        # bootstrap.sh runs once, also next to a file that could not be written and that no unit
        # needs.
        Scenario(
            "bootstrap",
            Node.bootstrap,
            reruns=lambda node: (node.bootstrap(), node.command("apply")),
            survivors=(RECORD,),
        ),
        Scenario("boot", lambda node: node.worker("boot"), reruns=lambda node: (node.worker("retry"),)),
        Scenario(
            "cycle",
            lambda node: node.worker("files"),
            _boot_and_drift,
            reruns=lambda node: (node.worker("crash"), node.worker("retry")),
        ),
    )
}
