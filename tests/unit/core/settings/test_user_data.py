"""User data: the agent's parts are read in every form, everything else is left to cloud-init."""

from __future__ import annotations

import base64
import gzip
import quopri
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.settings.user_data import LIMIT, NODE_CONFIG_TYPE, SETTINGS_TYPE, UserData, read_user_data
from agent.errors import SettingsError

TOML = '# the proxy of Zürich\n[proxy]\nurl = "http://proxy.example.com:3128"\n'
YAML = (
    "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  cluster:\n    name: blue\n    cidr: 10.100.0.0/16\n"
)
SHELL = "#!/bin/bash\necho hello\n"


def message(body: bytes, kind: str = SETTINGS_TYPE, encoding: str = "") -> bytes:
    """Return a MIME part: headers, an empty line, the body."""
    header = f"Content-Transfer-Encoding: {encoding}\n" if encoding else ""
    return (f"Content-Type: {kind}\n{header}\n").encode() + body


def multipart(*parts: bytes, boundary: str = "==BOUNDARY==", end: bytes = b"\n") -> bytes:
    """Return a multipart message like the one in the EKS user guide."""
    head = f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{boundary}"\n\n'
    line = b"--" + boundary.encode()
    whole = head.encode() + b"".join(line + b"\n" + part + b"\n" for part in parts) + line + b"--\n"
    return whole.replace(b"\n", end)


def refused(raw: bytes) -> str:
    """Return the one problem with which reading fails."""
    with pytest.raises(SettingsError) as caught:
        read_user_data(raw)
    (problem,) = caught.value.problems
    return problem


ENCODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("", bytes),
    ("8bit", bytes),
    ("binary", bytes),
    ("base64", base64.encodebytes),
    ("BASE64", lambda body: base64.encodebytes(gzip.compress(body))),
    ("quoted-printable", quopri.encodestring),
]


