"""Command `demo`: plan, apply and revert in a scratch directory, with a metadata service.

Needs neither AWS nor root.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Callable

from agent.core.record import evolve
from agent.demo.instance import Instance
from agent.demo.metadata_service import MetadataService, serve
from agent.errors import AgentError, UsageError

#: Files of a node as its image has them; the agent must preserve them.
_FILES = {
    "etc/environment": "LANG=en_US.utf-8\nLC_ALL=en_US.utf-8\n",
    "etc/dnf/dnf.conf": "[main]\ngpgcheck=True\ninstallonly_limit=3\n# keep unused dependencies\nclean_requirements_on_remove=False\n",
}
_DIRECTORIES = ("etc/systemd/system", "etc/eks-proxy-agent", "run", "var/lib")
_SETTINGS = """\
[proxy]
url = "http://proxy.example.com:3128"

[node]
units = ["docker", "kubelet"]   # two units keep the output short; the default has more

[aws]
direct = ["ec2", "ecr", "s3"]   # the default is to probe them, which requires AWS

[metadata]
endpoint = "{}"
"""
_NEXT = """
Next steps
  on a node, or in an image:    set proxy.url in /etc/eks-proxy-agent/config.toml, then run: eks-proxy-agent plan
  to test the boot of an image: eks-proxy-agent demo --serve 127.0.0.1:1338
  for a list of all settings:   man eks-proxy-agent.toml (in the source: packaging/config.toml)"""

#: Function that runs a command line and returns its exit code; errors propagate.
Command = Callable[[list[str]], int]


def run(arguments: argparse.Namespace, command: Command) -> int:
    """Run the demo with `command` for each step, or only serve its metadata service."""
    if arguments.serve:
        return serve(arguments.serve, arguments.instance)
    if arguments.instance:
        raise UsageError("--instance requires --serve")
    with _root(arguments.keep) as root, MetadataService(Instance(vpc_cidrs_v4=("10.42.0.0/16",))) as service:
        _tour(root, service, command)
    print(_NEXT)
    return 0


def _tour(root: Path, service: MetadataService, command: Command) -> None:
    step = partial(_step, command, root)
    _create_files(root, service.endpoint)
    before = _tree(root)
    print(f"The files of a node are in {root}; a metadata service (IMDSv2) is at {service.endpoint}.")
    step("Show what apply would change.", "plan", expect=3)
    step("Apply it.", "apply")
    step("Apply it again: there is nothing to do, and no file is written.", "apply")
    cidrs = (*service.instance.vpc_cidrs_v4, "100.64.0.0/16")
    service.instance = evolve(service.instance, vpc_cidrs_v4=cidrs)
    step("The VPC gets a second CIDR, 100.64.0.0/16. Only the lines that contain it change.", "plan", expect=3)
    step("Apply it.", "apply")
    step("Show the state of the node, and the reason of each NO_PROXY entry.", "status", "--full")
    step("Revert all changes.", "revert")
    if _tree(root) != before:
        raise AgentError("revert: the files differ from those before apply")
    print("\nEvery file is byte for byte as it was before.")


def _step(command: Command, root: Path, text: str, name: str, *flags: str, expect: int = 0) -> None:
    """Run a command through the command line; raise AgentError if its exit code is not `expect`."""
    words = [name, "--root", str(root), *flags]
    print(f"\n== {text}\n$ eks-proxy-agent {' '.join(words)}", flush=True)
    code = command(words)
    if code != expect:
        raise AgentError(f"{name}: expected exit code {expect}, got {code}")


@contextlib.contextmanager
def _root(keep: str | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="eks-proxy-agent-demo-") as name:
            yield Path(name)
        return
    try:
        os.mkdir(keep)
    except OSError as error:
        raise AgentError(f"--keep {keep}: {error.strerror}", hint="name a directory that does not exist") from None
    yield Path(keep)


def _create_files(root: Path, endpoint: str) -> None:
    files = {**_FILES, "etc/eks-proxy-agent/config.toml": _SETTINGS.format(endpoint)}
    for directory in _DIRECTORIES:
        (root / directory).mkdir(parents=True)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "etc/yum.conf").symlink_to("dnf/dnf.conf")


def _tree(root: Path) -> dict[str, list[str]]:
    """Return mode and content of every path."""
    tree = {}
    for path in sorted(root.rglob("*")):
        content = os.readlink(path) if path.is_symlink() else (path.read_text() if path.is_file() else "")
        tree[str(path.relative_to(root))] = [oct(path.lstat().st_mode), content]
    return tree
