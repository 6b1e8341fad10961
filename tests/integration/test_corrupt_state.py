"""Corrupt state files: each command reports them, and none ends in a traceback."""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from agent.daemon.boot import boot
from agent.daemon.daemon import Daemon
from agent.edges.signals import watched
from agent.edges.systemd import Systemd
from agent.errors import AgentError
from agent.node import host as host_module
from agent.node.sources import SettingsSources
from tests.integration.command_line import Node
from tests.integration.golden_tree import unpack

GOLDEN = Path(__file__).parent / "golden_state"
LIBRARY, RUN = "var/lib/eks-proxy-agent", "run/eks-proxy-agent"
INSTANCE = f"{LIBRARY}/instances/i-0123456789abcdef0"
#: Each state file, and the commands that cannot go on without it.
FILES = {
    f"{LIBRARY}/baseline.json": {"apply", "plan", "revert", "bake", "clean", "boot"},
    f"{LIBRARY}/prepared.json": set(),
    f"{INSTANCE}/bootstrap.json": set(),
    f"{INSTANCE}/direct.json": set(),
    f"{INSTANCE}/facts.json": set(),
    f"{INSTANCE}/flags.json": {"apply", "plan", "boot"},
    f"{INSTANCE}/restarts.json": set(),
    f"{RUN}/proxies.json": set(),
    f"{RUN}/status.json": {"status"},
    f"{RUN}/watch.json": set(),
}
COMMANDS = ("status", "plan", "revert", "apply", "bake", "clean", "boot")
#: Values in place of another; each breaks some code that trusts its type.
VALUES: list[Any] = [
    None, True, False, 0, -1, 1 << 70, -(1 << 70), 1e300, float("inf"), float("nan"), 0.5, "", "x", "\ud800", "\0", "../x",
    "/x/../../y", "x\n", "\x1b[31m", "1" * 5000, "http://a:b@c:1", [], ["x"], [[]], [None], {}, {"x": {}}, {"": None},
]  # fmt: skip
#: Contents that are not JSON objects.
CONTENTS = [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"x"', b"[" * 100000, b'{"a":' * 2000 + b"1" + b"}" * 2000, b"{}"]


class OldNode(Node):
    """The golden tree; `restore` undoes what a command did."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.facts = directory / "facts.json"
        self.master = directory / "master"
        unpack(GOLDEN / "node" / "after", self.master)
        shutil.copy(self.master / INSTANCE / "facts.json", self.facts)

    def restore(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.master, self.root, symlinks=True)

    def report(self, command: str) -> tuple[int, str]:
        """Run a command; return its exit code and what it printed or logged."""
        if command != "boot":
            done = self.main(command)
            return done.code, done.err
        host = host_module.host_of(argparse.Namespace(root=str(self.root)))
        sources = SettingsSources(facts=str(self.facts))
        with contextlib.redirect_stderr(io.StringIO()) as err, watched() as signals:
            structlog.reset_defaults()
            try:
                result = boot(Daemon(host, sources, lambda message: None, signals))
            except AgentError as error:
                return 1, err.getvalue() + str(error)
        return int(result is None), err.getvalue()


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> OldNode:
    """One tree for all cases."""
    return OldNode(tmp_path_factory.mktemp("old"))


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No systemctl, and no wait for the disk."""
    monkeypatch.setattr(host_module, "_units", lambda files: Systemd(running=False))
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def paths_of(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value of a JSON document."""
    items: Any = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from paths_of(value, (*path, key))


def mutated(data: Any, rng: random.Random) -> bytes:
    """Return a document in which one value is another, or is missing."""
    data = copy.deepcopy(data)
    *way, key = rng.choice(list(paths_of(data)))
    inner = data
    for step in way:
        inner = inner[step]
    action = rng.randrange(8)
    if action == 0:
        del inner[key]
    elif action == 1 and isinstance(inner, dict):
        inner[rng.choice(["", "../x", "\ud800", "x", "/x", "\0"])] = inner.pop(key)
    else:
        inner[key] = rng.choice(VALUES)
    return json.dumps(data).encode()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_json_is_reported_by_each_command(old: OldNode, name: str, command: str) -> None:
    """With what is lost; and a command that can go on without it does."""
    old.restore()
    old.write(name, b'{"a": ')
    code, err = old.report(command)
    assert (f"/{name}: corrupt" in err) or f"file=/{name}" in err
    if command not in FILES[name]:
        assert code in ((0, 3) if command == "plan" else (0,)), err
    else:
        assert code == 1


def test_check_reports_each_corrupt_file(old: OldNode) -> None:
    """All of them at once; it goes on with what it can examine."""
    old.restore()
    for name in FILES:
        old.write(name, b"{")
    done = old.main("check", "--only=files", "--only=settings")
    assert [name for name in FILES if f"/{name}: corrupt" not in done.err] == []
    assert done.code == 78  # flags.json is a layer of settings


@pytest.mark.parametrize("name", FILES)
def test_no_corrupt_file_ends_in_a_traceback(old: OldNode, name: str) -> None:
    """Mutations with a fixed seed: every command returns one of its exit codes."""
    rng = random.Random(name)
    data = json.loads((old.master / name).read_bytes())
    contents = CONTENTS + [mutated(data, rng) for _ in range(12)]
    for content in contents:
        for command in rng.sample(COMMANDS, 2):
            old.restore()
            old.write(name, content)
            try:
                code, err = old.report(command)
            except Exception as error:
                raise AssertionError(f"{command}: {content[:2000]!r}") from error
            assert code in (0, 1, 3, 78), (command, content[:2000], err)
            assert "Traceback" not in err, (command, content[:2000], err)
            assert "Error:" not in err, (command, content[:2000], err)


def test_apply_replaces_what_is_corrupt(old: OldNode) -> None:
    """It is reported once, and whole again."""
    old.restore()
    names = [f"{INSTANCE}/facts.json", f"{RUN}/status.json", f"{RUN}/watch.json"]
    for name in names:
        old.write(name, b"[]")
    code, err = old.report("apply")
    assert (code, [name for name in names if f"/{name}: corrupt" not in err]) == (0, [])
    assert "corrupt" not in old.report("apply")[1]
