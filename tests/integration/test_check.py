"""`check` on trees: what needs a running machine is skipped, the rest is looked at and nothing is
changed.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.checks.runner import GROUPS
from agent.cli import parser
from agent.edges.files import FileSystem
from agent.edges.lock import held
from tests.integration.command_line import PROXY, Node, run

LIVE = ["units", "processes", "proxy", "direct", "clock"]
NODE_ENV = "etc/eks-proxy-agent/node.env"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node with dnf and a proxy in its settings; nothing is applied yet."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n')
    node.write("usr/bin/dnf", b"")
    return node


@pytest.fixture
def applied(node: Node) -> Node:
    """The same, configured."""
    assert node.main("apply").code == 0
    return node


def check(node: Node, *flags: str) -> dict[str, Any]:
    """What `check --json` prints."""
    done = node.main("check", "--json", *flags)
    assert "Traceback" not in done.err
    found: dict[str, Any] = {**json.loads(done.out), "code": done.code}
    return found


def named(found: dict[str, Any], state: str) -> list[str]:
    """`GROUP NAME` of the findings in a state."""
    return [f"{one['group']} {one['name']}" for one in found["findings"] if one["state"] == state]


# --- a tree
# ---------------------------------------------------------------------------------------------------------


def test_an_unconfigured_tree_says_so_and_fails_nothing(tmp_path: Path) -> None:
    """No proxy is a valid state: exit code 0, and what that leaves to look at."""
    done = Node(tmp_path).main("check")
    assert done.code == 0
    assert "ok    settings   layers: unconfigured: no proxy.url in the settings\n" in done.out
    assert "fail" not in done.out


def test_what_is_not_applied_yet_is_drift(node: Node) -> None:
    """Each file with the diff that apply would make, like drop-ins together; exit code 3; NO_PROXY
    is not missed twice.
    """
    done = node.main("check")
    assert done.code == 3
    found = check(node)
    assert [name.count(",") for name in named(found, "fail")] == [0, 0, 0, 8]
    assert f"+http_proxy={PROXY}\n" in done.out
    assert done.out.count("+EnvironmentFile=-/etc/environment\n") == 1
    assert {"no-proxy list", "packages /etc/dnf/dnf.conf"} <= set(named(found, "skip"))


def test_an_applied_tree_is_ok(applied: Node) -> None:
    """What needs the machine is skipped with that reason; the summary is on stderr."""
    done = applied.main("check")
    assert done.code == 0
    found = check(applied)
    assert (found["schema"], found["state"], found["instance_id"]) == (1, "ok", "i-0123456789abcdef0")
    assert named(found, "warn") + named(found, "fail") == []
    assert named(found, "skip") == ["metadata service", *(f"{name} all" for name in LIVE)]
    assert re.fullmatch(r"\d+ ok, 0 warn, 0 fail, 6 skip; \d+\.\d s\n", done.err)


def test_the_lines_and_the_json_say_the_same(applied: Node) -> None:
    """A line is STATE GROUP NAME: TEXT."""
    lines = [re.split(" +", line, maxsplit=2) for line in applied.main("check").out.splitlines()]
    found = check(applied)["findings"]
    assert lines == [[one["state"], one["group"], f"{one['name']}: {one['text']}"] for one in found]
    assert [set(one) for one in found] == [{"group", "name", "state", "text", "hint"}] * len(found)


# --- flags
# ----------------------------------------------------------------------------------------------------------


def test_only_some_groups(applied: Node) -> None:
    """They come in their own order, however they are asked for."""
    found = check(applied, "--only", "packages", "--only", "files")
    assert [one["group"] for one in found["findings"]] == ["files", "packages"]


def test_an_unknown_group_is_wrong_usage(node: Node) -> None:
    """And the groups are named."""
    done = node.main("check", "--only", "proxies")
    assert (done.code, done.out) == (2, "")
    assert "hint: the groups: " + ", ".join(group.name for group in GROUPS) in done.err


def test_the_help_names_the_groups() -> None:
    """All of them, in their order."""
    (commands,) = [action.choices for action in parser()._actions if action.dest == "command"]
    assert ", ".join(group.name for group in GROUPS) in " ".join(commands["check"].format_help().split())  # type: ignore[index, union-attr, call-overload]


# --- drift
# ----------------------------------------------------------------------------------------------------------


def sed(path: str, old: str, new: str) -> Any:
    """A hurt: a file of the tree with another text."""
    return lambda node: node.write(path, node.read(path).replace(old, new).encode())


def remove(path: str) -> Any:
    """A hurt: a file of the tree is gone."""
    return lambda node: (node.root / path).unlink()


def apart(node: Node) -> None:
    """A hurt: yum.conf becomes a file of its own."""
    remove("etc/yum.conf")(node)
    node.write("etc/yum.conf", (node.root / "etc/dnf/dnf.conf").read_bytes())


DOCKER = "etc/systemd/system/docker.service.d/90-eks-proxy.conf"
HURTS = [
    # what is done to the tree, what fails, exit code
    (sed("etc/environment", "3128", "8080"), ["files /etc/environment"], 3),
    (remove("etc/environment"), ["files /etc/environment"], 3),
    (sed("etc/dnf/dnf.conf", "3128", "8080"), ["files /etc/dnf/dnf.conf"], 3),
    (sed(DOCKER, "-/etc", "/etc"), ["files /" + DOCKER], 3),
    (remove(DOCKER), ["files /" + DOCKER], 3),
    (apart, ["packages /etc/yum.conf"], 1),
    (sed("etc/environment", "LANG", "\0"), ["files /etc/environment"], 1),  # which apply does not touch
    (sed("var/lib/eks-proxy-agent/baseline.json", "{", "}"), ["files baseline"], 1),
    (lambda node: (node.root / NODE_ENV).chmod(0o644), ["files /" + NODE_ENV], 3),
    (lambda node: node.be(vpc_cidrs_v4=["10.42.0.0/16", "10.9.0.0/16"]), None, 1),
]


@pytest.mark.parametrize(("hurt", "fails", "code"), HURTS)
def test_a_hurt_tree(applied: Node, hurt: Any, fails: Any, code: int) -> None:
    """What differs is named, and nothing else; 3 is the exit code only where `apply` is the way
    out.
    """
    hurt(applied)
    found = check(applied)
    assert found["code"] == code
    if fails is not None:  # facts of a file have no "since": all that follows from them differs
        assert named(found, "fail") == fails
    assert all(one["hint"] for one in found["findings"] if one["state"] == "fail")


@pytest.mark.parametrize("also", [False, True], ids=["alone", "with drift"])
def test_a_file_that_apply_cannot_take_is_more_than_drift(applied: Node, also: bool) -> None:
    """Exit code 1, as that of apply: who answers a 3 with apply would do so for ever."""
    applied.write("etc/environment", b"NAME=\xff\n")
    if also:
        remove(DOCKER)(applied)
    found = check(applied)
    assert (found["code"], applied.main("apply").code) == (1, 1)
    assert "files /etc/environment" in named(found, "fail")


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_repository_with_a_proxy_of_its_own_is_a_warning(applied: Node, scheme: str) -> None:
    """It wins over [main]; the same proxy again is nothing to say."""
    other = f"[other]\nproxy={scheme}me:secret@other:1\n"
    applied.write("etc/yum.repos.d/a.repo", (f"[same]\nproxy={PROXY}\n{other}").encode())
    found = check(applied)
    assert named(found, "warn") == ["packages /etc/yum.repos.d/a.repo"]
    assert found["state"] == "warn"
    assert f"[other] has a proxy of its own, {scheme}***@other:1" in json.dumps(found)


def test_what_lies_on_the_disk_is_harmless_to_a_terminal(applied: Node) -> None:
    """Escape sequences in values and in diffs are shown, and not sent."""
    applied.write("etc/yum.repos.d/a.repo", b"[local]\nproxy=http://\x1b]0;x\x07\n")
    applied.write("etc/environment", applied.read("etc/environment").encode() + b"no_proxy=\x1b[31m\xc2\x9b\n")
    shown = applied.main("check").out
    assert all(line.isprintable() for line in shown.splitlines())
    assert r"http://\x1b]0;x\x07" in shown
    assert r"-no_proxy=\x1b[31m" in shown


@pytest.mark.parametrize("none", ["", "_none_"])
def test_a_repository_that_takes_the_proxy_away_is_a_warning(applied: Node, none: str) -> None:
    """It is reached directly, or not at all; meant so, it stays."""
    applied.write("etc/yum.repos.d/a.repo", b"[local]\nproxy=%s\n" % none.encode())
    found = check(applied)
    assert named(found, "warn") == ["packages /etc/yum.repos.d/a.repo"]
    assert "[local] goes without the proxy of [main]" in json.dumps(found)


def test_yum_3_reads_its_own_file(applied: Node) -> None:
    """Without dnf it is yum.conf, and no link is missed."""
    remove("usr/bin/dnf")(applied)
    applied.write("usr/bin/yum", b"")
    apart(applied)
    remove("etc/dnf/dnf.conf")(applied)
    texts = [one["text"] for one in check(applied)["findings"] if one["group"] == "packages"]
    assert texts == ["yum uses " + PROXY]


# --- it looks, and nothing more
# -------------------------------------------------------------------------------------


def test_nothing_is_changed_and_no_lock_is_waited_for(applied: Node) -> None:
    """While another run holds the lock, a hurt tree stays byte for byte as it is."""
    sed("etc/environment", "3128", "8080")(applied)
    before, stamps = applied.tree(), applied.stamps()
    with held(FileSystem(str(applied.root))):
        assert applied.main("check").code == 3
    assert (applied.tree(), applied.stamps()) == (before, stamps)


def test_no_credentials_are_shown(node: Node) -> None:
    """Not in a diff of a file that holds them, and not in JSON."""
    node.write("etc/credentials", b"me:s3cret\n", 0o600)
    node.settings(f'[proxy]\nurl = "{PROXY}"\ncredentials_file = "/etc/credentials"\ncredentials_in_yum = true\n')
    shown = node.main("check").both + node.main("check", "--json").both
    assert "http://***@" in shown
    assert "s3cret" not in shown


# --- bad input
# ------------------------------------------------------------------------------------------------------

FILES = [
    "etc/eks-proxy-agent/config.toml",
    NODE_ENV,
    "etc/environment",
    "etc/dnf/dnf.conf",
    DOCKER,
    "etc/yum.repos.d/a.repo",
    "var/lib/eks-proxy-agent/baseline.json",
    "var/lib/eks-proxy-agent/instances/i-0123456789abcdef0/facts.json",
    "var/lib/eks-proxy-agent/instances/i-0123456789abcdef0/flags.json",
    "run/eks-proxy-agent/status.json",
]
GARBAGE = {
    "empty": b"",
    "binary": bytes(range(256)) * 10,
    "brackets": b"[" * 100_000,
    "lines": b"proxy=\nno_proxy=\x00\n" * 50_000,
    "json": b'{"files": [], "instance_id": "../../etc"}',
}


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("kind", [*GARBAGE, "directory", "pipe", "loop"])
def test_garbage_in_a_file_is_at_most_a_finding(applied: Node, path: str, kind: str) -> None:
    """No traceback, no hang, no excuse: all groups answer, and none has to say that it is our
    mistake.
    """
    target = applied.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if kind == "directory":
        target.mkdir()
    elif kind == "pipe":
        os.mkfifo(target)
    elif kind == "loop":
        target.symlink_to(target.name)
    else:
        target.write_bytes(GARBAGE[kind])
    found = check(applied)
    assert {one["group"] for one in found["findings"]} == {group.name for group in GROUPS}
    assert "mistake in eks-proxy-agent" not in json.dumps(found)
    assert found["code"] in (0, 1, 3, 78)


def test_wrong_settings_are_all_told_and_leave_the_rest(applied: Node) -> None:
    """Each mistake is a line; what depends on them is skipped; exit code 78."""
    applied.settings('[proxy]\nurl = "proxy:3128"\nbad = 1\n')
    found = check(applied)
    assert named(found, "fail") == ["settings layers"] * 2
    assert {"files all", "no-proxy all", "packages all"} <= set(named(found, "skip"))
    assert found["code"] == 78


def test_facts_that_are_none_fail_in_their_own_group(applied: Node) -> None:
    """A wrong --facts file is told where the facts are."""
    applied.facts.write_text("{}")
    assert named(check(applied), "fail") == ["metadata service"]
    applied.facts.unlink()
    found = check(applied)
    assert (named(found, "fail"), found["code"]) == (["metadata service"], 1)


# --- not root
# -------------------------------------------------------------------------------------------------------

#: Everything is imported first: the interpreter may stand where only root can look.
WITHOUT_ROOT = """
import os, sys
from agent import cli
import agent.commands.check, agent.edges.imds, agent.core.settings.user_data, yaml
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(cli.main(sys.argv[1:]))
"""


def test_who_is_not_root_is_told_what_takes_root(applied: Node) -> None:
    """Nothing fails for want of rights; the reason stands in each line that could not be looked
    at.
    """
    if os.geteuid() == 0:
        for directory in (applied.root, *applied.root.parents):
            if str(directory).startswith("/tmp/"):
                directory.chmod(0o755)
        applied.facts.chmod(0o644)
    for name in ("var/lib/eks-proxy-agent", NODE_ENV):  # which on a node only root can read
        (applied.root / name).chmod(0)
    done = run([sys.executable, "-c", WITHOUT_ROOT, *applied.argv("check", "--json")[3:]])
    (applied.root / "var/lib/eks-proxy-agent").chmod(0o700)
    found = json.loads(done.out)
    assert done.code == 0, done.both
    assert named(found, "fail") == []
    skipped = [one for one in found["findings"] if one["group"] == "files"]
    assert [(one["state"], one["text"]) for one in skipped] == [("skip", "needs root")]
