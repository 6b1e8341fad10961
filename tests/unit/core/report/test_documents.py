"""JSON documents of the support report: command lines, digests and originals are not in it."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from agent.core.facts.instance import Facts
from agent.core.plan.drift import Memory
from agent.core.record import fields_dict
from agent.core.report import documents
from agent.core.status.document import _KEYS
from agent.core.status.proxy_memory import ProxyMemory
from agent.core.status.records import BootstrapStatus
from agent.edges.state import BASELINE, INSTANCES, PREPARED, PROXIES, STATUS, WATCH
from agent.edges.state_files import _READERS, TABLES

SECRET = "hunter2"
#: All files that the agent writes as JSON.
STATE = (
    *(STATUS, WATCH, PROXIES, BASELINE, PREPARED),
    *(f"{INSTANCES}/i-0a1b2c3d4e5f60718/{name}" for name in TABLES),
)
NODE_CONFIG = b"apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\n"
MESSAGE = b"""\
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=="

hunter2 before
--==
Content-Type: text/x-shellscript; name="hunter2"

#!/bin/sh
echo hunter2
--==
Content-Type: application/node.eks.aws
Content-Transfer-Encoding: hunter2

apiVersion: node.eks.aws/v1alpha1
--==
Content-Type: hunter2

#cloud-config
--==--
"""


def test_command_lines_of_settings_show_program_and_flags() -> None:
    """Arguments may be secrets; other values stay."""
    rows = [
        {"section": "proxy", "key": "credentials_command", "value": ["/bin/sh", "-c", "echo u:hunter2"], "layer": "f"},
        {"section": "bootstrap", "key": "arguments", "value": ["hunter2", "--token=hunter2", "--x", "y"], "layer": "f"},
        {"section": "proxy", "key": "url", "value": ["http://h:1"], "layer": "f"},
    ]
    values = [row["value"] for row in documents.config(rows)]
    assert values == [["/bin/sh", "-c", "***"], ["***", "--token=***", "--x", "***"], ["http://h:1"]]


def test_diffs_in_check_and_plan_are_masked() -> None:
    """A finding of a file keeps its first line; plan's diff is masked too."""
    diff = "--- /etc/environment\n+++ /etc/environment\n@@ -1,2 +1,2 @@\n A=hunter2\n-no_proxy=a\n+no_proxy=b"
    checked = documents.check(
        {"state": "fail", "findings": [{"group": "files", "name": "/etc/environment", "text": f"differs:\n{diff}"}]}
    )
    planned = documents.plan({"schema": 1, "diff": diff})
    for text in (checked["findings"][0]["text"], planned["diff"]):
        assert SECRET not in text
        assert text.endswith("\n-no_proxy=a\n+no_proxy=b")
    assert checked["findings"][0]["text"].startswith("differs:\n--- /etc/environment\n")


@pytest.mark.parametrize(
    ("name", "document", "expected"),
    [
        (
            "baseline.json",
            {
                "files": {
                    "/etc/environment": {
                        "kind": "environment",
                        "mode": 420,
                        "before": base64.b64encode(b"A=hunter2").decode(),
                        "written": ["d1"],
                    },
                    "/a": {"kind": "drop-in", "mode": 420, "before": None, "written": []},
                },
                "folders": ["/d"],
                "enabled": [],
                "baked": False,
            },
            {
                "files": {
                    "/etc/environment": {"kind": "environment", "mode": 420, "bytes_before": 9},
                    "/a": {"kind": "drop-in", "mode": 420, "bytes_before": None},
                },
                "folders": ["/d"],
                "enabled": [],
                "baked": False,
            },
        ),
        (
            "facts.json",
            {"region": "r", "user_data_base64": base64.b64encode(b"hunter2").decode(), "other": "hunter2"},
            {"region": "r", "user_data_bytes": 7},
        ),
        ("facts.json", {"region": "r", "user_data": "hunter2 \u00e9"}, {"region": "r", "user_data_bytes": 10}),
        ("facts.json", {"region": "r"}, {"region": "r", "user_data_bytes": None}),
        (
            "watch.json",
            {"total": 3, "desired": {"/etc/environment": "d1"}, "credentials_source": "d1", "other": "hunter2"},
            {
                "total": 3,
                "desired": {"/etc/environment": "(digest left out)"},
                "credentials_source": "(digest left out)",
            },
        ),
        ("restarts.json", {"docker.service": "d1"}, {"docker.service": "(digest left out)"}),
        (
            "flags.json",
            {
                "proxy": {"url": "http://h:1", "credentials_command": ["/bin/echo", "u:hunter2"], "other": "hunter2"},
                "vault": {"token": "hunter2"},
            },
            {"proxy": {"url": "http://h:1", "credentials_command": ["/bin/echo", "***"]}},
        ),
        (
            "prepared.json",
            {"units": ["a"], "enable": None, "policy": "open", "machine": "m", "image": {"x": "hunter2"}},
            {"units": ["a"], "enable": None, "policy": "open"},
        ),
        (
            "direct.json",
            {"a.b": {"direct": True, "addresses": ["10.0.0.1"], "other": "hunter2"}},
            {"a.b": {"direct": True, "addresses": ["10.0.0.1"]}},
        ),
        ("bootstrap.json", {"exit_code": 7, "other": "hunter2"}, {"exit_code": 7}),
        ("signal.json", {"refused": "no", "other": "hunter2"}, {"refused": "no"}),
        (
            "kept.json",
            {"proxy.url": "2026-11-30", "proxy.no_proxy": "hunter2", "hunter2": "2026-11-30"},
            {"proxy.url": "2026-11-30", "proxy.no_proxy": "(not shown)"},
        ),
        ("status.json", {"phase": "degraded", "other": "hunter2"}, {"phase": "degraded"}),
        ("proxies.json", {"choice": None, "other": "hunter2"}, {"choice": None}),
    ],
)
def test_state_has_neither_originals_nor_digests(name: str, document: Any, expected: Any) -> None:
    """Originals, user data, digests of files with the password, and command lines are left out."""
    (path,) = (path for path in STATE if path.endswith("/" + name))
    assert documents.state_file(path, document) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/etc/eks-proxy-agent/vault.json",
        "/etc/eks-proxy-agent/facts.json",
        "/var/lib/eks-proxy-agent/vault.json",
        "/var/lib/eks-proxy-agent/facts.json",
        "/var/lib/eks-proxy-agent/instances/facts.json",
        "/var/lib/eks-proxy-agent/instances/i-1/status.json",
        "/var/lib/eks-proxy-agent/instances/i-1/old/facts.json",
        "/run/eks-proxy-agent/baseline.json",
        "/run/eks-proxy-agent/lock",
    ],
)
def test_only_files_of_the_state_are_shown(path: str) -> None:
    """The name and the directory have to be those that the agent writes."""
    assert not documents.is_state_file(path)
    with pytest.raises(LookupError):
        documents.state_file(path, {"region": SECRET})


