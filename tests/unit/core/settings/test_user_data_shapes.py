"""docs/user-data.md lists every shape of user data, and says what becomes of it."""

from __future__ import annotations

import base64
import gzip
import re
from pathlib import Path

import pytest

from agent.core.settings.user_data import UserData, read_user_data
from agent.errors import AgentError

PAGE = (Path(__file__).parents[4] / "docs/user-data.md").read_text(encoding="utf-8")

TOML = b'[proxy]\nurl = "http://proxy.example.com:3128"\n'
YAML = b"apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\n"
SCRIPT = b"#!/bin/sh\ncat <<EOF\nContent-Type: application/x-eks-proxy-agent\n\n" + TOML + b"EOF\n"
OURS = b"Content-Type: application/x-eks-proxy-agent\n\n" + TOML


def part(kind: bytes, body: bytes, encoding: bytes = b"") -> bytes:
    """Return a part."""
    header = b"Content-Transfer-Encoding: %s\n" % encoding if encoding else b""
    return b"Content-Type: %s\n%s\n%s" % (kind, header, body)


def multipart(*parts: bytes, boundary: bytes = b"B") -> bytes:
    """Return a multipart."""
    line = b"--" + boundary
    head = b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="%s"\n\n' % boundary
    return head + b"".join(line + b"\n" + text + b"\n" for text in parts) + line + b"--\n"


AGENT, CONFIG, SHELL = b"application/x-eks-proxy-agent", b"application/node.eks.aws", b"text/x-shellscript"
INDENTED = b"    " + multipart(OURS).replace(b"\n", b"\n    ")
SHAPES: dict[str, list[bytes]] = {
    "none, or blank": [b"", b"\n\n"],
    "MIME multipart": [multipart(OURS), b"\xef\xbb\xbf\r\n" + multipart(OURS).replace(b"\n", b"\r\n")],
    "multipart inside a multipart": [multipart(multipart(OURS, boundary=b"C"))],
    "multipart without its closing line": [multipart(OURS)[: -len(b"--B--\n")]],
    "one MIME part alone": [OURS, b"MIME-Version: 1.0\n" + OURS],
    "NodeConfig in YAML or JSON, without MIME": [YAML, b'{"kind": "NodeConfig", "apiVersion": "node.eks.aws/v1"}'],
    "gzip of a shape above": [gzip.compress(multipart(OURS)), gzip.compress(YAML)],
    "base64 of a shape above": [base64.b64encode(multipart(OURS)), base64.encodebytes(YAML)],
    "base64 of gzip, gzip of base64": [base64.b64encode(gzip.compress(YAML)), gzip.compress(base64.b64encode(YAML))],
    "script (`#!`)": [SCRIPT],
    "cloud-boothook, part-handler, upstart-job": [b"#cloud-boothook\n" + SCRIPT, b"#part-handler\n" + OURS],
    "cloud-config, include, template": [b"#cloud-config\n{}\n", b"#include\nhttp://x/\n", b"## template: jinja\n#!"],
    "cloud-config archive with a `type:` of the agent": [b"#cloud-config-archive\n- type: application/x-eks-proxy-agent\n"],
    "settings (TOML) without a MIME header": [TOML, base64.b64encode(TOML)],
    "multipart with every line indented": [INDENTED],
    "header of the agent below other text": [b"#" * 5000 + b"\n" + OURS],
    "damaged gzip, binary data, other text": [gzip.compress(OURS)[:-9], bytes(range(256)), b"hello\n"],
    "`application/x-eks-proxy-agent`": [multipart(part(AGENT, TOML), part(AGENT, TOML))],
    "`text/x-eks-proxy-agent`": [multipart(part(b"text/x-eks-proxy-agent; charset=utf-8", TOML))],
    "`application/node.eks.aws`": [multipart(part(CONFIG, YAML), part(CONFIG, YAML))],
    "one of these in base64 or quoted-printable": [
        multipart(part(AGENT, base64.encodebytes(TOML), b"base64")),
        multipart(part(CONFIG, YAML, b"quoted-printable")),
    ],
    "one of these in base64, without the header": [multipart(part(AGENT, base64.b64encode(TOML)))],
    "one of these in gzip": [multipart(part(AGENT, gzip.compress(TOML), b"binary"))],
    "one of these, damaged": [
        multipart(part(AGENT, b"\xff")),
        multipart(part(CONFIG, b"\x1b")),
        multipart(part(AGENT, base64.b64encode(TOML)[:-2])),
        multipart(part(AGENT, gzip.compress(TOML)[:-9])),
        multipart(part(AGENT, TOML, b"x-uuencode")),
    ],
    "other Content-Type that contains `eks-proxy-agent`": [multipart(part(b"application/eks-proxy-agent", TOML))],
    "text/plain with settings (TOML)": [multipart(part(b"text/plain", TOML)), multipart(b"\n" + TOML)],
    "text/plain with other text": [multipart(part(b"text/plain", b"hello"))],
    "shell script": [multipart(part(SHELL, SCRIPT)), multipart(part(b"text/plain", SCRIPT))],
    "other types of cloud-init": [multipart(part(b"text/cloud-config", b"#cloud-config\n{}\n"))],
    "header of the agent after the closing line": [multipart(part(SHELL, b"#!")) + OURS],
    "header of the agent before the first boundary": [multipart(part(SHELL, b"#!")).replace(b"\n\n", b"\n\n" + OURS, 1)],
    "header of the agent inside the text of a part": [multipart(part(b"text/plain", b"hello\n" + OURS))],
    "boundary lines that differ from the header's boundary": [multipart(OURS).replace(b"--B", b"--A")],
    "multipart header without a boundary": [multipart(OURS).replace(b"boundary", b"border")],
    "boundary in pieces (RFC 2231)": [b"Content-Type: multipart/mixed; boundary*=a; boundary*0=b\n\n--a\n"],
}  # fmt: skip


def result(raw: bytes) -> str:
    """Return what becomes of user data, in the words of the page."""
    try:
        user_data = read_user_data(raw)
    except AgentError:
        return "error"
    if user_data == UserData():
        return "left"
    assert not (user_data.problems and user_data.settings + user_data.node_configs)
    return "reported" if user_data.problems else "read"


def rows() -> dict[str, str]:
    """Return shape and result of each row of the page's two tables."""
    return dict(re.findall(r"(?m)^\| (.+?) \| (read|left|reported|error) \|", PAGE))


def test_every_shape_has_its_row() -> None:
    """The page lists the shapes that are tested here, in the same order."""
    assert list(rows()) == list(SHAPES)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_page_tells_the_result(shape: str) -> None:
    """What becomes of each shape is what the page says."""
    assert {result(raw) for raw in SHAPES[shape]} == {rows()[shape]}
