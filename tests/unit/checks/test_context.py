"""The state that the checks share: from a tree, the metadata service and status.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agent.checks import context
from agent.checks.context import NEEDS_ROOT, UNCONFIGURED, CheckedNode, inspect_node
from agent.core.facts.instance import Facts, facts_from_json
from agent.core.record import evolve
from agent.edges.files import FileSystem
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.errors import FileError, MetadataError, SettingsError
from agent.node.budget import Budget
from agent.node.host import Host
from agent.node.reachability import Reachability
from agent.node.sources import SettingsSources, StaticSettings

PROXY = "http://proxy.example.com:3128"
ID = "i-0123456789abcdef0"
FACTS: dict[str, Any] = {"instance_id": ID, "region": "eu-central-1", "vpc_cidrs_v4": ["10.42.0.0/16"]}
SETTINGS = f'[proxy]\nurl = "{PROXY}"\n[aws]\ndirect = []\n'
NO_PROXY = [{"entry": "10.42.0.0/16", "reason": "vpc"}]


def of(facts: dict[str, Any]) -> Any:
    """Return facts."""
    return facts_from_json(json.dumps(facts))


class Live(FileSystem):
    """A tree that passes for that of the running machine."""

    live = True  # type: ignore[assignment]


class Node:
    """A machine in a directory, whose metadata service gives `facts` or raises them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.facts, self.deadlines = root, of(FACTS), list[float]()
        self.host = Host(Live(str(root)), State(Live(str(root))), Systemd(running=False))
        self.write("etc/eks-proxy-agent/config.toml", SETTINGS)
        monkeypatch.setattr(context, "facts_of", self._facts_of)
        monkeypatch.setattr(context, "probe_directly", lambda state, inputs: Reachability({}))

    def _facts_of(self, static: StaticSettings, budget: Budget) -> Facts:
        self.deadlines.append(budget.remaining())
        if isinstance(self.facts, Exception):
            raise self.facts
        assert isinstance(self.facts, Facts)
        return self.facts

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file below the root."""
        real = self.root / path
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text)
        real.chmod(mode)

    def remember(self, **facts: Any) -> None:
        """Write the facts of the last reconcile, and a status.json that names the instance."""
        self.write(f"var/lib/eks-proxy-agent/instances/{ID}/facts.json", json.dumps({**FACTS, **facts}))
        self.status(instance_id=ID)

    def status(self, **values: Any) -> None:
        """Write status.json."""
        self.write("run/eks-proxy-agent/status.json", json.dumps({"schema": 1, "phase": "configured", **values}))

    def inspect(self, **sources: Any) -> CheckedNode:
        """Read the state."""
        return inspect_node(self.host, SettingsSources(**sources))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A configured machine."""
    return Node(tmp_path, monkeypatch)


def test_a_configured_node(node: Node) -> None:
    """Everything is known: settings, facts, Intent; nothing is skipped."""
    found = node.inspect()
    assert (found.skip_reason, found.settings_error, found.metadata_error) == ("", None, None)
    assert (found.facts, found.status, found.is_live, found.is_from_status) == (node.facts, None, True, False)
    assert str(found.intent.http_proxy) == str(found.settings.proxy.url[0]) == PROXY
    assert found.current is found.reconciled is found.resolved
    assert found.layered is found.resolved.inputs.layered
    assert 0 <= found.metadata_seconds < 60


@pytest.mark.parametrize(("deadline", "limit"), [("", 10.0), ("deadline = 3", 3.0), ("deadline = 600", 10.0)])
def test_the_metadata_service_gets_limited_time(
    node: Node, monkeypatch: pytest.MonkeyPatch, deadline: str, limit: float
) -> None:
    """A person waits: the limit is that of commands, or a shorter one of the settings."""
    monkeypatch.setattr(context, "COMMAND_DEADLINE", 10.0)
    node.write("etc/eks-proxy-agent/config.toml", f"{SETTINGS}[metadata]\n{deadline}\n")
    node.inspect()
    assert limit - 5 < node.deadlines[0] <= limit


