"""Places outside the agent's files that set another proxy: plan, apply, check, explain, clean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.command_line import PROXY, Node

OLD = "http://old.example.test:1"
DAEMON_JSON = "etc/docker/daemon.json"
CONF = "etc/systemd/system.conf.d/DefaultEnvironment.conf"

#: Of each place: file, content, state of its finding, and a part of the text.
PLACES = {
    "daemon.json": (
        DAEMON_JSON,
        json.dumps({"proxies": {"http-proxy": OLD, "https-proxy": OLD, "no-proxy": "localhost"}}),
        "fail",
        f'"proxies" sets HTTP_PROXY to {OLD}, HTTPS_PROXY to {OLD}, another NO_PROXY for docker (23 and later)',
    ),
    "ExecStart": (
        "etc/systemd/system/docker.service.d/override.conf",
        f"[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --https-proxy {OLD}\n",
        "fail",
        f"--https-proxy in ExecStart= sets HTTPS_PROXY to {OLD} for docker (23 and later)",
    ),
    "CloudWatch agent": (
        "opt/aws/amazon-cloudwatch-agent/etc/common-config.toml",
        f'[proxy]\nhttps_proxy = "{OLD}"\n',
        "fail",
        f"[proxy] sets HTTPS_PROXY to {OLD} for the CloudWatch agent",
    ),
    "DefaultEnvironment": (
        CONF,
        f'[Manager]\nDefaultEnvironment="HTTPS_PROXY={OLD}"\n',
        "warn",
        f"DefaultEnvironment= sets HTTPS_PROXY to {OLD} for all units outside node.units",
    ),
    "profile.d": (
        "etc/profile.d/proxy.sh",
        f"export https_proxy={OLD}\n",
        "warn",
        f"sets https_proxy to {OLD} for login shells",
    ),
    "wgetrc": ("etc/wgetrc", f"https_proxy = {OLD}/\n", "warn", f"sets https_proxy to {OLD}/ for wget"),
    "sysconfig": (
        "etc/sysconfig/docker",
        f"HTTPS_PROXY={OLD}\n",
        "warn",
        f"sets HTTPS_PROXY to {OLD} for docker where its unit has no drop-in",
    ),
}
UNITS = {"daemon.json": "docker", "ExecStart": "docker", "CloudWatch agent": "amazon-cloudwatch-agent"}


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Make a node with docker's unit, and apply."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n')
    unit = b"[Service]\nEnvironmentFile=-/etc/sysconfig/docker\nExecStart=/usr/bin/dockerd -H fd:// $OPTIONS\n"
    node.write("usr/lib/systemd/system/docker.service", unit)
    assert node.main("apply").code == 0
    return node


@pytest.mark.parametrize("name", PLACES)
def test_check_names_each_place_once(node: Node, name: str) -> None:
    """What a unit of node.units uses fails; what others use is a warning.  Each has a remedy."""
    path, content, state, text = PLACES[name]
    node.write(path, content.encode())
    done = node.main("check", "--json")
    (finding,) = [finding for finding in json.loads(done.out)["findings"] if finding["state"] in ("warn", "fail")]
    assert (finding["group"], finding["name"], finding["state"]) == ("elsewhere", "/" + path, state)
    assert text in finding["text"]
    assert finding["hint"].startswith("delete ")
    assert done.code == (1 if state == "fail" else 0)


def test_check_is_ok_without_other_places(node: Node) -> None:
    """Files without a proxy are not reported."""
    node.write(DAEMON_JSON, b'{"live-restore": true}')
    node.write("etc/profile.d/lang.sh", b"export LANG=C\n")
    assert "ok    elsewhere  places: no other proxy" in node.main("check", "--only", "elsewhere").out


def test_the_agents_own_values_are_not_reported(node: Node) -> None:
    """A place may set the same values."""
    values = node.variables()
    proxies = {"http-proxy": values["HTTP_PROXY"], "https-proxy": PROXY + "/", "no-proxy": values["NO_PROXY"]}
    node.write(DAEMON_JSON, json.dumps({"proxies": proxies}).encode())
    node.write("etc/profile.d/proxy.sh", f"export http_proxy={PROXY}\nexport https_proxy=$http_proxy\n".encode())
    assert "warn" not in node.main("check", "--only", "elsewhere").out
    assert node.main("plan").err.count("warning") == 0
    assert "profile.d" not in node.main("explain", "example.com", facts=False).err


@pytest.mark.parametrize("name", UNITS)
def test_plan_and_apply_say_what_a_unit_uses_instead(node: Node, name: str) -> None:
    """They name the values, what to delete, and the command that follows; status does too."""
    path, content, _, text = PLACES[name]
    node.write(path, content.encode())
    for command in ("plan", "apply"):
        done = node.main(command)
        assert done.code == 0
        assert f"warning: /{path}: {text}" in done.err
        assert f"from /{path}; " in done.err
        assert f"systemctl restart {UNITS[name]}.service" in done.err
    assert text in "\n".join(json.loads(node.main("status", "--json").out)["warnings"])


def test_options_of_the_environment_file_count(node: Node) -> None:
    """The unit of Amazon Linux has $OPTIONS on its command line."""
    node.write("etc/sysconfig/docker", f'OPTIONS="--http-proxy={OLD}"\n'.encode())
    assert f"/etc/sysconfig/docker: --http-proxy in OPTIONS sets HTTP_PROXY to {OLD}" in node.main("plan").err
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n[node]\nunits = ["kubelet"]\n')
    assert "OPTIONS" not in node.main("plan").err


@pytest.mark.parametrize("name", PLACES)
def test_explain_names_each_place(node: Node, name: str) -> None:
    """It explains the agent's values, and notes for which programs another proxy counts."""
    path, content, _, text = PLACES[name]
    node.write(path, content.encode())
    done = node.main("explain", "example.com", facts=False)
    assert done.code == 0
    assert f"note: /{path}: {text}" in done.err
    for unit in ("docker", "amazon-cloudwatch-agent"):
        noted = "note: /" + path in node.main("explain", "x", "--unit", unit, facts=False).err
        assert noted == (unit == UNITS.get(name))
    assert path not in node.main("explain", "x", "--no-proxy", "a", facts=False).err


