"""Settings end to end: order of layers, kept flags, `config show` and `config check`."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agent.commands import config as config_command
from agent.core.facts.instance import Facts, facts_from_json
from agent.core.record import evolve, fields_dict
from agent.core.settings.layers import merge, parse_toml
from agent.core.settings.schema import SECTIONS
from agent.demo.instance import Instance
from agent.demo.metadata_service import MetadataService
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.node.host import Host
from agent.node.sources import SettingsSources, static_settings
from tests.integration.command_line import FACTS, PROXY, Node

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OTHER = "i-00000000000000000"
KEPT = "var/lib/eks-proxy-agent/instances/{}/kept.json".format(FACTS["instance_id"])


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node whose settings name a proxy."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n')
    return node


def user_data(*parts: str) -> str:
    """Return user data with a MIME part for each text, after a shell script."""
    script = "Content-Type: text/x-shellscript\n\n#!/bin/sh\nexit 0\n"
    ours = ["Content-Type: application/x-eks-proxy-agent\n\n" + part for part in parts]
    body = "".join(f"--b\n{part}\n" for part in [script, *ours])
    text = f'Content-Type: multipart/mixed; boundary="b"\nMIME-Version: 1.0\n\n{body}--b--\n'
    return base64.b64encode(text.encode()).decode()


def shown(node: Node, *flags: str) -> dict[str, Any]:
    """Return `config show --json` as section.key → (value, layer)."""
    done = node.main("config show", "--json", *flags)
    assert done.code == 0, done.err
    return {"{}.{}".format(row["section"], row["key"]): (row["value"], row["layer"]) for row in json.loads(done.out)}


# --- layers


def test_all_layers_in_their_order(node: Node) -> None:
    """defaults < config.toml < config.d by name < parts of user data < kept flags < flags."""

    def table(layer: str, keys: str) -> str:
        return "[signal]\n" + "".join(f'{key} = "/{layer}"\n' for key in keys.split())

    node.settings(table("config.toml", "stack resource command"))
    node.settings("ignored", "config.d/.hidden.toml")
    node.settings("ignored", "config.d/readme.txt")
    node.settings(table("20-b", "resource command"), "config.d/20-b.toml")
    node.settings(table("10-a", "stack resource"), "config.d/10-a.toml")
    values = shown(node)
    assert values["signal.stack"] == ("/10-a", "/etc/eks-proxy-agent/config.d/10-a.toml")
    assert values["signal.resource"] == ("/20-b", "/etc/eks-proxy-agent/config.d/20-b.toml")
    assert values["signal.region"] == ("", "default")
    node.be(user_data_base64=user_data(table("part 1", "resource command"), table("part 2", "command")))
    values = shown(node)
    assert values["signal.resource"] == ("/part 1", "user data, part 1")
    assert values["signal.command"] == ("/part 2", "user data, part 2")
    assert node.main("apply", "--set", 'signal.command="/kept"', "--set", 'signal.resource="/kept"').code == 0
    values = shown(node, "--set", "signal.resource=/flags")
    assert values["signal.command"] == ("/kept", "flags kept by apply")
    assert values["signal.resource"] == ("/flags", "flags")


def test_a_list_replaces_a_list(node: Node) -> None:
    """proxy.no_proxy of a later layer replaces the operator's entries of earlier layers."""
    node.settings(f'[proxy]\nurl = "{PROXY}"\nno_proxy = ["one.corp"]\n')
    node.main("apply", "--set", 'proxy.no_proxy=["two.corp"]')
    assert "two.corp" in node.no_proxy()
    assert "one.corp" not in node.no_proxy()


def test_settings_only_in_user_data(tmp_path: Path) -> None:
    """A MIME part alone or with a shell script configures a node."""
    node = Node(tmp_path)
    with MetadataService() as service:
        node.settings(f'[metadata]\nendpoint = "{service.endpoint}"\n')
        for data in (
            base64.b64decode(user_data('[proxy]\nurl = "http://from-user-data:1"\n')),
            b'Content-Type: application/x-eks-proxy-agent\n\n[proxy]\nurl = "http://from-user-data:2"\n',
        ):
            service.instance = Instance(user_data=data)
            assert node.main("apply", facts=False).code == 0
            assert node.variables()["http_proxy"].startswith("http://from-user-data:")
        assert node.variables()["http_proxy"] == "http://from-user-data:2"


