"""User data: the agent's parts are read in every form, everything else is left to cloud-init."""

from __future__ import annotations

import base64
import gzip
import quopri
import random
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.settings.mime import MAX_LEVELS, MAX_PARTS
from agent.core.settings.user_data import LIMIT, NODE_CONFIG_TYPE, SETTINGS_TYPE, UserData, read_user_data
from agent.errors import SettingsError

#: Does not become smaller: unpacked twice it is longer than the limit.
RANDOM = random.Random(0).randbytes(200_000)
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
        b"apiVersion: v1\nkind: ConfigMap\n",
        multipart(message(SHELL.encode(), "text/x-shellscript"), message(b"[proxies]\nurl = 1\n", "text/plain")),
        bytes(range(256)) * 10,
        b"\x1f\x8b",
        b"\x1f\x8b\x08" + b"garbage" * 50,
        gzip.compress(multipart(message(TOML.encode())), mtime=0)[:-20],
        b"Content-Type: multipart/mixed\n\nno boundary\n",
        b"Content-Type: \xff\xfe; x=\n\nhello",
        b"Content-Type: multipart/mixed; boundary=\n\n--\n",
    ],
)
def test_other_user_data_is_left_alone(raw: bytes) -> None:
    """Scripts, cloud-config, other documents, damaged and binary data give nothing."""
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
        (message(gzip.compress(RANDOM, mtime=0)[:-9], encoding="binary"), "damaged or truncated gzip"),
        (message(base64.encodebytes(b"\x1f\x8bgarbage"), encoding="base64"), "damaged or truncated gzip"),
        (message(base64.b64encode(TOML.encode())[:-3]), "incomplete base64"),
        (message(b"x", encoding="x-uuencode"), 'Content-Transfer-Encoding "x-uuencode" is not supported; write base64'),
        (message(b"!!! what !!!", encoding="base64"), "invalid base64"),
        (
            message(base64.encodebytes(gzip.compress(b"#" * (LIMIT + 1), mtime=0)), encoding="base64"),
            "longer than 256 KiB unpacked",
        ),
    ],
    ids="latin1 third-line utf16 nul escape c1 cut-gzip long-cut-gzip bad-gzip cut-base64 uuencode bad-base64 bomb".split(),
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
    assert refused(bomb) == "user data: longer than 256 KiB unpacked"


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


def nested(levels: int, body: bytes) -> bytes:
    """Return a part inside so many multiparts."""
    for level in range(levels):
        body = multipart(body, boundary=f"b{level}")
    return body


def test_nesting_is_limited() -> None:
    """Four levels are read, more are refused, a thousand as quickly as five."""
    part = message(b"a = 1")
    assert read_user_data(nested(MAX_LEVELS, part)).settings == ("a = 1",)
    assert refused(nested(MAX_LEVELS + 1, part)) == "user data: MIME parts nested more than 4 levels deep"
    assert refused(nested(1000, part)) == "user data: MIME parts nested more than 4 levels deep"


def test_parts_are_limited() -> None:
    """Thirty-two parts are read, more are refused, whatever they are."""
    parts = [message(SHELL.encode(), "text/x-shellscript")] * (MAX_PARTS - 1) + [message(b"a = 1")]
    assert read_user_data(multipart(*parts)).settings == ("a = 1",)
    assert refused(multipart(*parts, b"")) == "user data: more than 32 MIME parts"
    assert refused(multipart(*[multipart(*parts[:20], boundary="inner")] * 2)) == "user data: more than 32 MIME parts"


@pytest.mark.parametrize(
    "wrap",
    [
        base64.b64encode,
        base64.encodebytes,
        lambda data: base64.b64encode(gzip.compress(data)),
        lambda data: gzip.compress(base64.b64encode(data)),
        lambda data: b"\n " + base64.encodebytes(data).replace(b"\n", b"\r\n") + b"\n",
    ],
    ids="base64 lines base64-of-gzip gzip-of-base64 crlf".split(),
)
@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (multipart(message(b"a = 1"), message(YAML.encode(), NODE_CONFIG_TYPE)), UserData(("a = 1",), (YAML,))),
        (YAML.encode(), UserData(node_configs=(YAML,))),
        (SHELL.encode(), UserData()),
    ],
    ids=["multipart", "NodeConfig", "script"],
)
def test_base64_of_the_whole(wrap: Callable[[bytes], bytes], inner: bytes, expected: UserData) -> None:
    """User data that was encoded once more than EC2 does is read as the text in it."""
    assert read_user_data(wrap(inner)) == expected


@pytest.mark.parametrize("wrap", [bytes, gzip.compress], ids=["base64", "base64 of gzip"])
@pytest.mark.parametrize("kind", [SETTINGS_TYPE, "text/x-eks-proxy-agent", NODE_CONFIG_TYPE])
def test_base64_part_without_its_header(kind: str, wrap: Callable[[bytes], bytes]) -> None:
    """Karpenter drops Content-Transfer-Encoding; nodeadm decodes such a part anyway."""
    user_data = read_user_data(multipart(message(base64.encodebytes(wrap(YAML.encode())), kind)))
    assert user_data.settings + user_data.node_configs == (YAML,)