def test_an_unconfigured_node(node: Node) -> None:
    """Without a proxy there are settings, but no Intent; the reason says so."""
    node.write("etc/eks-proxy-agent/config.toml", "")
    found = node.inspect()
    assert found.skip_reason == UNCONFIGURED
    assert found.settings.proxy.url == ()
    with pytest.raises(LookupError, match="unconfigured"):
        _ = found.intent


@pytest.mark.parametrize("text", ["[proxy\n", "[proxy]\nurl = 1\n", '[failure]\npolicy = "closed"\n'])
def test_invalid_settings(node: Node, text: str) -> None:
    """The error is kept, and what requires settings is skipped for it."""
    node.write("etc/eks-proxy-agent/config.toml", text)
    found = node.inspect()
    assert isinstance(found.settings_error, SettingsError)
    assert found.skip_reason == "requires valid settings (see settings)"
    assert found.reconciled is None
    with pytest.raises(LookupError, match="requires valid settings"):
        _ = found.settings


def test_invalid_settings_of_user_data(node: Node) -> None:
    """They are known only with the facts."""
    node.facts = evolve(node.facts, user_data=b"Content-Type: application/x-eks-proxy-agent\n\n[nonsense]\n")
    assert "nonsense" in str(node.inspect().settings_error)


def test_without_metadata_the_facts_of_the_last_reconcile_count(node: Node) -> None:
    """The error is kept for its own check, and the others run."""
    node.remember()
    node.facts = MetadataError("down")
    found = node.inspect()
    assert (str(found.metadata_error), found.facts, found.skip_reason) == ("down", None, "")
    assert found.resolved.facts.vpc_cidrs_v4 == ("10.42.0.0/16",)


@pytest.mark.parametrize("case", ["no facts", "another root", "facts of a file", "a corrupt file", "no instance-id"])
def test_without_any_facts_there_is_no_intent(node: Node, case: str) -> None:
    """The reason names the metadata service; a tree and a file of facts have no last reconcile."""
    node.remember()
    if case == "no facts":
        (node.root / f"var/lib/eks-proxy-agent/instances/{ID}/facts.json").unlink()
    elif case == "a corrupt file":
        node.write(f"var/lib/eks-proxy-agent/instances/{ID}/facts.json", "{")
    elif case == "no instance-id":
        node.status()
    elif case == "another root":
        files = FileSystem(str(node.root))
        node.host = Host(files, State(files), Systemd(running=False))
    node.facts = MetadataError("down")
    found = node.inspect(facts="/facts.json") if case == "facts of a file" else node.inspect()
    assert found.skip_reason == "requires the metadata service (see metadata)"
    assert (found.reconciled, found.current, str(found.metadata_error)) == (None, None, "down")
    assert found.layered is not None


def test_an_error_of_the_facts_file_is_not_one_of_the_settings(node: Node) -> None:
    """With --facts it is that of the file; without, only a MetadataError is that of the service."""
    node.facts = FileError("wrong")
    assert str(node.inspect(facts="/facts.json").metadata_error) == "wrong"
    found = node.inspect()
    assert (str(found.settings_error), found.metadata_error) == ("wrong", None)


def test_a_cidr_that_was_added_since_the_last_reconcile(node: Node) -> None:
    """Files and processes are judged by the list of the last reconcile, NO_PROXY by that of now."""
    node.remember(vpc_cidrs_v6=["2600:1f16:67f:f200::/56"])
    node.facts = evolve(of(FACTS), vpc_cidrs_v4=("10.42.0.0/16", "10.43.0.0/16"))
    found = node.inspect()
    assert found.current
    assert found.current.facts.vpc_cidrs_v4 == ("10.42.0.0/16", "10.43.0.0/16")
    assert found.resolved.facts.vpc_cidrs_v4 == ("10.42.0.0/16",)
    assert found.resolved.facts.vpc_cidrs_v6 == ("2600:1f16:67f:f200::/56",)


