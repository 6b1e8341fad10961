"""`status` of nodes in each state, as screen and as JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.demo.metadata_service import MetadataService
from tests.integration.command_line import FACTS, PROXY, REPOSITORY, Node, environment, run
from tests.status_schema import problems

NODE_ENV = "/etc/eks-proxy-agent/node.env"
DROP_IN = "/etc/systemd/system/docker.service.d/zz-eks-proxy.conf"
OURS = [NODE_ENV, "/etc/environment", "/etc/yum.conf", DROP_IN]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node that is configured."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\nno_proxy = ["nexus.corp:8443"]\n[node]\nunits = ["docker"]\n')
    assert node.main("apply").code == 0
    return node


def status(node: Node) -> dict[str, Any]:
    """The output of `status --json`; it and the file behind it must match the schema."""
    done = node.main("status", "--json")
    assert (done.code, done.err) == (0, "")
    shown = json.loads(done.out)
    assert isinstance(shown, dict)
    assert problems(shown) == []
    file = node.read("run/eks-proxy-agent/status.json")
    assert not file or problems(json.loads(file), file=True) == []
    return shown


def files(node: Node) -> dict[str, str]:
    """Path → state."""
    return {file["path"]: file["state"] for file in status(node)["files"]}


def test_a_configured_node(node: Node) -> None:
    """The JSON has phase, instance, proxies, entries with reasons, files, warnings and error."""
    shown = status(node)
    assert shown["schema"] == 1
    assert (shown["phase"], shown["error"]) == ("configured", None)
    assert (shown["instance_id"], shown["region"]) == (FACTS["instance_id"], FACTS["region"])
    assert shown["proxy"] == {"http": PROXY, "https": PROXY}
    assert re.fullmatch("[0-9a-f]{12}", shown["intent"])
    assert shown["intent"] == json.loads(node.main("plan", "--json").out)["intent"]
    assert [files(node)[path] for path in OURS] == ["ok", "ok", "ok", "ok"]
    assert [warning for warning in shown["warnings"] if "nexus.corp:8443" in warning]


def test_only_desired_files_are_listed(node: Node) -> None:
    """So a healthy node has no line with the state missing."""
    assert sorted(files(node)) == sorted(OURS)


def test_status_and_plan_show_no_proxy_in_the_same_form(node: Node) -> None:
    """Both have entry and reason."""
    assert status(node)["no_proxy"] == json.loads(node.main("plan", "--json").out)["no_proxy"]


def test_a_link_is_shown_with_its_target(node: Node) -> None:
    """`plan` and `apply` name the target; JSON keeps the path of the table of files."""
    assert "file       /etc/yum.conf -> /etc/dnf/dnf.conf " in node.main("status", "--full").out
    assert "/etc/dnf/dnf.conf" not in files(node)
    node.write("etc/dnf/dnf.conf", b"[main]\n")
    assert re.search(r"/etc/yum.conf -> /etc/dnf/dnf.conf +changed since", node.main("status").out)


def test_the_full_screen(node: Node) -> None:
    """With --full there is a line for each reason with its entries, each warning and each file."""
    done = node.main("status", "--full")
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert ["phase", "configured"] in lines
    assert ["instance", FACTS["instance_id"], "in", FACTS["region"]] in lines
    assert ["proxy", PROXY, "in", "use,", "health", "unknown"] in lines
    assert ["vpc", "10.42.0.0/16"] in lines
    assert ["no_proxy", "loopback", "localhost", "127.0.0.1", "::1", "[::1]"] in lines
    assert ["file", NODE_ENV, "ok"] in lines
    assert "warning    proxy.no_proxy:" in done.out


def test_two_proxies_on_the_screen(node: Node) -> None:
    """The proxy for https:// is below the first one."""
    node.main("apply", "--set", "proxy.https_url=http://secure.corp:3129")
    assert "\n           http://secure.corp:3129  for https:// URLs\n" in node.main("status").out


def test_a_node_before_the_first_reconcile(tmp_path: Path) -> None:
    """The screen has four lines, the last two with the command to run and the page to read."""
    node = Node(tmp_path)
    before = node.tree()
    lines = node.main("status").out.splitlines()
    assert (len(lines), lines[0]) == (4, "phase      not run")
    assert lines[-2:] == [
        "to do      Configure the node: eks-proxy-agent apply",
        "see        /usr/share/doc/eks-proxy-agent/docs/troubleshooting.md#phase-not-run",
    ]
    empty = {"files": [], "units": [], "held_units": [], "daemon": None, "bootstrap": None, "signal": None}
    assert status(node) == {"schema": 1, "phase": "not run", "error": None, **empty}
    assert node.tree() == before