def test_text_type() -> None:
    """cloud-init's make-mime can only make text/*, with a Content-Disposition and a charset."""
    outer = MIMEMultipart()
    part = MIMEText(TOML, "x-eks-proxy-agent", "utf-8")
    part.add_header("Content-Disposition", 'attachment; filename="config.toml"')
    outer.attach(part)
    assert read_user_data(outer.as_bytes()) == UserData(settings=(TOML,))


def problems(raw: bytes) -> tuple[str, ...]:
    """Return the problems of user data of which nothing is used."""
    user_data = read_user_data(raw)
    assert user_data.settings + user_data.node_configs == ()
    assert all(problem.isprintable() for problem in user_data.problems)
    return user_data.problems


HEADER = 'Content-Type: "application/x-eks-proxy-agent"'
ARCHIVE = "#cloud-config-archive\n- type: %s\n  content: |\n    [proxy]\n    url = 'http://p:1'\n"
OURS = message(TOML.encode())


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (multipart(message(TOML.encode(), "application/eks-proxy-agent")), 'user data, part 1 (application/eks-proxy-agent): Content-Type "application/eks-proxy-agent" is not read; write Content-Type: application/x-eks-proxy-agent'),
        (multipart(message(TOML.encode(), "X-EKS-Proxy-Agent")), 'user data, part 1 (text/plain): Content-Type "x-eks-proxy-agent" is not read; '),
        (multipart(message(SHELL.encode(), "text/x-eks-proxy-agent-script")), "is not read; write Content-Type: "),
        (message(TOML.encode(), "application/x-eks-proxy-agent, charset=utf-8"), "is not read; write Content-Type: "),
        ((ARCHIVE % '"application/x-eks-proxy-agent"').encode(), 'user data, line 2: type: "application/x-eks-proxy-agent" is not read in a cloud-config archive; write a MIME part of type application/x-eks-proxy-agent'),
        (b'#cloud-config-archive\n[{"content": "a", "type": "text/x-eks-proxy-agent"}]', 'user data, line 2: type: "text/x-eks-proxy-agent"'),
        (multipart(message((ARCHIVE % "x-eks-proxy-agent").encode(), "text/cloud-config-archive")), 'part 1 (text/cloud-config-archive), line 2: type: "x-eks-proxy-agent" is not read'),
        (b"## template: jinja\n" + (ARCHIVE % "x-eks-proxy-agent").encode(), "user data, line 3: type: "),
        (TOML.encode(), 'user data: [proxy] with url is not read without a MIME header; write "MIME-Version: 1.0", "Content-Type: application/x-eks-proxy-agent" and an empty line above it'),
        (b'proxy.url = "http://p:1"\n', "user data: [proxy] with url is not read without a MIME header"),
        (b'[bootstrap]\nenabled = true\n[ "proxy" ]\n"url"=1', "user data: [proxy] with url is not read without"),
        (b'proxy = { https_url = "", url = "x" }', "user data: [proxy] with url is not read without"),
        (base64.b64encode(gzip.compress(TOML.encode(), mtime=0)), "user data: [proxy] with url is not read without"),
        (multipart(message(TOML.encode(), "text/plain")), "user data, part 1 (text/plain): [proxy] with url is not read in a part of this type; write Content-Type: application/x-eks-proxy-agent"),
        (multipart(message(base64.encodebytes(TOML.encode()), "text/plain", "base64")), "part 1 (text/plain): [proxy] with url"),
        (multipart(b"\n" + TOML.encode()), "part 1 (text/plain): [proxy] with url"),
        (multipart(message(SHELL.encode(), "text/x-shellscript")) + b"\n" + OURS + b"\n--==BOUNDARY==--\n", f'user data, line 12: {HEADER} stands after the closing line "--==BOUNDARY==--"; move that line to the end'),
        (multipart(message(SHELL.encode(), "text/x-shellscript")).replace(b"\n\n", b"\n\n" + OURS, 1), f'user data, line 4: {HEADER} stands before the first line "--==BOUNDARY=="; write that line above it'),
        (multipart(OURS).replace(b"\n--==", b"\n--=", 2), f'user data, line 5: {HEADER} is not read, as no line is "--==BOUNDARY=="; write that line'),
        (multipart(OURS).replace(b"boundary", b"bound"), f"user data, line 5: {HEADER} is not read, as the header above has no boundary; write Content-Type: multipart/mixed; boundary="),
        (multipart(OURS).replace(b"\n", b"\n    "), f"user data, line 5: {HEADER} is indented, so it is not a header; remove the indentation of all lines"),
        (b"  " + multipart(OURS).replace(b"\n", b"\n  "), f"user data, line 5: {HEADER} is indented, so it is not a header"),
        (b"# our proxy\n" + OURS, f"user data, part 1 (text/plain), line 2: {HEADER} stands inside a part, not in its header"),
        (b"#" * 5000 + b"\n" + OURS, f"user data, line 2: {HEADER} stands below other text; move it to the first lines"),
        (multipart(b"Content-Type: multipart/mixed; boundary*=x; boundary*0=y\n\n--x\n" + OURS), "user data: a boundary in pieces (RFC 2231, boundary*) is not supported; write boundary="),
        (b"Content-Type: multipart/mixed; boundary*0=x; boundary*1=y\n\n--xy\n\n--xy--\n", "user data: a boundary in pieces (RFC 2231"),
        (b"Content-Type: multipart/mixed; boundary=" + b"x" * 5000 + b"\n\n", "user data: a boundary of 5000 characters is not supported; write one of at most 70"),
    ],
)  # fmt: skip
def test_what_is_meant_for_the_agent_and_cannot_be_used(raw: bytes, expected: str) -> None:
    """It is a problem that says what was found, and what to write."""
    assert expected in problems(raw)[0]


