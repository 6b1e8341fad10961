"""A tree with a link to the build host at every place: no command reads or changes the host."""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from agent import cli
from agent.core.plan.files.systemd_dropin import EnvironmentDropin
from agent.core.settings.schema import Watch
from agent.daemon.boot import boot
from agent.daemon.daemon import Daemon
from agent.edges.signals import watched
from agent.edges.systemd import Systemd
from agent.errors import AgentError
from agent.node import host as host_module
from agent.node import metrics_file
from agent.node.host import host_of
from agent.node.sources import SettingsSources
from tests.integration.command_line import FACTS, PROXY, Node

INSTANCE = f"var/lib/eks-proxy-agent/instances/{FACTS['instance_id']}"
DROP_INS = "etc/systemd/system/docker.service.d"
#: Text in the files of the build host; none of it may be shown.
CANARY = "CANARY=of-the-build-host"
#: Files and directories of a configured tree; any may be a link.
PLACES = [
    "etc",
    "etc/environment",
    "etc/.environment.eks-proxy-agent",
    "etc/yum.conf",
    "etc/dnf",
    "etc/dnf/dnf.conf",
    "etc/eks-proxy-agent",
    "etc/eks-proxy-agent/config.toml",
    "etc/eks-proxy-agent/config.d",
    "etc/eks-proxy-agent/node.env",
    "etc/eks/nodeadm.d",
    "etc/systemd",
    DROP_INS,
    EnvironmentDropin.path_of("docker.service")[1:],
    "etc/pki/ca-trust/source/anchors",
    "etc/pki/ca-trust/source/anchors/eks-proxy-agent.pem",
    "etc/corp.pem",
    "etc/proxy.pass",
    "var",
    "var/lib/eks-proxy-agent",
    "var/lib/eks-proxy-agent/baseline.json",
    "var/lib/eks-proxy-agent/.baseline.json.eks-proxy-agent",
    "var/lib/eks-proxy-agent/trust-pending",
    "var/lib/eks-proxy-agent/instances",
    INSTANCE,
    INSTANCE + "/flags.json",
    "var/lib/node_exporter",
    "var/lib/node_exporter/textfile_collector",
    "var/lib/node_exporter/textfile_collector/eks_proxy_agent.prom",
    "run",
    "run/eks-proxy-agent",
    "run/eks-proxy-agent/lock",
    "run/eks-proxy-agent/ready",
    "run/eks-proxy-agent/status.json",
    "run/eks-proxy-agent/watch.json",
]
COMMANDS = [
    "status", "plan", "config show", "config check", "check", "explain", "apply", "run", "bake", "revert", "clean", "report",
]  # fmt: skip
FLAGS = {
    "explain": ["ec2.eu-central-1.amazonaws.com"],
    "check": [f"--only={group}" for group in ("settings", "files", "units", "no-proxy", "packages")],
}

Snapshot = dict[str, tuple[int, ...]]