def test_user_data_cannot_move_the_metadata_service(node: Node) -> None:
    """metadata.* in user data is refused with its line, and nothing is written."""
    node.be(user_data_base64=user_data('[metadata]\nendpoint = "http://10.0.0.1"\n'))
    before = node.tree()
    done = node.main("apply")
    assert (done.code, done.out) == (78, "")
    assert "user data, line 1: metadata: not allowed in user data" in done.err
    assert node.tree() == before


def test_config_replaces_the_baked_files(node: Node, tmp_path: Path) -> None:
    """With --config only that file is read, and neither config.toml nor config.d."""
    node.settings("[proxy]\nurl = 1\n")
    node.settings("not toml", "config.d/50.toml")
    other = tmp_path / "other.toml"
    other.write_text('[proxy]\nurl = "http://other:1"\n')
    assert node.main("apply", "--config", str(other)).code == 0
    assert node.variables()["http_proxy"] == "http://other:1"


def test_the_metadata_service_is_reached_without_a_proxy(node: Node) -> None:
    """Proxy variables in the agent's environment do not apply to the metadata service."""
    nowhere = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    with MetadataService() as service:
        flags = ["--set", "metadata.endpoint=" + service.endpoint]
        done = node.run("apply", *flags, facts=False, env={**nowhere, "no_proxy": "", "REQUEST_METHOD": "GET"})
    assert (done.code, done.err) == (0, "")
    assert node.variables()["http_proxy"] == PROXY


# --- kept flags


def test_flags_are_kept_for_this_instance(tmp_path: Path) -> None:
    """A reconcile without flags uses the kept ones; later flags override them."""
    node = Node(tmp_path)
    node.main("apply", "--proxy", PROXY, "--set", 'proxy.no_proxy=["one.corp"]')
    again = node.main("apply")
    assert again.out == "nothing to do: the node is as planned\n"
    node.main("apply", "--set", 'proxy.no_proxy=["two.corp"]')
    assert node.kept() == {"proxy": {"url": PROXY, "no_proxy": ["two.corp"]}}
    assert node.variables()["http_proxy"] == PROXY
    assert "two.corp" in node.no_proxy()


OVERRULED = (
    "warning: proxy.url of /etc/eks-proxy-agent/config.toml, line 2, is overruled by a flag kept by apply on {}; "
    "to drop it: eks-proxy-agent apply --forget proxy.url\n"
)


def today() -> str:
    """Return the date of this moment, as the agent writes it."""
    return time.strftime("%Y-%m-%d", time.gmtime())


@pytest.mark.parametrize("command", ["plan", "apply", "config check", "check --only settings", "status"])
def test_a_kept_flag_that_overrules_a_file_is_named(node: Node, command: str) -> None:
    """Every command that judges the settings names the key, its place, the date, and the remedy."""
    node.settings('[proxy]\nurl = "http://of-the-file:1"\n')
    node.main("apply", "--proxy", PROXY)
    done = node.main(command)
    assert OVERRULED.format(today())[len("warning: ") : -1].partition("; ")[0] in done.both
    assert "apply --forget proxy.url" in done.both


def test_a_kept_flag_with_the_value_of_the_file_is_not_named(node: Node) -> None:
    """Nor is one that another flag of this command overrides."""
    node.settings(f'[proxy]\nurl = "{PROXY}"\n')
    node.main("apply", "--proxy", PROXY)
    assert node.main("plan").err.count("overruled") == 0
    node.settings('[proxy]\nurl = "http://of-the-file:1"\n')
    assert node.main("plan").err.count("overruled") == 1
    assert node.main("plan", "--proxy", "http://other:1").err.count("overruled") == 0