@pytest.mark.parametrize(
    "raw",
    [
        b"#!/bin/sh\ncat >x <<EOF\n" + multipart(OURS) + TOML.encode() + b"EOF\n",
        b"## template: jinja\n#!/bin/sh\n" + OURS,
        b"#cloud-boothook\n#!/bin/sh\ncat <<EOF\n" + OURS + b"EOF\n",
        multipart(message(b"#!/bin/sh\ncat <<EOF\n" + OURS + TOML.encode() + b"EOF\n", "text/x-shellscript")),
        multipart(message(b"#!/bin/sh\ncat <<EOF\n" + OURS + TOML.encode() + b"EOF\n", "text/plain")),
        multipart(message(b"rpm -U eks-proxy-agent.rpm\n" + OURS, "text/x-shellscript-per-boot")),
        multipart(message(SHELL.encode(), 'text/x-shellscript; name="eks-proxy-agent.sh"')),
        b"#cloud-config\nwrite_files:\n- path: /etc/eks-proxy-agent/config.toml\n  content: |\n    [proxy]\n    url = 1\n",
        b"#cloud-config\npackages: [eks-proxy-agent]\n",
        b"#cloud-config\nruncmd: [systemctl start eks-proxy-agent]\n",
        b"[proxy]\n# url = 1\n[other]\nurl = 1\n",
        b"[[proxy]]\nurl = 1\n",
        b"url = 1\n[proxy]\n",
    ],
)
def test_what_is_not_meant_for_the_agent(raw: bytes) -> None:
    """Scripts, files of cloud-init, names of packages and other tables are not problems."""
    assert problems(raw) == ()


def test_usable_and_unusable_parts() -> None:
    """A part that cannot be used does not take another one away."""
    user_data = read_user_data(multipart(message(b"a = 1"), message(b"b = 2", "application/eks-proxy-agent")))
    assert user_data.settings == ("a = 1",)
    assert len(user_data.problems) == 1


def test_twenty_problems_are_given_in_full() -> None:
    """Many problems are counted."""
    found = problems(b"x\n" + b"Content-Type: x-eks-proxy-agent\n" * 8000)
    assert len(found) == 21
    assert found[-1] == "7980 more problems of this kind"


def test_problems_hold_no_settings() -> None:
    """Settings may hold secrets: a problem quotes types and boundaries only."""
    for raw in (b"[proxy]\nurl = 'http://user:s3cret@p:1'\n", b" Content-Type: x-eks-proxy-agent ; s3cret\n"):
        assert problems(raw)
        assert "s3cret" not in "".join(problems(raw))


BOOTSTRAP = "#!/bin/bash\n/etc/eks/bootstrap.sh c\n"


@pytest.mark.parametrize(
    "raw",
    [
        BOOTSTRAP.encode(),
        multipart(message(b"echo\n", "text/x-shellscript"), message(BOOTSTRAP.encode(), "text/x-shellscript")),
        multipart(message(base64.encodebytes(BOOTSTRAP.encode()), "text/plain", "base64")),
        gzip.compress(
            multipart(message(gzip.compress(BOOTSTRAP.encode(), mtime=0), "text/x-shellscript", "binary")), mtime=0
        ),
    ],
)
def test_scripts_that_call_bootstrap(raw: bytes) -> None:
    """Scripts with bootstrap.sh are handed on, for what they say of the cluster; others are not."""
    assert read_user_data(raw) == UserData(scripts=(BOOTSTRAP,))


def test_errors_name_the_source() -> None:
    """A file of nodeadm.d is not called user data."""
    with pytest.raises(SettingsError, match=r"^/etc/x[.]yaml, part 1 \(application/node[.]eks[.]aws\): not UTF-8"):
        read_user_data(message(b"\xff", NODE_CONFIG_TYPE), "/etc/x.yaml")
    assert read_user_data(TOML.encode(), "/etc/x.yaml").problems[0].startswith("/etc/x.yaml: ")


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
    """Any text of one line in a part arrives as it was written; a comment is never base64."""
    encoding, encode = form
    text = "# " + text
    user_data = read_user_data(multipart(message(encode(text.encode()), encoding=encoding)))
    assert user_data.settings == (text,)