def test_clean_takes_the_proxy_out_of_systemd(node: Node) -> None:
    """The image's other variables stay; revert of another instance restores nothing."""
    node.write(CONF, f'[Manager]\nDefaultEnvironment="HTTPS_PROXY={OLD}" LANG=C\n'.encode())
    node.write("etc/systemd/system.conf", b"[Manager]\n#LogLevel=info\nDefaultEnvironment=no_proxy=a\n")
    node.write("usr/lib/systemd/system.conf.d/x.conf", b"[Manager]\nDefaultEnvironment=FOO=1\n")
    done = node.main("clean")
    assert done.code == 0
    assert f"changed /{CONF}\n" in done.out
    assert node.read(CONF) == "[Manager]\nDefaultEnvironment=LANG=C\n"
    assert node.read("etc/systemd/system.conf") == "[Manager]\n#LogLevel=info\n"
    assert node.main("revert").out == "nothing to do: the agent has not changed any file\n"


def test_passwords_of_other_places_are_masked(node: Node) -> None:
    """No output has them."""
    secret = "http://me:hunter2@old.example.test:1"
    node.write(DAEMON_JSON, json.dumps({"proxies": {"http-proxy": secret}}).encode())
    node.write("etc/profile.d/proxy.sh", f"export http_proxy={secret}\n".encode())
    for command in ("plan", "apply", "check", "status"):
        assert "hunter2" not in node.main(command).both
    assert "hunter2" not in node.main("explain", "x", facts=False).both