def test_flag_of_an_earlier_version_has_no_date(node: Node) -> None:
    """Versions before did not keep dates; nor does a corrupt file of them stop anything."""
    node.settings('[proxy]\nurl = "http://of-the-file:1"\n')
    node.main("apply", "--proxy", PROXY)
    (node.root / KEPT).unlink()
    assert OVERRULED.format("X").replace("on X", "(date unknown)") in node.main("plan").err
    node.write(KEPT, b"{", 0o600)
    assert OVERRULED.format("X").replace("on X", "(date unknown)") in node.main("apply").err


def test_a_kept_flag_that_overrules_nothing_hides_no_other(node: Node) -> None:
    """Nor does one of metadata.*, which is not kept."""
    node.settings('[proxy]\nurl = "http://of-the-file:1"\n[metadata]\ndeadline = 9\n')
    flags = ("--set", "metadata.deadline=5", "--set", "node.yum=false", "--set", f"proxy.url='{PROXY}'")
    for warnings in (node.main("apply", *flags).err, node.main("plan").err):
        assert OVERRULED.format(today()) in warnings
        assert warnings.count("overruled") == 1


def test_forget_drops_kept_flags(node: Node) -> None:
    """The file counts again in the same run; other kept flags stay."""
    node.settings('[proxy]\nurl = "http://of-the-file:1"\n')
    node.main("apply", "--proxy", PROXY, "--set", "proxy.no_proxy=['one.corp']", "--set", "node.yum=false")
    done = node.main("apply", "--forget", "proxy.url")
    assert done.out.startswith("dropped the kept flag proxy.url\nchanged ")
    assert done.err == ""
    assert node.variables()["http_proxy"] == "http://of-the-file:1"
    assert node.kept() == {"proxy": {"no_proxy": ["one.corp"]}, "node": {"yum": False}}
    node.main("apply", "--forget", "all")
    assert node.kept() == {}
    assert "one.corp" not in node.no_proxy()
    assert node.main("apply", "--forget", "all").out == "nothing to do: the node is as planned\n"


def test_forget_of_a_flag_that_is_not_kept_is_wrong_usage(node: Node) -> None:
    """The error lists what is kept, and nothing is dropped."""
    node.main("apply", "--proxy", PROXY)
    done = node.main("apply", "--forget", "proxy.url", "--forget", "node.yum")
    assert done.code == 2
    assert done.err == "eks-proxy-agent: --forget node.yum: not kept (kept flags: proxy.url)\n"
    assert node.kept() == {"proxy": {"url": PROXY}}


def test_once_keeps_nothing(node: Node) -> None:
    """`apply --once` applies its flags, and the next reconcile reverts that."""
    node.main("apply", "--once", "--set", 'proxy.no_proxy=["one.corp"]')
    assert "one.corp" in node.no_proxy()
    assert node.kept() is None
    node.main("apply")
    assert "one.corp" not in node.no_proxy()


def test_flags_of_another_instance_do_not_count(tmp_path: Path) -> None:
    """An image of a configured node has that node's flags; other instances ignore them."""
    node = Node(tmp_path)
    node.main("apply", "--proxy", "http://of-the-builder:1")
    node.be(instance_id=OTHER)
    done = node.main("apply")
    assert done.code == 0
    assert "unconfigured" in done.err
    assert "http_proxy" not in node.variables()
    node.main("apply", "--proxy", "http://of-the-other:1")
    node.be()
    node.main("apply")
    assert node.variables()["http_proxy"] == "http://of-the-builder:1"
    assert node.kept(OTHER) == {"proxy": {"url": "http://of-the-other:1"}}


def test_metadata_flags_are_not_kept(tmp_path: Path) -> None:
    """metadata.* is needed before the instance is known, so it is applied but not kept."""
    node = Node(tmp_path)
    with MetadataService() as service:
        flags = ["--set", "metadata.endpoint=" + service.endpoint, "--set", "metadata.deadline=5"]
        assert node.main("apply", "--proxy", PROXY, *flags, facts=False).code == 0
        assert node.kept(service.instance.instance_id) == {"proxy": {"url": PROXY}}


