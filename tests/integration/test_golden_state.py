"""An upgrade: the commands on trees that an earlier version wrote (golden_state/README.md)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agent.core.plan.files.managed_file import Effect
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.node.host import Host
from agent.node.planning import plan_revert
from tests.integration.bootable import Bootable
from tests.integration.command_line import Outcome
from tests.integration.golden_tree import unpack

GOLDEN = Path(__file__).parent / "golden_state"
INSTANCE = "i-0123456789abcdef0"
LIBRARY = "var/lib/eks-proxy-agent"
BOOTSTRAP = f"{LIBRARY}/instances/{INSTANCE}/bootstrap.json"
#: Files of the agent that revert may leave: bootstrap.sh must not run again, and a pending reload
#: or rebuild of the trust store is still to be done on the machine with this tree.
STAYS = {BOOTSTRAP, f"{LIBRARY}/trust-pending", "run/eks-proxy-agent/reload-pending"}

Tree = dict[str, tuple[int, bytes]]


class Golden(Bootable):
    """A tree of the earlier version, with a bootstrap.sh that counts its runs.

    `before` is the tree before the first apply of that version.
    """

    def __init__(self, variant: str, directory: Path) -> None:
        self.root = directory / "root"
        unpack(GOLDEN / variant / "after", self.root)
        unpack(GOLDEN / variant / "before", directory / "before")
        self.facts = directory / "facts.json"
        shutil.copy(self.root / LIBRARY / "instances" / INSTANCE / "facts.json", self.facts)
        self.record = directory / "record"
        self.record.mkdir()
        self.before = everything(directory / "before")

    def succeed(self, command: str, *flags: str) -> Outcome:
        """Run a command that must succeed."""
        done = self.main(command, *flags)
        assert done.code == 0, done.both
        return done

    def theirs(self) -> Tree:
        """Everything except the agent's own state."""
        return {path: value for path, value in everything(self.root).items() if not is_ours(path)}

    def ours(self) -> set[str]:
        """The files of the agent's own state."""
        return {path for path in everything(self.root) if is_ours(path) and (self.root / path).is_file()}


def everything(root: Path) -> Tree:
    """Mode and content of every path."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            bytes(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(root.rglob("*"))
    }


def is_ours(path: str) -> bool:
    """True if a path belongs to the agent's state."""
    return path.startswith((LIBRARY, "run/eks-proxy-agent"))


