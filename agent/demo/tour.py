"""`demo`: the main job, told step by step, in a scratch directory with a metadata service of its own; no AWS, no root."""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Callable

import attrs

from agent.demo.instance import Instance
from agent.demo.metadata_service import MetadataService, serve
from agent.errors import AgentError, UsageError

#: A node as it comes from an image: what the agent must respect.
_FILES = {
    "etc/environment": "LANG=en_US.utf-8\nLC_ALL=en_US.utf-8\n",
    "etc/dnf/dnf.conf": "[main]\ngpgcheck=True\ninstallonly_limit=3\n# keep what depends on nothing\nclean_requirements_on_remove=False\n",
}
_DIRECTORIES = ("etc/systemd/system", "etc/eks-proxy-agent", "run", "var/lib")
_SETTINGS = """\
[proxy]
url = "http://proxy.example.com:3128"

[node]
units = ["docker", "kubelet"]   # by default more; two are enough to read here

[aws]
direct = ["ec2", "ecr", "s3"]   # by default found out by trying, which needs AWS

[metadata]
endpoint = "{}"
"""
_NEXT = """
What to do next
  on a node, or in an image:  put proxy.url into /etc/eks-proxy-agent/config.toml, then: eks-proxy-agent plan
  to test an image's boot:    eks-proxy-agent demo --serve 127.0.0.1:1338
  every setting, explained:   the default config.toml (in the source: packaging/config.toml)"""


#: Runs a command line, and returns its exit code; raises what it fails with.
Command = Callable[[list[str]], int]


def run(arguments: argparse.Namespace, command: Command) -> int:
    """Give the tour, its steps run by `command`, or only serve its metadata service."""
    if arguments.serve:
        return serve(arguments.serve, arguments.instance)
    if arguments.instance:
        raise UsageError("--instance goes with --serve")
    with _root(arguments.keep) as root, MetadataService(Instance(vpc_cidrs_v4=("10.42.0.0/16",))) as service:
        _tour(root, service, command)
    print(_NEXT)
    return 0


def _tour(root: Path, service: MetadataService, command: Command) -> None:
    step = partial(_step, command, root)
    _furnish(root, service.endpoint)
    before = _tree(root)
    print(f"A node's files are in {root}; a metadata service (IMDSv2) is at {service.endpoint}.")
    step("What would be done?", "plan", expect=3)
    step("Do it.", "apply")
    step("Again: nothing is left to do, and no file is touched.", "apply")
    cidrs = (*service.instance.vpc_cidrs_v4, "100.64.0.0/16")
    service.instance = attrs.evolve(service.instance, vpc_cidrs_v4=cidrs)
    step("The VPC gets a second CIDR, 100.64.0.0/16. Only the lines that hold it change.", "plan", expect=3)
    step("Do it.", "apply")
    step("How does the node stand, and why is each entry in NO_PROXY?", "status", "--full")
    step("Undo everything.", "revert")
    if _tree(root) != before:
        raise AgentError("the demo's files are not what they were before")
    print("\nEvery file is byte for byte what it was.")


def _step(command: Command, root: Path, text: str, name: str, *flags: str, expect: int = 0) -> None:
    """Run a command as a person would, through the command line; what goes wrong ends the demo and is told once."""
    words = [name, "--root", str(root), *flags]
    print("\n== {}\n$ eks-proxy-agent {}".format(text, " ".join(words)), flush=True)
    code = command(words)
    if code != expect:
        raise AgentError(f"{name} ended with {code} instead of {expect}")


@contextlib.contextmanager
def _root(keep: str | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="eks-proxy-agent-demo-") as name:
            yield Path(name)
        return
    try:
        os.mkdir(keep)
    except OSError as error:
        raise AgentError(f"--keep {keep}: {error.strerror}", hint="name a directory that does not exist yet") from None
    yield Path(keep)


def _furnish(root: Path, endpoint: str) -> None:
    files = {**_FILES, "etc/eks-proxy-agent/config.toml": _SETTINGS.format(endpoint)}
    for directory in _DIRECTORIES:
        (root / directory).mkdir(parents=True)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "etc/yum.conf").symlink_to("dnf/dnf.conf")


def _tree(root: Path) -> dict[str, list[str]]:
    """Every path with its kind and content."""
    found = {}
    for path in sorted(root.rglob("*")):
        content = os.readlink(path) if path.is_symlink() else (path.read_text() if path.is_file() else "")
        found[str(path.relative_to(root))] = [oct(path.lstat().st_mode), content]
    return found
