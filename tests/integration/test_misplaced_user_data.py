"""User data that is meant for the agent and cannot be used: every command says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.demo.instance import Instance
from agent.demo.metadata_service import MetadataService
from tests.integration.command_line import PROXY, Node
from tests.integration.daemon import configure, starter, status

BARE = f'[proxy]\nurl = "{PROXY}"\n'
PROBLEM = "user data: [proxy] with url is not read without a MIME header"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node without settings, whose user data has some that cloud-init would not accept."""
    node = Node(tmp_path)
    node.be(user_data=BARE)
    return node


@pytest.fixture
def service() -> Iterator[MetadataService]:
    """The metadata service of a node with that user data."""
    with MetadataService() as service:
        service.instance = Instance(user_data=BARE.encode())
        yield service


@pytest.mark.parametrize("command", ["plan", "apply"])
def test_plan_and_apply_say_what_to_write(node: Node, command: str) -> None:
    """The problem has its remedy; the node stays unconfigured, which is not a failure."""
    done = node.main(command)
    assert done.code == 0
    (line,) = [line for line in done.err.splitlines() if PROBLEM in line]
    assert "; write" in line
    assert "unconfigured: no proxy.url in the settings" in done.err


def test_status_has_the_problem(node: Node) -> None:
    """It is among the warnings of status.json, and on the screen."""
    node.main("apply")
    document = json.loads(node.main("status", "--json").out)
    assert document["phase"] == "unconfigured"
    assert document["warnings"][0].startswith(PROBLEM)
    assert PROBLEM in node.main("status").out


def test_config_check_fails(node: Node) -> None:
    """The settings are wrong: 78, also if something else is wrong too."""
    done = node.main("config check")
    assert done.code == 78
    assert PROBLEM in done.err
    node.settings('[proxy]\ncredentials_file = "/etc/none"\n')
    done = node.main("config check")
    assert done.code == 78
    assert PROBLEM in done.err
    assert "proxy.credentials_file: /etc/none: no such file" in done.err


def test_check_fails(node: Node) -> None:
    """One finding of the group `settings`, with the remedy as its hint."""
    done = node.main("check", "--only", "settings", "--json")
    assert done.code == 78
    (finding,) = [finding for finding in json.loads(done.out)["findings"] if finding["state"] == "fail"]
    assert (finding["group"], finding["name"]) == ("settings", "user-data")
    assert finding["text"] in PROBLEM
    assert finding["hint"].startswith("write")


def test_daemon_logs_an_error(node: Node, service: MetadataService) -> None:
    """The journal has it as an error, `systemctl status` names it; READY=1 is sent."""
    configure(node, service.endpoint, proxy="")
    with starter(node) as start:
        daemon = start()
        assert PROBLEM in daemon.wait_for("STATUS=unconfigured")
        daemon.wait_for("READY=1")
        assert daemon.stop() == 0
        log = daemon.log.read_text()
    assert f'error: settings.problem text="{PROBLEM}' in log
    assert (status(node)["phase"], status(node)["error"]) == ("unconfigured", None)
