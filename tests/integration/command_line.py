"""The command line, as real processes or inside this one, on a node's tree below a temporary
directory.
"""

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

import attrs

from agent import cli

REPOSITORY = Path(__file__).parents[2]
PROXY = "http://proxy.corp:3128"
FACTS = {"instance_id": "i-0123456789abcdef0", "region": "eu-central-1", "vpc_cidrs_v4": ["10.42.0.0/16"]}

#: Files as images have them, each with something that a careless editor would lose.
FILES = {
    "etc/environment": b"# for everyone\r\nLANG=C.UTF-8\nEDITOR=vi",
    "etc/dnf/dnf.conf": b"[main]\ngpgcheck = 1\n\n[other]\nname=other\n",
}

#: No command may be slower; a hang ends the test here.
TIMEOUT = 30.0


@attrs.frozen
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def both(self) -> str:
        """All that a person would see."""
        return self.out + self.err


class Node:
    """A tree at `root` with the files above, a link from yum.conf, and facts in a file of their
    own.
    """

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
        """Become another instance: facts that differ from those above."""
        self.facts.write_text(json.dumps({**FACTS, **facts}))

    def write(self, name: str, content: bytes, mode: int = 0o644) -> Path:
        """Put a file into the tree."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        return path

    def settings(self, text: str, name: str = "config.toml") -> Path:
        """Write settings, by default as the main file."""
        return self.write("etc/eks-proxy-agent/" + name, text.encode())

    def read(self, name: str) -> str:
        """A file of the tree, or nothing."""
        path = self.root / name
        return path.read_bytes().decode() if path.exists() else ""

    def variables(self, name: str = "etc/environment") -> dict[str, str]:
        """NAME=VALUE lines of a file."""
        lines = [line.partition("=") for line in self.read(name).splitlines()]
        return {key: value for key, _, value in lines}

    def no_proxy(self) -> list[str]:
        """The list that every process on the node gets."""
        return self.variables().get("NO_PROXY", "").split(",")

    def kept(self, instance_id: str = str(FACTS["instance_id"])) -> Any:
        """The flags that were kept for an instance."""
        text = self.read(f"var/lib/eks-proxy-agent/instances/{instance_id}/flags.json")
        return json.loads(text) if text else None

    def argv(self, command: str, *flags: str, facts: bool = True) -> list[str]:
        """The command line for this tree; without `facts` the metadata service is asked."""
        asks = facts and command not in ("status", "revert")
        where = ["--root", str(self.root)] + (["--facts", str(self.facts)] if asks else [])
        return [sys.executable, "-m", "agent", *command.split(), *where, *flags]

    def run(self, command: str, *flags: str, facts: bool = True, **options: Any) -> Outcome:
        """Run a command to its end, as a process."""
        return run(self.argv(command, *flags, facts=facts), **options)

    def main(self, command: str, *flags: str, facts: bool = True) -> Outcome:
        """The same without a process of its own, ten times as fast: what would be a traceback is
        the test's error.
        """
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = cli.main(self.argv(command, *flags, facts=facts)[3:])
        return Outcome(code, out.getvalue(), err.getvalue())

    def tree(self, *left_out: str) -> dict[str, tuple[int, bytes]]:
        """Mode and content of every path but those below /run, where our lock is, and those
        named.
        """
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if not name.startswith(("run/", *left_out)):
                found[name] = (path.lstat().st_mode, _content(path))
        return found

    def stamps(self) -> dict[str, tuple[int, int]]:
        """Inode and time of change of every path but those below /run: what was touched shows
        here.
        """
        paths = {str(path.relative_to(self.root)): path.lstat() for path in sorted(self.root.rglob("*"))}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in paths.items() if not name.startswith("run/")}


def run(argv: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any) -> Outcome:
    """Run a process in the repository, nothing of our environment but what Python needs, stdin
    closed.
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
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the agent's processes get in tests."""
    return {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **(more or {})}


def _content(path: Path) -> bytes:
    if path.is_symlink():
        return os.readlink(path).encode()
    return path.read_bytes() if path.is_file() else b""