@pytest.mark.parametrize(("encoding", "encode"), ENCODINGS)
@pytest.mark.parametrize("whole", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", ["alone", "beside a shell part", "nested"])
def test_settings_part_in_every_form(
    encoding: str, encode: Callable[[bytes], bytes], whole: Callable[[bytes], bytes], shape: str
) -> None:
    """Each transfer encoding, gzip inside and outside, alone, in a multipart and in a multipart
    inside one.
    """
    part = message(encode(TOML.encode()), encoding=encoding)
    shell = message(SHELL.encode(), 'text/x-shellscript; charset="us-ascii"')
    raw = {
        "alone": part,
        "beside a shell part": multipart(shell, part),
        "nested": multipart(shell, multipart(shell, part, boundary="inner")),
    }[shape]
    user_data = read_user_data(whole(raw))
    assert [text.strip() for text in user_data.settings] == [TOML.strip()]
    assert user_data.node_configs == ()


def test_a_message_of_the_standard_library() -> None:
    """A message of Python's email package, as cloud-init's make-mime builds it, is read back."""
    outer = MIMEMultipart()
    outer.attach(MIMEText(SHELL, "x-shellscript", "us-ascii"))
    outer.attach(MIMEText(YAML, "plain", "us-ascii"))
    for body in (b"a = 1\n", TOML.encode()):
        part = MIMEBase(*SETTINGS_TYPE.split("/"))
        part.set_payload(base64.encodebytes(body).decode())
        part["Content-Transfer-Encoding"] = "base64"
        outer.attach(part)
    assert read_user_data(outer.as_bytes()) == UserData(settings=("a = 1\n", TOML))


def test_parts_keep_their_order_and_kinds() -> None:
    """Several parts of both kinds come out in the order in which they stand."""
    raw = multipart(
        message(b"a = 1", SETTINGS_TYPE),
        message(YAML.encode(), NODE_CONFIG_TYPE),
        message(b"b = 2", "Application/X-EKS-Proxy-Agent; charset=utf-8"),
        message(b"kind: NodeConfig", NODE_CONFIG_TYPE),
    )
    assert read_user_data(raw) == UserData(("a = 1", "b = 2"), (YAML, "kind: NodeConfig"))


@pytest.mark.parametrize("start", [b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_blank_lines_before_and_crlf(start: bytes, end: bytes) -> None:
    """Traces of templates and of editors on Windows do not hide the parts."""
    user_data = read_user_data(start + multipart(message(b"a = 1\nb = 2"), end=end))
    assert [text.splitlines() for text in user_data.settings] == [["a = 1", "b = 2"]]


def test_multipart_without_its_last_line() -> None:
    """A message without its closing line loses nothing."""
    raw = multipart(message(b"a = 1")).replace(b"--==BOUNDARY==--\n", b"")
    assert [text.strip() for text in read_user_data(raw).settings] == ["a = 1"]


@pytest.mark.parametrize(
    "text",
    [
        YAML,
        "---\n" + YAML,
        "# our node\n\n---\n" + YAML,
        'kind: NodeConfig\n"apiVersion": "node.eks.aws/v1alpha1"\n',
        '{"apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig"}',
        '{"kind":"NodeConfig","apiVersion":"node.eks.aws/v1alpha1"}',
    ],
)
@pytest.mark.parametrize("whole", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_plain_node_config(text: str, whole: Callable[[bytes], bytes]) -> None:
    """A NodeConfig may be the whole user data, without MIME, as nodeadm allows it."""
    assert read_user_data(whole(text.encode())) == UserData(node_configs=(text,))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        SHELL.encode(),
        b"#!/bin/bash\ncat <<EOF >/etc/eks/nodeadm.d/x.yaml\n" + YAML.encode() + b"EOF\n",
        b"#!/bin/bash\ncat <<EOF\n" + multipart(message(TOML.encode())) + b"EOF\n",
        b"#cloud-config\nwrite_files: []\napiVersion: node.eks.aws/v1alpha1\n",
        b"#include\nhttp://example.com/x\n",
        TOML.encode(),
        b"apiVersion: v1\nkind: ConfigMap\n",
        multipart(message(SHELL.encode(), "text/x-shellscript"), message(TOML.encode(), "text/plain")),
        bytes(range(256)) * 10,
        b"\x1f\x8b",
        b"\x1f\x8b\x08" + b"garbage" * 50,
        gzip.compress(multipart(message(TOML.encode())), mtime=0)[:-20],
        b"Content-Type: multipart/mixed\n\nno boundary\n",
        b"Content-Type: \xff\xfe; x=\n\n" + TOML.encode(),
        b"Content-Type: multipart/mixed; boundary=\n\n--\n",
    ],
)
def test_other_user_data_is_left_alone(raw: bytes) -> None:
    """Scripts, cloud-config, other documents, damaged and binary data give nothing and no error."""
    assert read_user_data(raw) == UserData()


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (message(b'a = "\xff"'), "not UTF-8 (line 1)"),
        (message(b"\nurl = 1\n\xc3("), "not UTF-8 (line 3)"),
        (message("a = 1".encode("utf-16")), "not UTF-8 (line 1)"),
        (message(b"a = 1\nb = '\x00'"), "control character '\\x00' (line 2)"),
        (message(b"a = '\x1b[31m'"), "control character '\\x1b' (line 1)"),
        (message("a = '\u0085'".encode()), "control character '\\x85' (line 1)"),
        (message(gzip.compress(TOML.encode(), mtime=0)[:-9], encoding="binary"), "damaged or truncated gzip"),
        (message(base64.encodebytes(b"\x1f\x8bgarbage"), encoding="base64"), "damaged or truncated gzip"),
        (message(b"!!! what !!!", encoding="base64"), "cannot be decoded"),
        (
            message(base64.encodebytes(gzip.compress(b"#" * (LIMIT + 1), mtime=0)), encoding="base64"),
            "longer than 1024 KiB",
        ),
    ],
    ids="latin1 third-line utf16 nul escape c1 cut-gzip bad-gzip bad-base64 bomb".split(),
)
def test_broken_part_of_ours_is_named(part: bytes, expected: str) -> None:
    """An error names the part of the user data and what is wrong with it."""
    raw = multipart(message(SHELL.encode(), "text/x-shellscript"), part)
    problem = refused(raw)
    assert problem.startswith("user data, part 2 (application/x-eks-proxy-agent): " + expected)
    assert problem.isprintable()


def test_broken_node_config_is_named() -> None:
    """The same for NodeConfigs, as a part and alone."""
    assert (
        refused(message(b"\xff", NODE_CONFIG_TYPE))
        == "user data, part 1 (application/node.eks.aws): not UTF-8 (line 1)"
    )
    assert refused(YAML.encode() + b"\xff") == "user data (NodeConfig): not UTF-8 (line 7)"


