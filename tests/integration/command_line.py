"""The command line on a scratch tree of a node, as processes or inside this one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent import cli
from agent.core.record import record
from tests import json_schemas

REPOSITORY = Path(__file__).parents[2]
PROXY = "http://proxy.corp:3128"
FACTS = {"instance_id": "i-0123456789abcdef0", "region": "eu-central-1", "vpc_cidrs_v4": ["10.42.0.0/16"]}

#: Files as images have them, each with details that a careless editor would lose.
FILES = {
    "etc/environment": b"# for everyone\r\nLANG=C.UTF-8\nEDITOR=vi",
    "etc/dnf/dnf.conf": b"[main]\ngpgcheck = 1\n\n[other]\nname=other\n",
}

#: Limit of each command in seconds; a command that hangs fails its test.
TIMEOUT = 30.0


@record
class Outcome:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def both(self) -> str:
        """stdout and stderr, as a terminal shows them."""
        return self.out + self.err


class Node:
    """A tree at `root` with FILES, a link from yum.conf, and a separate file with facts."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.facts = directory / "facts.json"
        self.be()
        for name, content in FILES.items():
            self.write(name, content)
        for name in ("run", "var/lib", "etc/systemd/system"):
            (self.root / name).mkdir(parents=True)
        (self.root / "etc/yum.conf").symlink_to("dnf/dnf.conf")

    def be(self, **facts: Any) -> None:
        """Write the facts of another instance: FACTS with changes."""
        self.facts.write_text(json.dumps({**FACTS, **facts}))

    def write(self, name: str, content: bytes, mode: int = 0o644) -> Path:
        """Write a file into the tree."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        return path

    def settings(self, text: str, name: str = "config.toml") -> Path:
        """Write settings, by default as the main file."""
        return self.write("etc/eks-proxy-agent/" + name, text.encode())

    def read(self, name: str) -> str:
        """Return the text of a file, or an empty string."""
        path = self.root / name
        return path.read_bytes().decode() if path.exists() else ""

    def variables(self, name: str = "etc/environment") -> dict[str, str]:
        """Return the NAME=VALUE lines of a file."""
        lines = [line.partition("=") for line in self.read(name).splitlines()]
        return {key: value for key, _, value in lines}

    def no_proxy(self) -> list[str]:
        """Return the entries of NO_PROXY in /etc/environment."""
        return self.variables().get("NO_PROXY", "").split(",")

    def kept(self, instance_id: str = str(FACTS["instance_id"])) -> Any:
        """Return the flags that were kept for an instance."""
        text = self.read(f"var/lib/eks-proxy-agent/instances/{instance_id}/flags.json")
        return json.loads(text) if text else None

    def argv(self, command: str, *flags: str, facts: bool = True) -> list[str]:
        """Return the command line for this tree; without `facts` it uses the metadata service."""
        has_facts = facts and command not in ("status", "revert")
        where = ["--root", str(self.root)] + (["--facts", str(self.facts)] if has_facts else [])
        return [sys.executable, "-m", "agent", *command.split(), *where, *flags]

    def run(self, command: str, *flags: str, facts: bool = True, **options: Any) -> Outcome:
        """Run a command as a process."""
        return run(self.argv(command, *flags, facts=facts), **options)

    def main(self, command: str, *flags: str, facts: bool = True) -> Outcome:
        """Run a command inside this process, ten times as fast; its exceptions reach the test."""
        return main(*self.argv(command, *flags, facts=facts)[3:])

    def tree(self, *excluded: str) -> dict[str, tuple[int, bytes]]:
        """Return mode and content of every path but those below /run, where the lock is."""
        tree = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if not name.startswith(("run/", *excluded)):
                tree[name] = (path.lstat().st_mode, _content(path))
        return tree

    def stamps(self) -> dict[str, tuple[int, int]]:
        """Return inode and mtime (ns) of every path but those below /run, to detect writes."""
        paths = {str(path.relative_to(self.root)): path.lstat() for path in sorted(self.root.rglob("*"))}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in paths.items() if not name.startswith("run/")}


def main(*words: str) -> Outcome:
    """Run a command line inside this process; what it prints with --json matches its schema."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = cli.main(words)
    json_schemas.check(words, out.getvalue())
    return Outcome(code, out.getvalue(), err.getvalue())


def run(argv: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any) -> Outcome:
    """Run a process in the repository with a minimal environment, and /dev/null as stdin.

    What the agent prints with --json matches its schema.
    """
    done = subprocess.run(
        argv,
        cwd=REPOSITORY,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=TIMEOUT,
        **options,
    )
    if list(argv[1:3]) == ["-m", "agent"]:
        json_schemas.check(argv[3:], done.stdout.decode())
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of the agent's processes in tests."""
    return {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **(more or {})}


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return os.readlink(path).encode()
    return path.read_bytes() if path.is_file() else b""