def test_plan_keeps_nothing(node: Node) -> None:
    """Flags of `plan` apply to this plan only."""
    node.main("plan", "--set", "node.yum=false")
    assert node.kept() is None


def test_wrong_flags_are_not_kept(node: Node) -> None:
    """A refused flag is not kept."""
    node.main("apply", "--set", "node.yum=false")
    assert node.main("apply", "--set", "node.yum=maybe").code == 78
    assert node.kept() == {"node": {"yum": False}}


def test_a_wrong_kept_flag_is_an_error(node: Node) -> None:
    """A flag that an earlier version kept and this one refuses is an error that names its layer."""
    node.write(
        "var/lib/eks-proxy-agent/instances/{}/flags.json".format(FACTS["instance_id"]), b'{"node": {"yum": "x"}}', 0o600
    )
    done = node.main("apply")
    assert done.code == 78
    assert 'flags kept by apply: node.yum: expected a boolean, got the string "x" (allowed: true or false)' in done.err


# --- config show


def test_show_lists_every_setting(node: Node) -> None:
    """Text and JSON have all keys of all sections, each with its layer."""
    rows = shown(node)
    assert list(rows) == [f"{section}.{key}" for section, cls in SECTIONS.items() for key in _keys(cls)]
    assert rows["proxy.url"] == ([PROXY], "/etc/eks-proxy-agent/config.toml")
    assert rows["aws.direct"] == ("auto", "default")
    screen = node.main("config show").out
    assert screen.count("\n[") + 1 == len(SECTIONS)
    assert "# /etc/eks-proxy-agent/config.toml\n" in screen


def _keys(cls: Any) -> Any:
    return list(fields_dict(cls))


def test_the_output_is_a_settings_file(node: Node, tmp_path: Path) -> None:
    """The text output of `config show` is a config.toml with the same effective settings."""
    flags = [
        "proxy.no_proxy=[\"a.corp:80\", \"fd00::1\", \"10.0.0.0/8\"]",
        "proxy.https_url=http://[fd00::2]:3128",
        "cluster.endpoint=https://[fd00::3]:443",
        "vpc.cidrs=[\"10.1.0.0/16\"]",
        "node.units=[\"docker\", \"my@app\"]",
        "node.yum=false",
        "metadata.deadline=7.5",
        'bootstrap.arguments=["a b", "\\"quoted\\"", "back\\\\slash", "ü", ""]',
        "failure.policy=closed",
    ]  # fmt: skip
    words = [word for flag in flags for word in ("--set", flag)]
    text = node.main("config show", *words).out
    again = merge([parse_toml("shown", text.encode())]).settings
    direct = {"{}.{}".format(*key): value for key, (value, _) in _by_key(shown(node, *words)).items()}
    copy = tmp_path / "copy.toml"
    copy.write_text(text)
    assert {name: value for name, (value, _) in shown(node, "--config", str(copy)).items()} == direct
    assert again.metadata.deadline == 7.5
    assert again.bootstrap.arguments == ("a b", '"quoted"', "back\\slash", "ü", "")
    assert tomllib.loads(text)["failure"]["policy"] == "closed"


def _by_key(rows: dict[str, Any]) -> dict[Any, Any]:
    return {tuple(name.split(".")): row for name, row in rows.items()}


# --- config check


def test_check_reports_all_problems_of_all_files(node: Node) -> None:
    """One run reports every mistake of every layer, each with its file and line."""
    node.settings('[proxy]\nurl = "proxy:3128"\nurll = ""\n')
    node.settings('[node]\nyum = "no"\nunits = ["../x", "docker", "a/b"]\n', "config.d/50.toml")
    done = node.main("config check", "--set", "failure.policy=shut")
    assert (done.code, done.out) == (78, "")
    starts = [line[len("eks-proxy-agent: ") :].partition(" (allowed: ")[0] for line in done.err.splitlines()]
    assert starts == [
        '/etc/eks-proxy-agent/config.toml, line 2: proxy.url: "proxy:3128" has no scheme; write http://proxy:3128',
        "/etc/eks-proxy-agent/config.toml, line 3: proxy.urll: unknown key; did you mean proxy.url?",
        '/etc/eks-proxy-agent/config.d/50.toml, line 2: node.yum: expected a boolean, got the string "no"',
        '/etc/eks-proxy-agent/config.d/50.toml, line 3: node.units: "../x" is not a unit name; "a/b" is not a unit name',
        'flags: failure.policy: unknown value "shut"',
    ]  # fmt: skip