class HostileNode(Node):
    """A configured tree, and beside it the files of the build host at the same paths."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.build_host = directory / "build-host"
        for name in (
            "var/lib/node_exporter/textfile_collector",
            "etc/pki/ca-trust/source/anchors",
            "etc/eks/nodeadm.d",
        ):
            (self.root / name).mkdir(parents=True)
        self.settings(f'[proxy]\nurl = "{PROXY}"\ncredentials_file = "/etc/proxy.pass"\n[aws]\ndirect = []\n')
        self.settings('[node]\nunits = ["docker"]\n', "config.d/10-units.toml")
        self.write("etc/proxy.pass", b"alice:hunter2\n", 0o600)
        assert self.main("apply", "--set", 'proxy.no_proxy=["kept"]').code == 0
        host = self.host()
        with host.locked() as state:
            status = host.state.status()
            assert status
            metrics_file.publish(state, host.files, Watch(), status)
        shutil.copytree(self.root, self.build_host, symlinks=True)
        for path in self.build_host.rglob("*"):
            if path.is_file() and not path.is_symlink():
                path.write_text(CANARY + "\n" + path.read_text() if path.suffix != ".json" else path.read_text())

    def host(self) -> host_module.Host:
        return host_of(argparse.Namespace(root=str(self.root)))

    def link(self, place: str, target: str) -> None:
        """Put a link in place of a file or directory."""
        path = self.root / place
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def succeeds_or_explains(self, command: str) -> str:
        """Run a command, which may fail, but only with an error for people; return its output."""
        if command == "run":
            return self._boot()
        argv = self.argv(command)[3:]
        argv += FLAGS.get(command, [])
        if command == "report":
            argv += ["--output", f"{tempfile.mkdtemp(dir=self.build_host.parent)}/report.tar.gz"]
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            cli.main(argv)
        return out.getvalue()

    def _boot(self) -> str:
        messages: list[Any] = []
        with watched() as signals:
            try:
                boot(Daemon(self.host(), SettingsSources(facts=str(self.facts)), messages.append, signals))
            except AgentError as error:
                messages.append(error)
        return repr(messages)


def snapshot(directory: Path) -> Snapshot:
    """Everything that a write, a rename or a chmod would change, by path."""
    return {
        str(path): (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        for path in sorted(directory.rglob("*"))
        for status in [path.lstat()]
    }


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileNode]:
    """The tree; systemctl, which takes long, is not called."""
    monkeypatch.setattr(host_module, "_units", lambda files: Systemd(running=False))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a busy disk would take the rest
    structlog.reset_defaults()
    yield HostileNode(tmp_path)
    structlog.reset_defaults()


def test_every_command_with_a_root_is_listed() -> None:
    """A new command with --root must be added to COMMANDS."""

    def names(parser: argparse.ArgumentParser) -> Iterator[str]:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, command in action.choices.items():
                    yield from (f"{name} {rest}".strip() for rest in names(command))
        if any("--root" in action.option_strings for action in parser._actions):
            yield ""

    assert sorted(set(names(cli.parser()))) == sorted(COMMANDS)


@pytest.mark.parametrize(("place", "way"), list(zip(PLACES, itertools.cycle(["absolute", "relative"]))))
def test_no_link_leads_a_command_out_of_the_tree(node: HostileNode, tmp_path: Path, place: str, way: str) -> None:
    """Each command runs on the tree with one link to the same file of the build host."""
    target = node.build_host / place
    relative = os.path.relpath(target, (node.root / place).parent)
    before = snapshot(node.build_host)
    pristine = tmp_path / "pristine"
    node.link(place, str(target) if way == "absolute" else relative)
    shutil.copytree(node.root, pristine, symlinks=True)
    for command in COMMANDS:
        output = node.succeeds_or_explains(command)
        assert CANARY not in output, command
        assert snapshot(node.build_host) == before, command
        copies = [path for path in node.root.rglob("*") if path.is_file() and not path.is_symlink()]
        assert [path for path in copies if CANARY.encode() in path.read_bytes()] == [], command
        if command in ("apply", "run", "bake", "revert", "clean"):
            shutil.rmtree(node.root)
            shutil.copytree(pristine, node.root, symlinks=True)


# --- paths of state files -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../build-host/etc/environment",
        "/../build-host/etc/environment",
        "/etc/../../x",
        "//etc/x",
        "etc/x",
        "/",
        "",
        "/etc/\0",
    ],
)
@pytest.mark.parametrize("part", ["files", "folders", "enabled"])
def test_a_baseline_with_a_path_out_of_the_tree_is_refused(node: HostileNode, path: str, part: str) -> None:
    """`apply` and `revert` say that it is corrupt, and change nothing."""
    name = "var/lib/eks-proxy-agent/baseline.json"
    data = json.loads(node.read(name))
    if part == "files":
        data["files"][path] = data["files"]["/etc/environment"]
    else:
        data[part].append(path)
    node.write(name, json.dumps(data).encode())
    before = node.tree()
    for command in ("apply", "revert", "bake", "clean"):
        done = node.main(command)
        assert done.code == 1
        assert "baseline.json: corrupt" in done.err
        assert node.tree() == before


@pytest.mark.parametrize(
    "path",
    ["/etc/environment", "/../build-host/x/eks_proxy_agent.prom", "eks_proxy_agent.prom", "/x/../eks_proxy_agent.prom"],
)
@pytest.mark.parametrize("command", ["revert", "clean", "status", "apply"])
def test_no_other_file_is_removed_as_metrics(node: HostileNode, path: str, command: str) -> None:
    """A status.json whose metrics.path is not a file of the agent is corrupt."""
    name = "run/eks-proxy-agent/status.json"
    data = json.loads(node.read(name))
    data["metrics"]["path"] = path
    node.write(name, json.dumps(data).encode())
    before = snapshot(node.build_host)
    done = node.main(command)
    assert (done.code, "status.json: corrupt" in done.err) == (int(command == "status"), True)
    assert snapshot(node.build_host) == before
    assert (node.root / "etc/environment").exists()


def test_the_instance_of_status_json_is_a_name(node: HostileNode) -> None:
    """`status` reads the record of the bootstrap below it."""
    name = "run/eks-proxy-agent/status.json"
    node.write(name, json.dumps({**json.loads(node.read(name)), "instance_id": "../../../etc"}).encode())
    done = node.main("status")
    assert (done.code, "status.json: corrupt" in done.err) == (1, True)