@pytest.mark.parametrize(
    ("facts", "remembered"),
    [
        (FACTS, {"vpc_cidrs_v4": ["10.42.0.0/16", "10.43.0.0/16"]}),  # removed since
        ({**FACTS, "vpc_cidrs_v4": ["10.9.0.0/16"]}, {"instance_id": "i-00000000000000001"}),  # an image
    ],
)
def test_otherwise_the_facts_of_now_count(node: Node, facts: dict[str, Any], remembered: dict[str, Any]) -> None:
    """A CIDR that was removed stays in the files until the next reconcile, which is drift."""
    node.remember(**remembered)
    node.facts = of(facts)
    found = node.inspect()
    assert found.current is found.reconciled
    assert found.resolved.facts == node.facts


def test_a_corrupt_status_is_as_good_as_none(node: Node) -> None:
    """It is reported elsewhere."""
    node.write("run/eks-proxy-agent/status.json", "{")
    found = node.inspect()
    assert (found.status, found.skip_reason) == (None, "")


# --- without root


@pytest.fixture
def user(node: Node, monkeypatch: pytest.MonkeyPatch) -> Node:
    """The same machine for another user, who may not read the credentials."""
    node.write("etc/eks-proxy-agent/config.toml", SETTINGS + '[cluster]\nname = "c"\n')
    node.status(instance_id=ID, proxy={"http": PROXY, "https": PROXY}, no_proxy=NO_PROXY)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    def refuse(*_: object) -> None:
        raise FileError("/etc/proxy.pass: cannot be read: Permission denied")

    monkeypatch.setattr(context, "load_inputs", refuse)
    return node


def test_without_root_the_intent_is_that_of_status_json(user: Node) -> None:
    """It has no credentials; the settings are those of the files."""
    found = user.inspect()
    assert (found.is_from_status, found.skip_reason, found.settings_error) == (True, "", None)
    assert [entry.value for entry in found.intent.no_proxy] == ["10.42.0.0/16"]
    assert (str(found.intent.http_proxy), found.intent.credentials) == (PROXY, None)
    assert found.settings.cluster.name == "c"
    assert found.current is found.reconciled


@pytest.mark.parametrize(
    "status", [None, {"instance_id": ID}, {"instance_id": "i-1", "proxy": {"http": PROXY, "https": PROXY}}]
)
def test_without_root_and_status_everything_is_skipped(user: Node, status: dict[str, Any] | None) -> None:
    """There is none, or one without a proxy, or that of the instance an image was made of."""
    (user.root / "run/eks-proxy-agent/status.json").unlink()
    if status:
        user.status(**status)
    found = user.inspect()
    assert (found.skip_reason, found.reconciled, found.is_from_status) == (NEEDS_ROOT, None, False)
    assert found.settings_error is None


def test_without_root_unreadable_settings_are_skipped(user: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not an error of the settings; root may have none."""

    def refuse(*_: object) -> None:
        raise FileError("/etc/eks-proxy-agent/config.toml: cannot be read: Permission denied")

    monkeypatch.setattr(context, "static_settings", refuse)
    found = user.inspect()
    assert (found.skip_reason, found.settings_error, found.layered) == (NEEDS_ROOT, None, None)


def test_without_root_a_broken_node_config_leaves_the_list(user: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster is then unknown."""

    def fail(*_: object) -> None:
        raise FileError("broken")

    monkeypatch.setattr(context, "cluster_info", fail)
    found = user.inspect()
    assert found.is_from_status
    assert found.resolved.inputs.cluster_info.endpoint in (None, "")


@pytest.mark.parametrize(
    ("uid", "text", "is_denied"),
    [
        (1000, "cannot be read: Permission denied", True),
        (1000, "cannot be read: Operation not permitted", True),
        (1000, "cannot be read: Input/output error", False),
        (0, "cannot be read: Permission denied", False),
    ],
)
def test_a_missing_permission(monkeypatch: pytest.MonkeyPatch, uid: int, text: str, is_denied: bool) -> None:
    """Only what root would be allowed; for root it is an error like any other."""
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert context.is_denied(text) is is_denied
    assert context.is_root() is (uid == 0)
    expected = NEEDS_ROOT if is_denied else text
    assert context.error_summary(FileError(text + ("" if is_denied else "\nmore"))) == expected
    assert context.error_summary(MetadataError(text)) == text