def test_check_reports_syntax_errors_of_all_files(node: Node) -> None:
    """Invalid TOML in two files is reported for both, with line and column."""
    node.settings("[proxy\n")
    node.settings("[node]\nyum = yes\n", "config.d/50.toml")
    done = node.main("config check")
    assert done.code == 78
    assert "/etc/eks-proxy-agent/config.toml: invalid TOML: " in done.err
    assert "(at line 1, column 7)" in done.err
    assert "/etc/eks-proxy-agent/config.d/50.toml: invalid TOML: " in done.err
    assert "(at line 2, column 7)" in done.err


def test_check_reports_syntax_errors_and_wrong_values_together(node: Node) -> None:
    """Invalid TOML in a file does not hide the mistakes in the next one, nor those in the flags."""
    node.settings("[proxy\n")
    node.settings('[node]\nyum = "no"\n', "config.d/50.toml")
    done = node.main("config check", "--set", "failure.policy=shut")
    assert (done.code, done.out) == (78, "")
    assert "/etc/eks-proxy-agent/config.toml: invalid TOML: " in done.err
    assert (
        '/etc/eks-proxy-agent/config.d/50.toml, line 2: node.yum: expected a boolean, got the string "no"' in done.err
    )
    assert 'flags: failure.policy: unknown value "shut"' in done.err


@pytest.mark.parametrize(
    ("settings", "verdict"),
    [
        (f'[proxy]\nurl = "{PROXY}"\n', "the settings are valid\n"),
        ("", "the settings are valid; without proxy.url nothing is configured\n"),
    ],
)
def test_check_accepts_valid_settings(node: Node, settings: str, verdict: str) -> None:
    """With valid settings, check prints one line, exits with 0 and changes nothing."""
    node.settings(settings)
    before = node.tree()
    done = node.main("config check")
    assert (done.code, done.out, done.err) == (0, verdict, "")
    assert node.tree() == before


def test_files_that_are_not_read_are_reported(node: Node) -> None:
    """config.d/10-proxy.conf has a warning in plan, apply, status and config check, until it is
    renamed.
    """
    node.settings("[node]\nyum = false", "config.d/10-proxy.conf")
    node.settings("[node]\nyum = false", "config.d/20-node.toml~")
    warning = "/etc/eks-proxy-agent/config.d/10-proxy.conf: not read; only *.toml is read; rename it"
    done = node.main("config check")
    assert (done.code, done.err) == (0, f"warning: {warning}\n")
    assert f"warning: {warning}" in node.main("plan").err
    assert f"warning: {warning}" in node.main("apply").err
    assert json.loads(node.main("status", "--json").out)["warnings"] == [warning]
    assert f"warning    {warning}\n" in node.main("status").out
    (node.root / "etc/eks-proxy-agent/config.d/10-proxy.conf").rename(
        node.root / "etc/eks-proxy-agent/config.d/10-proxy.toml"
    )
    assert "not read" not in node.main("plan").err
    assert shown(node)["node.yum"] == (False, "/etc/eks-proxy-agent/config.d/10-proxy.toml")