def test_all_files_and_keys_of_the_state_are_shown() -> None:
    """What the agent writes stays in the report; a new file or key gets its line there."""
    names = {*_READERS, *TABLES}
    assert {path.rpartition("/")[2] for path in STATE} == names
    assert all(documents.is_state_file(path) for path in STATE)
    fields = (
        ("facts.json", set(fields_dict(Facts)) - {"warnings", "user_data"}),
        ("watch.json", set(fields_dict(Memory))),
        ("status.json", _KEYS),
        ("proxies.json", set(ProxyMemory._fields)),
        ("bootstrap.json", set(BootstrapStatus._fields)),
    )
    for name, keys in fields:
        (path,) = (path for path in STATE if path.endswith("/" + name))
        assert set(documents.state_file(path, dict.fromkeys(keys))) >= keys


def test_user_data_is_described_without_its_content() -> None:
    """Type, encoding and size of each part; words of its author are not repeated."""
    described = documents.user_data(gzip.compress(MESSAGE))
    assert SECRET not in json.dumps(described)
    assert (described["wrapping"], described["unpacked_bytes"]) == ("gzip", len(MESSAGE))
    parts = [(part["type"], part["begins_as"], part["encoding"]) for part in described["parts"]]
    assert parts == [
        ("multipart/mixed", "unknown", ""),
        ("text/x-shellscript", "script", ""),
        ("application/node.eks.aws", "NodeConfig", "other"),
        ("other", "text/cloud-config", ""),
    ]
    assert described["parts"][0]["place"] == "before the first part"
    assert described["parts"][1]["bytes"] == len(b"#!/bin/sh\necho hunter2")


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"#!/bin/sh\nhunter2", "script"),
        (b"#cloud-config\nhunter2", "text/cloud-config"),
        (NODE_CONFIG, "NodeConfig"),
        (b'{"apiVersion": "node.eks.aws/v1alpha1"}', "NodeConfig"),
        (base64.b64encode(b"#cloud-boothook\n"), "text/cloud-boothook"),
        (b"hunter2 hunter2", "unknown"),
    ],
)
def test_user_data_without_mime_is_one_part(raw: bytes, kind: str) -> None:
    """Its type is what it begins with."""
    described = documents.user_data(raw)
    assert [part["type"] for part in described["parts"]] == [kind]
    assert SECRET not in json.dumps(described)


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"\x1f\x8bhunter2", "damaged gzip"),
        (gzip.compress(b"a" * 300_000), "longer than 262144 bytes unpacked"),
        (b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 40, "more than 32 MIME parts"),
    ],
)
def test_user_data_that_cannot_be_read_is_a_problem(raw: bytes, problem: str) -> None:
    """Its size is known anyway."""
    described = documents.user_data(raw)
    assert problem in described["problem"]
    assert (described["bytes"], described["parts"]) == (len(raw), [])


def test_no_user_data_has_no_parts() -> None:
    """No user data is 0 bytes."""
    assert documents.user_data(b"") == {"bytes": 0, "parts": []}
