"""`check` on a directory tree: it skips what requires a running machine, and changes nothing."""

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
    """Make a node with dnf and a proxy in its settings, before the first `apply`."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n')
    node.write("usr/bin/dnf", b"")
    return node


@pytest.fixture
def applied(node: Node) -> Node:
    """Apply to the same node."""
    assert node.main("apply").code == 0
    return node


def check(node: Node, *flags: str) -> dict[str, Any]:
    """Return what `check --json` prints, and its exit code as `code`."""
    done = node.main("check", "--json", *flags)
    assert "Traceback" not in done.err
    result: dict[str, Any] = {**json.loads(done.out), "code": done.code}
    return result


def named(result: dict[str, Any], state: str) -> list[str]:
    """Return `GROUP NAME` of the findings in a state."""
    findings = result["findings"]
    return [f"{finding['group']} {finding['name']}" for finding in findings if finding["state"] == state]


# --- a tree


def test_an_unconfigured_tree_does_not_fail(tmp_path: Path) -> None:
    """Without a proxy the exit code is 0, and the output says that the node is unconfigured."""
    done = Node(tmp_path).main("check")
    assert done.code == 0
    assert "ok    settings   layers: unconfigured: proxy.url is not set\n" in done.out
    assert "fail" not in done.out


def test_what_is_not_applied_yet_is_drift(node: Node) -> None:
    """The exit code is 3, and each file has the diff of `apply`; equal drop-ins are one finding.

    The missing files are not reported again as a missing NO_PROXY.
    """
    done = node.main("check")
    assert done.code == 3
    result = check(node)
    assert [name.count(",") for name in named(result, "fail")] == [0, 0, 0, 9, 2, 1]
    assert f"+http_proxy={PROXY}\n" in done.out
    assert done.out.count("+EnvironmentFile=-/etc/environment\n") == 1
    assert {"no-proxy list", "packages /etc/dnf/dnf.conf"} <= set(named(result, "skip"))


def test_an_applied_tree_is_ok(applied: Node) -> None:
    """Groups that require a running machine are skipped; the summary is on stderr."""
    done = applied.main("check")
    assert done.code == 0
    result = check(applied)
    assert (result["schema"], result["state"], result["instance_id"]) == (1, "ok", "i-0123456789abcdef0")
    assert named(result, "warn") + named(result, "fail") == []
    assert named(result, "skip") == ["metadata service", *(f"{name} all" for name in LIVE)]
    assert re.fullmatch(r"\d+ ok, 0 warn, 0 fail, 6 skip; \d+\.\d s\n", done.err)


def test_the_lines_and_the_json_have_the_same_findings(applied: Node) -> None:
    """A line is STATE GROUP NAME: TEXT."""
    lines = [re.split(" +", line, maxsplit=2) for line in applied.main("check").out.splitlines()]
    findings = check(applied)["findings"]
    assert lines == [
        [finding["state"], finding["group"], f"{finding['name']}: {finding['text']}"] for finding in findings
    ]
    assert [set(finding) for finding in findings] == [{"group", "name", "state", "text", "hint", "runbook"}] * len(
        findings
    )


def test_the_output_ends_with_the_section_of_each_problem(applied: Node) -> None:
    """Each section is named once, by its path on the node; --json has the anchors."""
    for fault in (sed("etc/environment", "3128", "8080"), remove(DOCKER), separate_yum_conf):
        fault(applied)
    anchors = ["files-differ", "dnf-hangs"]
    page = "see   /usr/share/doc/eks-proxy-agent/docs/troubleshooting.md"
    assert applied.main("check").out.splitlines()[-2:] == [f"{page}#{anchor}" for anchor in anchors]
    problems = [finding for finding in check(applied)["findings"] if finding["runbook"]]
    assert list(dict.fromkeys(finding["runbook"] for finding in problems)) == anchors
    assert {finding["state"] for finding in problems} == {"fail"}


# --- flags


def test_only_some_groups(applied: Node) -> None:
    """They are printed in the fixed order, whatever the order of the flags."""
    result = check(applied, "--only", "packages", "--only", "files")
    assert [finding["group"] for finding in result["findings"]] == ["files", "packages"]


def test_an_unknown_group_is_a_usage_error(node: Node) -> None:
    """The exit code is 2, and the error lists the groups, which are those that run."""
    done = node.main("check", "--only", "proxies")
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith('--only "proxies": expected one of ' + ", ".join(group.name for group in GROUPS) + "\n")


def test_the_help_lists_the_groups() -> None:
    """It has all of them, in the order of the output."""
    (commands,) = [action.choices for action in parser()._actions if action.dest == "command"]
    assert ", ".join(group.name for group in GROUPS) in " ".join(commands["check"].format_help().split())  # type: ignore[index, union-attr, call-overload]


# --- drift


def sed(path: str, old: str, new: str) -> Any:
    """Return a fault: a file of the tree with another text."""
    return lambda node: node.write(path, node.read(path).replace(old, new).encode())


def remove(path: str) -> Any:
    """Return a fault: a file of the tree is removed."""
    return lambda node: (node.root / path).unlink()


def separate_yum_conf(node: Node) -> None:
    """Replace the link yum.conf with a copy of dnf.conf."""
    remove("etc/yum.conf")(node)
    node.write("etc/yum.conf", (node.root / "etc/dnf/dnf.conf").read_bytes())


DOCKER = "etc/systemd/system/docker.service.d/zz-eks-proxy.conf"
FAULTS = [
    # fault, failed findings, exit code
    (sed("etc/environment", "3128", "8080"), ["files /etc/environment"], 3),
    (remove("etc/environment"), ["files /etc/environment"], 3),
    (sed("etc/dnf/dnf.conf", "3128", "8080"), ["files /etc/dnf/dnf.conf"], 3),
    (sed(DOCKER, "-/etc", "/etc"), ["files /" + DOCKER], 3),
    (remove(DOCKER), ["files /" + DOCKER], 3),
    (separate_yum_conf, ["packages /etc/yum.conf"], 1),
    (sed("etc/environment", "LANG", "\0"), ["files /etc/environment"], 1),  # apply leaves such a file alone
    (sed("var/lib/eks-proxy-agent/baseline.json", "{", "}"), ["files baseline"], 1),
    (lambda node: (node.root / NODE_ENV).chmod(0o644), ["files /" + NODE_ENV], 3),
    (lambda node: node.be(vpc_cidrs_v4=["10.42.0.0/16", "10.9.0.0/16"]), None, 1),
]


@pytest.mark.parametrize(("break_tree", "failures", "code"), FAULTS)
def test_a_fault_is_the_only_failure(applied: Node, break_tree: Any, failures: Any, code: int) -> None:
    """The exit code is 3 only if `apply` repairs the fault."""
    break_tree(applied)
    result = check(applied)
    assert result["code"] == code
    if failures is not None:  # with --facts there are no facts of the last reconcile, so all files differ
        assert named(result, "fail") == failures
    assert all(finding["hint"] for finding in result["findings"] if finding["state"] == "fail")


@pytest.mark.parametrize("has_drift", [False, True], ids=["alone", "with drift"])
def test_a_file_that_apply_cannot_change_is_not_drift(applied: Node, has_drift: bool) -> None:
    """The exit code is 1, as of `apply`: a script that runs `apply` after a 3 would never end."""
    applied.write("etc/environment", b"NAME=\xff\n")
    if has_drift:
        remove(DOCKER)(applied)
    result = check(applied)
    assert (result["code"], applied.main("apply").code) == (1, 1)
    assert "files /etc/environment" in named(result, "fail")


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_repository_with_another_proxy_is_a_warning(applied: Node, scheme: str) -> None:
    """It overrides that of [main]; the same proxy again is not reported."""
    other = f"[other]\nproxy={scheme}me:secret@other:1\n"
    applied.write("etc/yum.repos.d/a.repo", (f"[same]\nproxy={PROXY}\n{other}").encode())
    result = check(applied)
    assert named(result, "warn") == ["packages /etc/yum.repos.d/a.repo"]
    assert result["state"] == "warn"
    assert f"[other] uses {scheme}***@other:1, which overrides" in json.dumps(result)


def test_escape_sequences_in_files_are_escaped(applied: Node) -> None:
    """Values and diffs do not send escape sequences to the terminal."""
    applied.write("etc/yum.repos.d/a.repo", b"[local]\nproxy=http://\x1b]0;x\x07\n")
    applied.write("etc/environment", applied.read("etc/environment").encode() + b"no_proxy=\x1b[31m\xc2\x9b\n")
    shown = applied.main("check").out
    assert all(line.isprintable() for line in shown.splitlines())
    assert r"http://\x1b]0;x\x07" in shown
    assert r"-no_proxy=\x1b[31m" in shown


@pytest.mark.parametrize("none", ["", "_none_"])
def test_a_repository_without_the_proxy_is_a_warning(applied: Node, none: str) -> None:
    """It is reached directly or not at all; that may be intended."""
    applied.write("etc/yum.repos.d/a.repo", b"[local]\nproxy=%s\n" % none.encode())
    result = check(applied)
    assert named(result, "warn") == ["packages /etc/yum.repos.d/a.repo"]
    assert "[local] does not use the proxy of [main]" in json.dumps(result)


def test_yum_3_reads_yum_conf(applied: Node) -> None:
    """Without dnf, yum.conf does not have to be a link."""
    remove("usr/bin/dnf")(applied)
    applied.write("usr/bin/yum", b"")
    separate_yum_conf(applied)
    remove("etc/dnf/dnf.conf")(applied)
    findings = check(applied)["findings"]
    texts = [finding["text"] for finding in findings if finding["group"] == "packages"]
    assert texts == ["yum uses " + PROXY]


# --- no side effects


def test_check_changes_nothing_and_waits_for_no_lock(applied: Node) -> None:
    """While another process holds the lock, a tree with drift stays byte for byte as it is."""
    sed("etc/environment", "3128", "8080")(applied)
    before, stamps = applied.tree(), applied.stamps()
    with held(FileSystem(str(applied.root))):
        assert applied.main("check").code == 3
    assert (applied.tree(), applied.stamps()) == (before, stamps)


def test_credentials_are_masked(node: Node) -> None:
    """They are masked in the diff of a file that holds them, and in JSON."""
    node.write("etc/credentials", b"me:s3cret\n", 0o600)
    node.settings(f'[proxy]\nurl = "{PROXY}"\ncredentials_file = "/etc/credentials"\ncredentials_in_yum = true\n')
    shown = node.main("check").both + node.main("check", "--json").both
    assert "http://***@" in shown
    assert "s3cret" not in shown


# --- bad input

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
    """All groups end, without a traceback, a hang or an internal error."""
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
    result = check(applied)
    assert {finding["group"] for finding in result["findings"]} == {group.name for group in GROUPS}
    assert "bug in eks-proxy-agent" not in json.dumps(result)
    assert result["code"] in (0, 1, 3, 78)


def test_each_invalid_setting_is_a_failure(applied: Node) -> None:
    """The exit code is 78, and the groups that depend on the settings are skipped."""
    applied.settings('[proxy]\nurl = "proxy:3128"\nbad = 1\n')
    result = check(applied)
    assert named(result, "fail") == ["settings layers"] * 2
    assert {"files all", "no-proxy all", "packages all"} <= set(named(result, "skip"))
    assert result["code"] == 78


def test_an_invalid_facts_file_fails_in_the_group_metadata(applied: Node) -> None:
    """A file of --facts that is invalid or missing is not an error of the settings."""
    applied.facts.write_text("{}")
    assert named(check(applied), "fail") == ["metadata service"]
    applied.facts.unlink()
    result = check(applied)
    assert (named(result, "fail"), result["code"]) == (["metadata service"], 1)


# --- not root

#: Everything is imported first: the interpreter may be in a directory that only root can read.
WITHOUT_ROOT = """
import os, sys
from agent import cli
import agent.commands.check, agent.edges.imds, agent.core.settings.user_data, yaml
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.exit(cli.main(sys.argv[1:]))
"""


def test_without_root_unreadable_files_are_skipped(applied: Node) -> None:
    """A missing permission is not a failure; each skipped finding says that it requires root."""
    if os.geteuid() == 0:
        for directory in (applied.root, *applied.root.parents):
            if str(directory).startswith("/tmp/"):
                directory.chmod(0o755)
        applied.facts.chmod(0o644)
    for name in ("var/lib/eks-proxy-agent", NODE_ENV):  # on a node, only root can read them
        (applied.root / name).chmod(0)
    done = run([sys.executable, "-c", WITHOUT_ROOT, *applied.argv("check", "--json")[3:]])
    (applied.root / "var/lib/eks-proxy-agent").chmod(0o700)
    result = json.loads(done.out)
    assert done.code == 0, done.both
    assert named(result, "fail") == []
    findings = [finding for finding in result["findings"] if finding["group"] == "files"]
    assert [(finding["state"], finding["text"]) for finding in findings] == [("skip", "requires root")]