def test_unconfigured_node_reports_files_that_are_not_read(tmp_path: Path) -> None:
    """It is most important where nothing else is configured."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n', "config.d/proxy.yaml")
    done = node.main("plan")
    assert "unconfigured" in done.err
    assert "config.d/proxy.yaml: not read; only *.toml is read; rename it" in done.err


def test_check_reads_user_data(node: Node) -> None:
    """Mistakes in a part of user data are reported with the line in the part."""
    node.be(user_data_base64=user_data('\n[proxy]\nurl = "x"\n'))
    done = node.main("config check")
    assert done.code == 78
    assert 'user data, line 3: proxy.url: "x" has no scheme' in done.err


def test_check_reports_all_unusable_files(node: Node) -> None:
    """Credentials, CA and NodeConfig are all read, and their errors are reported together."""
    node.settings(
        f'[proxy]\nurl = "{PROXY}"\ncredentials_file = "/etc/absent"\n[node]\nca_bundle = "/etc/absent.pem"\n'
    )
    node.write("etc/eks/nodeadm.d/10.yaml", b"kind: NodeConfig\nspec: {cluster: {cidr: nonsense}}\n")
    done = node.main("config check")
    assert (done.code, done.out) == (1, "")
    assert "proxy.credentials_file: /etc/absent: no such file" in done.err
    assert "node.ca_bundle: /etc/absent.pem: no such file" in done.err
    assert 'NodeConfig: service CIDR: "nonsense" is not a CIDR' in done.err
    assert "hint: correct it there" in done.err


def test_check_and_plan_lint_the_entries_of_the_operator(node: Node) -> None:
    """An entry that clients read differently is a warning; a CIDR, with no better form, is not."""
    node.settings(f'[proxy]\nurl = "{PROXY}"\nno_proxy = [".corp.example.com", "10.1.0.0/16"]\n')
    warnings = [line for line in node.main("config check").err.splitlines() if line.startswith("warning: ")]
    assert warnings == [
        (
            "warning: proxy.no_proxy: .corp.example.com (owner): corp.example.com itself uses the proxy in Go, wget; "
            "write corp.example.com, which also covers its subdomains"
        )
    ]
    assert [line for line in node.main("plan").err.splitlines() if line.startswith("warning: ")] == warnings


def test_check_lints_without_facts(node: Node, tmp_path: Path) -> None:
    """On a machine that is not an instance, the entries of the settings alone are checked."""
    copy = tmp_path / "copy.toml"
    copy.write_text(f'[proxy]\nurl = "{PROXY}"\nno_proxy = ["com"]\n')
    done = node.main("config check", "--config", str(copy), facts=False)
    assert (done.code, done.out) == (0, "the settings are valid\n")
    assert "warning: proxy.no_proxy: com (owner): it exempts every host below .com" in done.err


def test_plan_names_what_was_not_probed(node: Node) -> None:
    """With --facts nothing is probed; plan names the settings that are still "auto"."""
    note = (
        'note: aws.direct: "auto" is probed only on the instance, so the list may differ there; set explicit values\n'
    )
    assert node.main("plan").err == note
    both = note.replace("aws.direct", "aws.direct and cluster.endpoint_access")
    assert node.main("plan", "--set", "cluster.endpoint=https://api.corp").err == both
    assert node.main("plan", "--set", "aws.direct=[]").err == ""


@pytest.mark.parametrize(
    ("is_live", "config", "facts", "is_asked"),
    [
        (True, "", "", True),
        (True, "c", "", False),
        (True, "c", "f", True),
        (False, "", "", False),
        (False, "", "f", True),
    ],
)
def test_which_config_needs_the_facts(
    node: Node, monkeypatch: pytest.MonkeyPatch, is_live: bool, config: str, facts: str, is_asked: bool
) -> None:
    """User data counts on the instance, or with --facts; a file of --config stands for itself."""

    class Tree(FileSystem):
        live = is_live  # type: ignore[assignment]

    def facts_of(static: object) -> Facts:
        asked.append(static)
        return facts_from_json(json.dumps(FACTS))

    asked: list[object] = []
    monkeypatch.setattr(config_command, "facts_of", facts_of)
    files = Tree(str(node.root))
    host = Host(files, State(files), Systemd(running=False))
    static = static_settings(files, SettingsSources())
    static = evolve(static, sources=SettingsSources(config=config, facts=facts))
    found = config_command._all_layers(host, static)[1]
    assert (len(asked), found is not None) == (is_asked, is_asked)