@pytest.fixture(params=["node", "image"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Golden:
    """Each of the trees."""
    assert shutil.which("systemctl"), "revert disables units with systemctl --root"
    return Golden(request.param, tmp_path)


# --- read -----------------------------------------------------------------------------------------


def test_status_reads_the_old_state(old: Golden) -> None:
    """`status` shows the old state, or names the command that rewrites an unreadable file."""
    done = old.main("status", "--json")
    if done.code:
        assert "eks-proxy-agent apply" in done.err
        old.succeed("apply")
        done = old.succeed("status", "--json")
    assert json.loads(done.out)["instance_id"] == INSTANCE
    assert json.loads(done.out)["bootstrap"]["exit_code"] == 7


def test_plan_reads_the_old_state(old: Golden) -> None:
    """`plan` succeeds without problems, and the kept flags are in force."""
    done = old.main("plan", "--json")
    assert done.code in (0, 3), done.both
    plan = json.loads(done.out)
    assert plan["problems"] == []
    assert "nexus.corp" in [entry["entry"] for entry in plan["no_proxy"]]


def test_apply_upgrades_the_old_state(old: Golden) -> None:
    """`apply` keeps the flags in force, and changes nothing the second time."""
    old.succeed("apply")
    assert "nexus.corp" in old.no_proxy()
    assert old.variables()["http_proxy"] == "http://proxy.corp:3128"
    status = json.loads(old.succeed("status", "--json").out)
    assert (status["phase"], status["error"], status["instance_id"]) == ("configured", None, INSTANCE)
    theirs = old.theirs()
    old.succeed("apply")
    assert old.theirs() == theirs
    assert json.loads(old.main("plan", "--json").out)["changes"] == []


def test_the_list_of_the_old_version_stays_accepted(old: Golden) -> None:
    """This version only adds to NO_PROXY, so no process of the old one needs a restart."""
    before = old.no_proxy()
    state = State(FileSystem(str(old.root)))
    assert state.memory().accepted.values == ()
    old.succeed("apply")
    added = set(old.no_proxy()) - set(before)
    assert "172.20.0.1" in added
    accepted = state.memory().accepted
    assert accepted.values[-1] == ",".join(old.no_proxy())
    has_status = state.status() is not None
    assert accepted.earlier == ({",".join(before)} if has_status else frozenset())


def test_apply_renames_the_drop_ins(old: Golden) -> None:
    """Each new drop-in is written before the old one is removed, all in one plan."""
    former = sorted(path.rpartition("/")[0] for path in old.theirs() if path.endswith("/90-eks-proxy.conf"))
    assert former
    lines = old.succeed("apply").out.splitlines()
    assert not [path for path in old.theirs() if path.endswith("/90-eks-proxy.conf")]
    for directory in former:
        assert f"{directory}/zz-eks-proxy.conf" in old.theirs()
        created = lines.index(f"created /{directory}/zz-eks-proxy.conf")
        assert created < lines.index(f"removed /{directory}/90-eks-proxy.conf")


# --- revert ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "commands", [(), ("apply",), ("apply", "apply")], ids=["immediately", "after apply", "after two"]
)
def test_revert_is_byte_exact(old: Golden, commands: tuple[str, ...]) -> None:
    """Files, modes, links, directories and units are as before the first apply of that version."""
    bootstrap = (old.root / BOOTSTRAP).read_bytes()
    for command in commands:
        old.succeed(command)
    old.succeed("revert")
    assert old.theirs() == old.before
    assert old.ours() <= STAYS
    assert (old.root / BOOTSTRAP).read_bytes() == bootstrap


@pytest.mark.parametrize("commands", [(), ("apply",)], ids=["immediately", "after apply"])
def test_revert_keeps_foreign_edits(old: Golden, commands: tuple[str, ...]) -> None:
    """Lines that others added stay; of an edited drop-in a copy is saved."""
    environment, dnf = old.root / "etc/environment", old.root / "etc/dnf/dnf.conf"
    name = "zz-eks-proxy.conf" if commands else "90-eks-proxy.conf"
    drop_in = f"etc/systemd/system/docker.service.d/{name}"
    foreign = b"[foreign]\nname=foreign\n"
    environment.write_bytes(b"FOREIGN=1\n" + environment.read_bytes())
    dnf.write_bytes(dnf.read_bytes() + foreign)
    for command in commands:
        old.succeed(command)
    edited = (old.root / drop_in).read_bytes() + b"# foreign\n"
    (old.root / drop_in).write_bytes(edited)
    old.succeed("revert")
    after = old.theirs()
    assert after.pop(f"{drop_in}.eks-proxy-agent-save")[1] == edited
    assert lines(after, "etc/environment") == sorted([b"FOREIGN=1", *lines(old.before, "etc/environment")])
    assert after["etc/dnf/dnf.conf"][1] == old.before.get("etc/dnf/dnf.conf", (0, b""))[1] + foreign
    assert {path: after[path][0] for path in old.before} == {path: value[0] for path, value in old.before.items()}
    edits = {"etc/environment", "etc/dnf/dnf.conf", drop_in.rpartition("/")[0]}  # the directory stays with the copy
    assert {path: after[path][1] for path in set(after) - edits} == {
        path: value[1] for path, value in old.before.items() if path not in edits
    }
    assert old.ours() <= STAYS | {f"{LIBRARY}/baseline.json"}


def lines(tree: Tree, path: str) -> list[bytes]:
    """The sorted lines of a file: replaced proxy lines come back as the last ones."""
    return sorted(tree.get(path, (0, b""))[1].splitlines())


def test_revert_reloads_systemd_and_rebuilds_the_trust_store(old: Golden) -> None:
    """The earlier version recorded drop-ins and CA as whole files."""
    files = FileSystem(str(old.root))
    plan = plan_revert(Host(files, State(files), Systemd(running=False)))
    effects = {change.path: change.effect for change in plan.changes}
    assert plan.reload
    assert plan.trust
    expected = {"/etc/systemd": Effect.DAEMON_RELOAD, "/etc/pki": Effect.TRUST_STORE}
    for path, effect in effects.items():
        matches = [value for prefix, value in expected.items() if path.startswith(prefix)]
        assert [effect] == (matches or [Effect.NONE])


# --- bootstrap ------------------------------------------------------------------------------------


@pytest.mark.parametrize("commands", [(), ("apply",), ("revert",)], ids=["immediately", "after apply", "after revert"])
def test_bootstrap_does_not_run_again(old: Golden, commands: tuple[str, ...]) -> None:
    """bootstrap.sh ran on this instance: `bootstrap` returns its exit code and does not run it."""
    for command in commands:
        old.succeed(command)
    old.script("etc/eks/bootstrap.sh", "exit 99")
    assert old.bootstrap("my-cluster") == 7
    assert old.ran == []
    assert old.bootstrap("my-cluster", again=True) == 99  # so a second run would be noticed
    assert len(old.ran) == 1