def test_an_unconfigured_node(tmp_path: Path) -> None:
    """Without proxy.url the phase is unconfigured, and the agent has no files."""
    node = Node(tmp_path)
    node.main("apply")
    shown = status(node)
    assert (shown["phase"], shown["proxy"], shown["no_proxy"], shown["files"]) == ("unconfigured", None, [], [])
    assert "phase      unconfigured\n" in node.main("status").out


def test_files_that_others_changed(node: Node) -> None:
    """A file that was edited, removed or replaced by a directory is shown as such."""
    node.write("etc/environment", b"LANG=C\n")
    (node.root / NODE_ENV[1:]).unlink()
    (node.root / DROP_IN[1:]).unlink()
    (node.root / DROP_IN[1:]).mkdir()
    states = files(node)
    assert [states[path] for path in OURS[:3]] == ["missing", "changed since", "ok"]
    assert states[DROP_IN] not in ("ok", "missing", "changed since")
    assert re.search("file +/etc/environment +changed since\n", node.main("status").out)


def test_a_failed_reconcile_is_shown_until_it_is_fixed(node: Node) -> None:
    """A file that cannot be written makes the node degraded.

    The next successful reconcile clears the error.
    """
    node.write("etc/environment", b"LANG=C\xff\n")
    assert node.main("apply").code == 1
    shown = status(node)
    assert shown["phase"] == "degraded"
    assert shown["error"].startswith("/etc/environment: line 1: invalid UTF-8")
    assert "error      /etc/environment: line 1: invalid UTF-8" in node.main("status").out
    node.write("etc/environment", b"LANG=C\n")
    assert node.main("apply").code == 0
    assert (status(node)["phase"], status(node)["error"]) == ("configured", None)


def test_status_works_without_root(node: Node) -> None:
    """The output is the same except for the files that only root can read."""
    code = "import os, shutil, sys, agent.commands.status as s; from agent import cli; os.seteuid(%d); sys.exit(cli.main())"
    argv = node.argv("status", "--json")
    (node.root / NODE_ENV[1:]).chmod(0)  # on a node the file is root's
    for path in (node.root, *node.root.parents):
        if path.stat().st_uid == os.geteuid() and str(path).startswith(str(Path(os.environ.get("TMPDIR", "/tmp")))):
            path.chmod(0o755)
    done = run([argv[0], "-c", code % (65534 if os.geteuid() == 0 else os.geteuid()), *argv[3:]])
    assert done.code == 0
    shown = json.loads(done.out)
    states = {file["path"]: file["state"] for file in shown["files"]}
    assert shown["phase"] == "configured"
    assert states[NODE_ENV] == "unknown (root can tell)"


def test_a_corrupt_status_file_is_named(node: Node) -> None:
    """The error names the file, and there is no traceback."""
    for content in (b"{", b"[]", b"\xff", b"null"):
        node.write("run/eks-proxy-agent/status.json", content)
        done = node.main("status")
        assert (done.code, done.out) == (1, "")
        assert "/run/eks-proxy-agent/status.json: corrupt, or written by another version" in done.err


@pytest.mark.parametrize(
    ("variables", "colour"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=str,
)
def test_colours_are_for_terminals(node: Node, variables: dict[str, str], colour: bool) -> None:
    """A terminal gets colours unless NO_COLOR or TERM forbids it; a pipe or a file never does."""
    controller, terminal = os.openpty()
    done = subprocess.run(
        node.argv("status"), cwd=REPOSITORY, env=environment(variables), stdout=terminal, check=False, timeout=60
    )
    os.close(terminal)
    shown = os.read(controller, 65536).decode()
    os.close(controller)
    assert done.returncode == 0
    assert ("\033[32mconfigured" in shown, "\033" in shown) == (colour, colour)
    assert "\033" not in node.run("status", env=variables).out


def test_the_bootstrap_of_this_instance(node: Node) -> None:
    """The result of bootstrap.sh is shown, and a failure is a task."""
    record = "var/lib/eks-proxy-agent/instances/{}/bootstrap.json".format(FACTS["instance_id"])
    outcome = {"exit_code": 7, "signalled": True, "time": "2026-11-22T17:33:00+00:00"}
    node.write(record, json.dumps(outcome).encode(), 0o600)
    assert status(node)["bootstrap"] == outcome
    lines = node.main("status").out.splitlines()
    assert [line for line in lines if line.startswith("bootstrap  exit code 7, ") and "cfn-signal sent" in line]
    assert [line for line in lines if line.startswith("to do ") and "bootstrap --again" in line]


def test_status_uses_no_network(node: Node) -> None:
    """The output is the same while the metadata service is down."""
    with MetadataService() as service:
        node.settings(f'[proxy]\nurl = "{PROXY}"\n[metadata]\nendpoint = "{service.endpoint}"\n')
        assert node.main("apply", facts=False).code == 0
        with_service = status(node)
    assert status(node) == with_service