def test_broken_parts_of_others_do_not_matter() -> None:
    """Errors in parts of cloud-init are left to cloud-init."""
    others = [message(b"\x1f\x8b\xff\x00", "application/gzip"), message(b"%%", "text/x-shellscript", "base64")]
    assert read_user_data(multipart(*others, message(b"a = 1"))).settings == ("a = 1",)


def test_gzip_bomb() -> None:
    """A small file that unpacks to a large one is refused before it fills the memory."""
    bomb = gzip.compress(bytes(1 << 28), 9)
    assert len(bomb) < 1 << 19
    assert refused(bomb) == "user data: longer than 1024 KiB unpacked"


def test_blank_lines_are_read_once() -> None:
    """A kilobyte of gzip makes a million of them; a pattern that restarts at each takes hours."""
    assert read_user_data(gzip.compress(b"x" + b"\n" * (LIMIT - 1))) == UserData()


def test_many_parts_share_one_limit() -> None:
    """The limit counts for all parts together."""
    part = message(base64.encodebytes(gzip.compress(b"#" * (LIMIT // 2))), encoding="base64")
    assert len(read_user_data(multipart(part, part)).settings) == 2
    assert refused(multipart(part, part, part)).startswith("user data, part 3 (")


def test_concatenated_gzip() -> None:
    """Two gzip files one after the other are one, as for gunzip; a hundred are an attack."""
    halves = [message(b"a = 1\n"), b"b = 2\n"]
    assert read_user_data(b"".join(map(gzip.compress, halves))).settings == ("a = 1\nb = 2\n",)
    assert read_user_data(b"".join(gzip.compress(b"") for _ in range(100))) == UserData()


def test_deep_nesting_is_refused() -> None:
    """Multiparts a thousand deep would exhaust the parser's stack."""
    deep = b"a"
    for depth in range(1500):
        deep = b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n%b" % (depth, depth, deep)
    assert "nested" in refused(deep)


def test_contents_are_not_shown() -> None:
    """User data may hold secrets: its representation shows none."""
    assert "s3cret" not in repr(read_user_data(message(b"token = 's3cret'")))


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_read_or_refused(raw: bytes, compressed: bool) -> None:
    """Any bytes give clean texts or a SettingsError."""
    try:
        user_data = read_user_data(gzip.compress(raw) if compressed else raw)
        texts = user_data.settings + user_data.node_configs
    except SettingsError as error:
        texts = error.problems
    assert not any("\x00" in text or "\x1b" in text for text in texts)


HEADERS = st.lists(
    st.sampled_from(
        [
            b"MIME-Version: 1.0",
            b"Content-Type: multipart/mixed; boundary=b",
            b"Content-Type: application/x-eks-proxy-agent",
            b"Content-Type: application/node.eks.aws; charset=\xff",
            b"Content-Type: message/rfc822",
            b"Content-Transfer-Encoding: base64",
            b"Content-Transfer-Encoding: x-uuencode",
            b"Content-Transfer-Encoding: quoted-printable",
            b"",
            b"--b",
            b"--b--",
            b"begin 644 x",
            b"\x1f\x8b\x08",
            b"=ZZ",
            b"a = 1",
        ]
    )
    | st.binary(max_size=20),
    max_size=30,
)


@given(HEADERS)
def test_any_mime_is_read_or_refused(lines: list[bytes]) -> None:
    """The same for text that looks like MIME: wrong nesting, encodings, headers in odd places."""
    try:
        user_data = read_user_data(b"\n".join(lines))
        texts = user_data.settings + user_data.node_configs
    except SettingsError as error:
        texts = error.problems
    assert not any("\x00" in text or "\x1b" in text for text in texts)


@given(st.text(st.characters(blacklist_categories=("Cc", "Cs")), max_size=200), st.sampled_from(ENCODINGS[1:5]))
def test_text_arrives_unchanged(text: str, form: tuple[str, Callable[[bytes], bytes]]) -> None:
    """Any text of one line in a part arrives as it was written."""
    encoding, encode = form
    user_data = read_user_data(multipart(message(encode(text.encode()), encoding=encoding)))
    assert user_data.settings == (text.lstrip("\ufeff") if text.startswith("\ufeff") else text,)
