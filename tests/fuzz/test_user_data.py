"""User data and MIME: any bytes give parts or a SettingsError, within the limits."""

from __future__ import annotations

import base64
import gzip
from typing import Callable

from hypothesis import given
from hypothesis import strategies as st

from agent.core.settings.user_data import LIMIT
from tests.fuzz import readers
from tests.fuzz.bounds import Bomb, assert_bounded

HEADERS = [
    b"MIME-Version: 1.0",
    b"Content-Type: multipart/mixed; boundary=b",
    b'Content-Type: multipart/mixed; boundary="b\\"c"; x=y',
    b"Content-Type: multipart/mixed; boundary*0=b; boundary*1*=c",
    b"Content-Type: multipart/mixed; boundary*=a; boundary*0=b",
    b"Content-Type: multipart/mixed",
    b"Content-Type: message/rfc822",
    b"Content-Type: application/x-eks-proxy-agent",
    b"Content-Type: text/x-eks-proxy-agent; charset=\xff",
    b"Content-Type: application/node.eks.aws",
    b"Content-Type: text/x-shellscript",
    b"Content-Type: text/plain",
    b"Content-Type: x-eks-proxy-agent",
    b" folded; boundary=c",
    b"Content-Transfer-Encoding: base64",
    b"Content-Transfer-Encoding: quoted-printable",
    b"Content-Transfer-Encoding: x-uuencode",
]
LINES = [
    b"",
    b"\r",
    b"--b",
    b"--b--",
    b"--c",
    b'--b"c',
    b"#!/bin/sh",
    b"#cloud-config",
    b"#cloud-config-archive",
    b"## template: jinja",
    b"- type: application/x-eks-proxy-agent",
    b"[proxy]",
    b'url = "http://p:1"',
    b'proxy.url = "x"',
    b"apiVersion: node.eks.aws/v1alpha1",
    b"kind: NodeConfig",
    b"/etc/eks/bootstrap.sh c --dns-cluster-ip 10.100.0.10",
    b"API_SERVER_URL=https://a.corp",
    b"=ZZ=",
    b"YSA9IDE=",
    b"H4sIAAAAAAAAA0u0VTDkAgC5m3d+BgAAAA==",
    b"\x1f\x8b\x08",
    b"\xef\xbb\xbf",
    b"\x00",
    "\u00fc".encode(),
]
TEXT = st.lists(st.sampled_from(HEADERS + LINES) | st.binary(max_size=12), max_size=30).map(b"\n".join)
WRAP = st.sampled_from([bytes, gzip.compress, base64.b64encode, lambda data: base64.b64encode(gzip.compress(data))])


@given(TEXT | st.binary(max_size=400), WRAP)
def test_any_user_data_is_read_or_refused(data: bytes, wrap: Callable[[bytes], bytes]) -> None:
    """Any lines and bytes, plain or wrapped, give clean texts or an error for people."""
    readers.only_agent_errors(readers.user_data, wrap(data))


@given(st.lists(st.tuples(st.lists(st.sampled_from(HEADERS), max_size=3), TEXT), max_size=6))
def test_any_multipart_is_read_or_refused(parts: list[tuple[list[bytes], bytes]]) -> None:
    """The same for a well-formed multipart with any headers and texts in it."""
    bodies = [b"\n".join([*headers, b"", text]) for headers, text in parts]
    envelope = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B0\n\n"
    readers.only_agent_errors(readers.user_data, envelope + b"".join(b"--B0\n" + body + b"\n" for body in bodies))


ENVELOPE = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n"
OURS = b"Content-Type: application/x-eks-proxy-agent\n"


def filled(start: bytes, unit: bytes) -> Bomb:
    """Return a bomb of user data that repeats `unit` up to the limit of unpacked data."""
    return Bomb(readers.user_data, lambda: (start + unit * (LIMIT // len(unit)))[:LIMIT])


def _deep() -> bytes:
    data = b"a"
    for level in range(4000):
        data = b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n%b" % (level, level, data)
    return data[:LIMIT]


def _packed_parts() -> bytes:
    part = b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(gzip.compress(b"\n" * LIMIT))
    return ENVELOPE + b"\n--b\n".join([part] * 32)


LEVELS = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (level, level) for level in range(4))
BOMBS = {
    "gzip bomb": Bomb(readers.user_data, lambda: gzip.compress(bytes(1 << 28), 9)),
    "base64 of a gzip bomb": Bomb(readers.user_data, lambda: base64.b64encode(gzip.compress(bytes(1 << 28), 9))),
    "gzip bomb in a part": Bomb(readers.user_data, lambda: OURS + b"\n" + gzip.compress(bytes(1 << 28), 9)),
    "gzip bombs in 32 parts": Bomb(readers.user_data, _packed_parts),
    "gzip files": Bomb(readers.user_data, lambda: gzip.compress(b"") * 10000),
    "levels": Bomb(readers.user_data, _deep),
    "levels times lines": filled(LEVELS, b"\n"),
    "parts": filled(ENVELOPE, b"--b\n"),
    "almost boundaries": filled(ENVELOPE, b"--b \t \t x\n"),
    "parameters": filled(b"Content-Type: multipart/mixed", b";a=b"),
    "quotes in parameters": filled(b"Content-Type: multipart/mixed", b';a="'),
    "backslashes in parameters": filled(b"Content-Type: multipart/mixed", b';a="\\'),
    "blanks in parameters": filled(b"Content-Type: multipart/mixed", b";  "),
    "RFC 2231": filled(b"Content-Type: multipart/mixed; boundary*=x", b";boundary*0=a"),
    "boundary": filled(b"Content-Type: multipart/mixed; boundary=", b"x"),
    "headers": filled(b"Content-Type: text/plain\n", b"a:\n"),
    "folded header": filled(b"Content-Type: text/plain;\n", b" \n"),
    "newlines": filled(b"x", b"\n"),
    "blanks": filled(b"x", b" "),
    "base64": filled(b"", b"QUFB\n"),
    "almost base64": filled(b"!", b"QUFB\n"),
    "quoted-printable": filled(OURS + b"Content-Transfer-Encoding: quoted-printable\n\n", b"=\n"),
    "tables": filled(b"", b"[a]\n"),
    "open tables": filled(b"", b"["),
    "inline table": filled(b"proxy = {", b"url "),
    "types": filled(b"x\n", b"type:eks-proxy-agent\n"),
    "types in a line": filled(b"x\n", b"type: eks-proxy-agent "),
    "almost types": filled(b"x eks-proxy-agent\n", b"type:"),
    "misplaced headers": filled(b"x\n", b"Content-Type: x-eks-proxy-agent\n"),
    "braces": filled(b"", b"{"),
    "apiVersion": filled(b"x\n", b"apiVersion:node.eks.aws/"),
    "flags": filled(b"#!/bin/sh\n/etc/eks/bootstrap.sh", b" --dns-cluster-ip 10.0.0.1"),
    "assignments": filled(b"#!/bin/sh\n/etc/eks/bootstrap.sh\n", b"API_SERVER_URL=https://a.b\n"),
    "joined lines": filled(b"#!/bin/sh\n/etc/eks/bootstrap.sh\n", b"\\\n"),
    "blanks after a flag": filled(b"#!/bin/sh\n/etc/eks/bootstrap.sh --dns-cluster-ip", b" "),
}


def test_bombs() -> None:
    """Each costs at most five times what the contract allows."""
    assert_bounded("test_user_data")
