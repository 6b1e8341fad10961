"""Bad input end to end: a clear error, no loss, no traceback, no partly written file, no hang."""

from __future__ import annotations

import base64
import gzip
import json
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from agent.demo.instance import Instance
from agent.edges.files import FileSystem
from agent.edges.state import BASELINE, INSTANCES, STATUS, State
from agent.errors import FileError
from tests.integration import moods
from tests.integration.command_line import PROXY, Node, Outcome, run
from tests.integration.moods import Mood, MoodyService

URL_FORM = "(allowed: http://HOST:PORT or https://HOST:PORT, or a list of them in order of preference)"
ENTRY_FORM = "(allowed: a list of names, .suffixes, addresses and CIDRs)"
UNIT_FORM = "(allowed: a list of systemd services, such as docker)"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node whose settings name a proxy."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\n')
    return node


def refused(node: Node, done: Outcome, code: int, *texts: str) -> None:
    """Assert the exit code, all `texts` on stderr in lines of ASCII, and no traceback."""
    assert (done.code, done.out) == (code, ""), done.both
    assert [text for text in texts if text not in done.err] == [], done.err
    assert "Traceback" not in done.err
    assert all(line.startswith(("eks-proxy-agent: ", "hint: ")) for line in done.err.splitlines()), done.err
    assert done.err.replace("\n", "").isprintable()
    assert len(done.err) < 4000


# --- settings

SETTINGS: list[tuple[str, str, list[str]]] = [
    # name, config.toml, texts of the error
    ("proxy without scheme", '[proxy]\nurl = "proxy:3128"', ['line 2: proxy.url: "proxy:3128"', "write http://proxy:3128"]),
    ("proxy with user info", '[proxy]\nurl = "http://alice:hunter2@p:1"', ["proxy.url: contains user info", "proxy.credentials_file"]),
    ("https proxy with user info", '[proxy]\nhttps_url = "http://alice:hunter2@p:1"', ["proxy.https_url: contains user info"]),
    ("proxy with port 0", '[proxy]\nurl = "http://p:0"', ['"http://p:0" has the port "0"', "from 1 to 65535", URL_FORM]),
    ("proxy with port 99999", '[proxy]\nurl = "http://p:99999"', ['the port "99999"', "from 1 to 65535", URL_FORM]),
    ("proxy without port", '[proxy]\nurl = "http://p"', ['"http://p" has no port', "as in http://p:3128", URL_FORM]),
    ("proxy with a path", '[proxy]\nurl = "http://p:1/x"', ['"http://p:1/x" has a path', URL_FORM]),
    ("proxy with a newline", '[proxy]\nurl = "http://p:1\\nA=b"', [r"the character '\n'", URL_FORM]),
    ("proxy with %0a", '[proxy]\nurl = "http://p%0a:1"', ['"http://p%0a:1" contains "%"', URL_FORM]),
    ("proxy not in ASCII", '[proxy]\nurl = "http://pröxy:1"', [r"the character '\xf6'", "xn--", URL_FORM]),
    ("second proxy of a list", '[proxy]\nurl = ["http://a:1", "b:1"]', ['"b:1" has no scheme', URL_FORM]),
    ("entry with a blank", '[proxy]\nno_proxy = ["a b"]', ['"a b" contains a blank', ENTRY_FORM]),
    ("entry with a comma", '[proxy]\nno_proxy = ["a,b"]', ['"a,b" contains a blank, comma', ENTRY_FORM]),
    ("entry with a newline", '[proxy]\nno_proxy = ["a\\nb"]', [r'"a\nb" contains a blank, comma, control', ENTRY_FORM]),
    ("entry with an escape", '[proxy]\nno_proxy = ["\\u001b[31m"]', [r'"\x1b[31m" contains', ENTRY_FORM]),
    ("entry *", '[proxy]\nno_proxy = ["*"]', ['"*" would bypass the proxy for every host', ENTRY_FORM]),
    ("entry with a password", '[proxy]\nno_proxy = ["http://alice:hunter2@p"]', ["is a URL", ENTRY_FORM]),
    ("unknown section", "[prxy]\nurl = 1", ["line 1: prxy: unknown section; did you mean proxy?"]),
    ("unknown key", "[proxy]\nurls = 1", ["line 2: proxy.urls: unknown key; did you mean proxy.url?"]),
    ("key at the top", 'url = "http://p:1"', ["line 1: url: unknown key; did you mean proxy.url?"]),
    ("integer for a string", "[proxy]\nurl = 3128", ["line 2: proxy.url: expected a string, got the integer 3128", URL_FORM]),
    ("string for a list", '[node]\nunits = "docker"', ['node.units: expected an array, got the string "docker"', UNIT_FORM]),
    ("string for a boolean", '[node]\nyum = "no"', ['node.yum: expected a boolean, got the string "no" (allowed: true or false)']),
    ("table for a string", "[cluster.name]\na = 1", ["cluster.name: expected a string, got a table"]),
    ("list for a section", "[[node]]\nyum = true", ["line 1: node: not a section; write [node]"]),
    ("huge number", "[bootstrap]\ntimeout = " + "9" * 5000, ["config.toml"]),
    ("deep nesting", "[aws]\ndirect = " + "[" * 5000, ["config.toml: invalid TOML"]),
    ("syntax error", "[proxy]\nurl = http://p:1", ["config.toml: invalid TOML: ", "(at line 2, column 7)"]),
    ("open string", '[proxy]\nurl = "http://p:1\n', ["invalid TOML: ", "(at line 2, column 18)"]),
    ("NUL byte", "[proxy]\n# \0\n", ["invalid TOML: ", "line 2"]),
    ("unit with ..", '[node]\nunits = ["../../../tmp/x"]', ['node.units: "../../../tmp/x" is not a unit name', UNIT_FORM]),
    ("unit with a slash", '[node]\nunits = ["a/b"]', ['"a/b" is not a unit name', UNIT_FORM]),
    ("unit ..", '[node]\nunits = [".."]', ['".." is not a unit name', UNIT_FORM]),
    ("absolute unit", '[node]\nenable = ["/etc/passwd"]', ['node.enable: "/etc/passwd" is not a unit name']),
    ("unit with a newline", '[node]\nunits = ["a\\nb"]', [r'"a\nb" is not a unit name', UNIT_FORM]),
    ("socket unit", '[node]\nunits = ["docker.socket"]', ['"docker.socket" is not a service', UNIT_FORM]),
    ("VPC of all addresses", '[vpc]\ncidrs = ["0.0.0.0/0"]', ['"0.0.0.0/0" would bypass the proxy']),
    ("closed without a proxy", '[failure]\npolicy = "closed"\n[proxy]\nurl = ""', ['failure.policy is "closed"', "proxy.url is not set"]),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "texts"), [row[1:] for row in SETTINGS], ids=[row[0] for row in SETTINGS])
def test_settings(node: Node, settings: str, texts: list[str]) -> None:
    """The error has file, key, value and what is allowed, and nothing is written."""
    node.settings(settings)
    before = node.tree()
    done = node.main("apply")
    refused(node, done, 78, *texts)
    assert "hunter2" not in done.err
    after = node.tree()
    after.pop("var/lib/eks-proxy-agent", None)  # empty; the lock is on it
    assert after == before


@pytest.mark.parametrize(
    ("flags", "texts"),
    [
        (["--proxy", "proxy:3128"], ['flags: proxy.url: "proxy:3128" has no scheme; write http://proxy:3128']),
        (["--proxy", "http://alice:hunter2@p:1"], ["flags: proxy.url: contains user info", "proxy.credentials_file"]),
        (["--proxy", "http://p:1\n"], ["flags: proxy.url: contains the character"]),
        (["--set", "proxy"], ['--set "proxy": expected SECTION.KEY=VALUE, such as proxy.url=http://proxy:3128']),
        (["--set", "a.b.c=1"], ["flags: a: unknown section (allowed: proxy, "]),
        (["--set", "node.yum=no"], ['flags: node.yum: expected a boolean, got the string "no"']),
        (["--set", "aws.direct=" + "[" * 5000], ["flags: aws.direct: expected an array, got the string "]),
        (["--set", "bootstrap.timeout=" + "9" * 5000], ["flags: bootstrap.timeout"]),
        (
            ["--set", "bootstrap.timeout=" + "9" * 400],
            ["flags: bootstrap.timeout", "is out of range (allowed: seconds above 0 and up to 3600)"],
        ),
        (["--set", "\udcff.\udcff=\udcff"], [r'flags: "\udcff": unknown section']),
    ],
)
def test_flags(node: Node, flags: list[str], texts: list[str]) -> None:
    """Wrong flags are errors like wrong files; nothing is written."""
    before = node.tree()
    done = node.main("apply", *flags)
    refused(node, done, 78, *texts)
    assert "hunter2" not in done.err
    assert node.tree() == before


@pytest.mark.parametrize(
    ("damage", "texts"),
    [
        (lambda path: path.write_bytes(b"[proxy]\n# caf\xe9\n"), ["config.toml, line 2: invalid UTF-8"]),
        (lambda path: (path.unlink(), path.mkdir()), ["/etc/eks-proxy-agent/config.toml: is a directory"]),
        (lambda path: (path.unlink(), os.mkfifo(path)), ["/etc/eks-proxy-agent/config.toml: is not a regular file"]),
        (lambda path: (path.unlink(), path.symlink_to("config.toml")), ["too many levels of symbolic links"]),
        (lambda path: path.write_bytes(b"#" * (5 << 20)), ["config.toml: is larger than 4194304 bytes"]),
        (lambda path: (path.parent / "config.d").write_text("x"), ["/etc/eks-proxy-agent/config.d: cannot be listed"]),
    ],
    ids=["not UTF-8", "a directory", "a pipe", "a loop of links", "huge", "config.d is a file"],
)
def test_settings_files(node: Node, damage: Callable[[Path], object], texts: list[str]) -> None:
    """A settings file that cannot be used is an error; it neither blocks nor fills the memory."""
    damage(node.root / "etc/eks-proxy-agent/config.toml")
    before = node.stamps()
    done = node.run("plan")
    assert done.code in (1, 78)
    refused(node, done, done.code, *texts)
    assert node.stamps() == before


# --- facts, user data, metadata


def mime(kind: str, body: bytes, encoding: str = "8bit") -> bytes:
    """Return user data of one MIME part."""
    return b"Content-Type: %s\nContent-Transfer-Encoding: %s\n\n%s" % (kind.encode(), encoding.encode(), body)


OURS = "application/x-eks-proxy-agent"
NODE_CONFIG = "application/node.eks.aws"


@pytest.mark.parametrize(
    ("data", "code", "texts"),
    [
        (mime(OURS, b"[proxy]\nurl = 1"), 78, ["user data, line 2: proxy.url: expected a string, got the integer 1"]),
        (mime(OURS, b"[proxy"), 78, ["user data: invalid TOML"]),
        (
            mime(OURS, b"[proxy]\n\xff"),
            78,
            ["user data, part 1 (application/x-eks-proxy-agent): not UTF-8 (line 2)"],
        ),
        (mime(OURS, b"[proxy]\n#\x1b"), 78, ["control character"]),
        (mime(OURS, b"#" * 70_000), 78, ["user data: larger than 64 KiB; move large values"]),
        (mime(OURS, b"[proxy]\n" + b"a." * 30_000 + b"a = 1"), 78, ["user data, line 2: key with more than 64 dots"]),
        (
            mime(OURS, b"".join(b"k%d = 1\n" % number for number in range(5000))),
            78,
            ["k19: unknown key", "and 4,980 more"],
        ),
        (mime(OURS, b"k" * 60_000 + b" = 1\n" + b"k" * 60_000 + b" = 2"), 78, ["user data: larger than 64 KiB"]),
        (mime(OURS, b"!!!", "base64"), 78, ["user data, part 1", "invalid base64"]),
        (
            mime(OURS, gzip.compress(b"#" * (2 << 20), mtime=0)),
            78,
            ["user data, part 1", "longer than 256 KiB unpacked"],
        ),
        (
            mime(OURS, gzip.compress(b"[proxy]", mtime=0)[:-9]),
            78,
            ["user data, part 1", "damaged or truncated gzip"],
        ),
        (gzip.compress(b"#" * (2 << 20), mtime=0), 78, ["user data: longer than 256 KiB unpacked"]),
        (mime(NODE_CONFIG, b"kind: ["), 1, ["NodeConfig (user data): line 1", "invalid YAML"]),
        (
            mime(NODE_CONFIG, b"kind: NodeConfig\nx: !!int abc"),
            1,
            ['NodeConfig (user data): line 2, column 4: tag "tag:yaml.org,2002:int" is not supported'],
        ),
        (
            mime(NODE_CONFIG, b"kind: NodeConfig\nspec: {cluster: {cidr: 10.0.0.0}}"),
            1,
            ['NodeConfig: service CIDR: "10.0.0.0" is not a CIDR'],
        ),
    ],
)
def test_user_data(node: Node, data: bytes, code: int, texts: list[str]) -> None:
    """A mistake in the agent's part of user data is reported with its line; nothing is written."""
    node.be(user_data_base64=base64.b64encode(data).decode())
    before = node.tree()
    refused(node, node.main("apply"), code, *texts)
    assert node.tree() == before


@pytest.mark.parametrize(
    "data",
    [
        bytes(range(256)) * 40,
        b"\x7fELF" + bytes(4000),
        b"\x1f\x8b\x08" + bytes(range(256)),
        b"#!/bin/sh\n\xff\xfe\0",
        b"#cloud-config\n" + b"[" * 5000,
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n"
        + b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" * 30,
        b"Content-Type: text/plain; charset=\xff\n\n\xff",
    ],
    ids=["every byte", "ELF", "damaged gzip", "script", "cloud-config", "nested MIME", "odd charset"],
)
def test_other_user_data_is_ignored(node: Node, data: bytes) -> None:
    """User data without a part for the agent may hold any bytes; the files configure the node."""
    node.be(user_data_base64=base64.b64encode(data).decode())
    done = node.main("apply")
    assert (done.code, done.err) == (0, "")
    assert node.variables()["http_proxy"] == PROXY


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"", ["facts.json: invalid JSON"]),
        (b"\xff", ["facts.json: invalid JSON"]),
        (b"[]", ["facts.json: not a JSON object"]),
        (b"[" * 50000, ["facts.json: invalid JSON"]),
        (b" " * (5 << 20), ["facts.json: is larger than 4194304 bytes"]),
        (b"{}", ["instance_id is missing; region is missing; vpc_cidrs_v4 is missing"]),
        (b'{"instance_id": "../x", "region": "eu-central-1", "vpc_cidrs_v4": ["10.0.0.0/16"]}', ['"../x" is not an instance id']),
        (b'{"instance_id": "i-11111111", "region": "x", "vpc_cidrs_v4": ["10.0.0.0/16"]}', ['"x" is not a region']),
        (b'{"instance_id": "i-11111111", "region": "eu-central-1", "vpc_cidrs_v4": "10.0.0.0/16"}', ["not a list"]),
        (b'{"instance_id": "i-11111111", "region": "eu-central-1", "vpc_cidrs_v4": ["x\\ny"]}', ['"x" is not a CIDR']),
        (b'{"instance_id": "i-11111111", "region": "eu-central-1", "vpc_cidrs_v4": []}', ["vpc_cidrs_v4: empty"]),
    ],
)  # fmt: skip
def test_facts_file(node: Node, content: bytes, texts: list[str]) -> None:
    """A wrong --facts file is an error with the value; nothing is written."""
    node.facts.write_bytes(content)
    before = node.tree()
    refused(node, node.main("apply"), 1, *texts)
    assert node.tree() == before


@pytest.fixture
def service() -> Iterator[MoodyService]:
    """Return a metadata service that can misbehave."""
    with MoodyService() as service:
        yield service


def apply_with(node: Node, service: MoodyService, deadline: float = 3) -> Outcome:
    """Run `apply` with facts from the service."""
    flags = ["--set", "metadata.endpoint=" + service.endpoint, "--set", f"metadata.deadline={deadline:g}"]
    return node.main("apply", *flags, facts=False)


@pytest.mark.parametrize(
    ("path", "misbehave", "texts"),
    [
        ("/mac", moods.answer(b"not-a-mac"), ['meta-data/mac: "not-a-mac" is not a MAC address such as']),
        ("/mac", moods.answer(b"06:1d:5a:3b:7c:9e\n06:1d:5a:3b:7c:9f"), ["is not a MAC address"]),
        ("/mac", moods.answer(moods.HTML), ["<!DOCTYPE html>", "is not a MAC address"]),
        ("/token", moods.answer(moods.HTML), ["api/token: the answer is not a token"]),
        ("/instance-id", moods.answer(b"i-0/../../x"), ['"i-0/../../x" is not an instance id such as']),
        ("/region", moods.answer(b"eu-central-1\nA=b"), ["is not a region such as"]),
        ("/domain", moods.answer(b"amazonaws.com,*"), ["is not a DNS domain such as"]),
        ("/vpc-ipv4-cidr-blocks", moods.answer(b"10.0.0.0/16\n<html>"), ['"<html>" is not a CIDR such as 10.0.0.0/16']),
        ("/vpc-ipv4-cidr-blocks", moods.answer(b"0.0.0.0/0"), ['"0.0.0.0/0" is not']),
        ("/vpc-ipv6-cidr-blocks", moods.answer(b"10.0.0.0/16"), ['"10.0.0.0/16" is not an IPv6 CIDR']),
        ("/user-data", moods.answer(b"#" * 200000), ["user-data: answered 200000 bytes; at most"]),
        ("/mac", moods.flood(announced=True, sent=[]), ["mac: answered 1073741824 bytes; at most"]),
        ("/user-data", moods.flood(announced=False, sent=[]), ["user-data: answered more than", "at most"]),
        ("/mac", moods.status(403), ["mac: answered 403", "hint: the metadata service is disabled"]),
        ("/mac", moods.raw(b"SSH-2.0-OpenSSH_9.2\r\n"), ["mac: "]),
        ("", moods.hang, ["no complete answer in time (tried for 3 s)"]),
        (
            "",
            moods.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", lambda: None),
            ["no complete answer in time"],
        ),
        ("", moods.drip(b"HTTP/1.1 200 OK\r\nX-", lambda: None), ["(tried for 3 s)"]),
        ("", moods.status(503), ["answered 503", "(tried for 3 s)"]),
    ],
    ids="MAC|two MACs|HTML for a MAC|HTML for a token|instance-id|newline|domain|HTML for a CIDR|CIDR of all"
    "|IPv4 for IPv6|long user data|1 GiB|endless chunks|disabled|not HTTP|silence|drip|drip of headers|busy".split("|"),
)
def test_metadata(
    node: Node, service: MoodyService, path: str, misbehave: Callable[[moods.MoodyHandler], None], texts: list[str]
) -> None:
    """A response that is wrong, too long or too slow is an error that shows the response."""
    service.moods.append(Mood(misbehave, path, times=1000))
    before = node.tree()
    refused(node, apply_with(node, service), 1, *texts)
    assert node.tree() == before


def test_no_metadata_service(node: Node) -> None:
    """If nothing listens there, the error has the address and the time; the files do not change."""
    node.run("apply")
    before = node.tree()
    host, port = moods.free_port("127.0.0.1")
    endpoint = f"http://{host}:{port}"
    flags = ["--set", "metadata.endpoint=" + endpoint, "--set", "metadata.deadline=0.2"]
    done = node.run("apply", *flags, facts=False)
    refused(node, done, 1, f"instance metadata service at {endpoint} did not answer", "(tried for 0.2 s)")
    assert node.tree() == before


def test_values_of_the_metadata_service_cannot_add_lines(node: Node, service: MoodyService) -> None:
    """Two values of the service do not become two lines in a file."""
    service.instance = Instance(vpc_cidrs_v4=("10.0.0.0/16", "100.64.0.0/10"))
    assert apply_with(node, service, 5).code == 0
    assert len(node.read("etc/environment").splitlines()) == 3 + 6


# --- files of the node

ENVIRONMENT, DNF_CONF = "etc/environment", "etc/dnf/dnf.conf"


#: Ways to damage a file.
DAMAGE: dict[str, Callable[[Path], object]] = {
    "not UTF-8": lambda path: path.write_bytes(b"[main]\nNAME=caf\xe9\n"),
    "NUL": lambda path: path.write_bytes(b"[main]\nA=b\0c\n"),
    "directory": lambda path: (path.unlink(), path.mkdir()),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "loop": lambda path: (path.unlink(), path.symlink_to(path.name)),
    "huge": lambda path: path.write_bytes(b"# filler\n" * (1 << 19)),
}


@pytest.mark.parametrize(
    ("name", "how", "text"),
    [
        (ENVIRONMENT, "not UTF-8", "/etc/environment: line 2: invalid UTF-8"),
        (ENVIRONMENT, "NUL", "/etc/environment: line 2: NUL byte"),
        (ENVIRONMENT, "directory", "/etc/environment: "),
        (ENVIRONMENT, "pipe", "/etc/environment: is not a regular file"),
        (ENVIRONMENT, "loop", "/etc/environment: too many levels of symbolic links"),
        (ENVIRONMENT, "huge", "/etc/environment: is larger than 4194304 bytes"),
        (DNF_CONF, "directory", "/etc/dnf/dnf.conf: "),
        (DNF_CONF, "pipe", "/etc/dnf/dnf.conf: is not a regular file"),
        (DNF_CONF, "loop", "/etc/yum.conf: too many levels of symbolic links"),
        (DNF_CONF, "huge", "/etc/dnf/dnf.conf: is larger than 4194304 bytes"),
    ],
)
def test_one_damaged_file(node: Node, name: str, how: str, text: str) -> None:
    """A file that cannot be used is reported and not changed; the others are written.

    Once it is corrected, it is written too.
    """
    original = (node.root / name).read_bytes()
    DAMAGE[how](node.root / name)
    before = (node.root / name).lstat()
    done = node.main("apply")
    assert done.code == 1
    assert text in done.err
    assert "Traceback" not in done.both
    after = (node.root / name).lstat()
    assert (after.st_ino, after.st_mtime_ns, after.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)
    assert node.variables("etc/eks-proxy-agent/node.env")["http_proxy"] == PROXY
    other = DNF_CONF if name == ENVIRONMENT else ENVIRONMENT
    assert PROXY in node.read(other)
    if (node.root / name).is_dir():
        (node.root / name).rmdir()
    else:
        (node.root / name).unlink()
    node.write(name, original)
    assert node.main("apply").code == 0
    assert PROXY in node.read(name)


def test_many_problems_are_counted(node: Node) -> None:
    """The first 20 files that cannot be written are reported, on stderr and in status.json."""
    units = [f"u{number:02}" for number in range(30)]
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[node]\nunits = {json.dumps(units)}\n')
    for unit in units:
        node.write(f"etc/systemd/system/{unit}.service.d", b"not a directory")
    done = node.main("apply")
    assert done.code == 1
    lines = [line for line in done.err.splitlines() if line.startswith("eks-proxy-agent: ")]
    assert len(lines) == 21
    assert lines[-1] == "eks-proxy-agent: and 10 more"
    error = json.loads(node.read("run/eks-proxy-agent/status.json"))["error"]
    assert error.splitlines()[-1] == "and 10 more"
    assert len(error.splitlines()) == 21


def test_yum_conf_in_another_encoding(node: Node) -> None:
    """yum.conf may hold any bytes: they stay, and the proxy is added."""
    DAMAGE["not UTF-8"](node.root / DNF_CONF)
    assert node.main("apply").code == 0
    assert (node.root / DNF_CONF).read_bytes() == b"[main]\nproxy=%s\nNAME=caf\xe9\n" % PROXY.encode()


def test_dangling_links(node: Node) -> None:
    """The target of a dangling link is created, the link stays, and revert removes the target."""
    for name in (ENVIRONMENT, DNF_CONF):
        (node.root / name).unlink()
        (node.root / name).symlink_to("elsewhere-" + os.path.basename(name))
    before = node.tree()
    assert node.main("apply").code == 0
    assert (node.root / ENVIRONMENT).is_symlink()
    assert node.variables()["http_proxy"] == PROXY
    assert PROXY in node.read(DNF_CONF)
    assert node.main("revert").code == 0
    assert node.tree() == before


def test_links_cannot_lead_out_of_the_tree(node: Node, tmp_path: Path) -> None:
    """With --root, absolute links are relative to the tree, and .. stops at its root."""
    outside = tmp_path / "outside"
    outside.write_text("A=b\n")
    (node.root / ENVIRONMENT).unlink()
    (node.root / ENVIRONMENT).symlink_to(outside)
    (node.root / DNF_CONF).unlink()
    (node.root / DNF_CONF).symlink_to("../../../../../../../../../../../.." + str(outside))
    assert node.main("apply").code == 0
    assert outside.read_text() == "A=b\n"
    assert PROXY in (node.root / str(outside)[1:]).read_text()


WITHOUT_OVERRIDE = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all"]


def without_override(argv: list[str]) -> list[str]:
    """Return the command, as root without the capability to override file permissions."""
    if os.geteuid() != 0:
        return argv
    assert shutil.which("setpriv"), "the package util-linux is missing: root's rights cannot be taken away"
    return [*WITHOUT_OVERRIDE, "--", *argv]


@pytest.mark.parametrize("name", [ENVIRONMENT, DNF_CONF])
def test_an_unreadable_file(node: Node, name: str) -> None:
    """A file without read permission is reported and not changed; the others are written."""
    (node.root / name).chmod(0)
    done = run(without_override(node.argv("apply")))
    (node.root / name).chmod(0o644)
    assert done.code == 1
    assert f"/{name}: cannot be read: Permission denied" in done.err
    assert "Traceback" not in done.both
    assert PROXY not in node.read(name)
    assert PROXY in node.read("etc/eks-proxy-agent/node.env")


def test_a_directory_without_write_permission(node: Node) -> None:
    """A file that cannot be replaced is reported and unchanged, and no temporary file remains."""
    before = (node.root / DNF_CONF).read_bytes()
    (node.root / "etc/dnf").chmod(0o555)
    done = run(without_override(node.argv("apply")))
    (node.root / "etc/dnf").chmod(0o755)
    assert done.code == 1
    assert "/etc/dnf/dnf.conf: cannot be written: Permission denied" in done.err
    assert "Traceback" not in done.both
    assert (node.root / DNF_CONF).read_bytes() == before
    assert os.listdir(node.root / "etc/dnf") == ["dnf.conf"]


@pytest.mark.parametrize("size", [0, 100, 1000])
def test_a_full_disk(node: Node, size: int) -> None:
    """If a write fails, each file is wholly old or new, and the next apply completes the work."""
    before = node.tree()

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    done = node.run("apply", preexec_fn=fill)
    assert done.code == 1
    assert "cannot be written: File too large" in done.err
    assert "Traceback" not in done.both
    for name in (ENVIRONMENT, DNF_CONF):
        assert node.tree()[name] == before[name]
    assert list(node.root.rglob(".*")) == []
    assert node.main("apply").code == 0
    assert PROXY in node.read(ENVIRONMENT)
    assert node.main("revert").code == 0
    assert node.tree() == before


@pytest.mark.parametrize(
    ("read", "hint"),
    [
        (State.status, "to rewrite it: eks-proxy-agent apply"),
        (State.baseline, "inspect it, then move it away; revert cannot restore the original files without it"),
        (lambda state: state.of_instance("i-1", "bootstrap"), "bootstrap.sh runs again on this instance without it"),
        (lambda state: state.of_instance("i-1", "flags"), "the flags kept by apply are lost with it"),
    ],
)
def test_the_hint_says_what_a_corrupt_state_file_means(node: Node, read: Callable[[State], object], hint: str) -> None:
    """Each file holds something else, and the hint says what is lost if the file is moved away."""
    for path in (STATUS, BASELINE, INSTANCES + "/i-1/bootstrap.json", INSTANCES + "/i-1/flags.json"):
        node.write(path[1:], b"{")
    with pytest.raises(FileError, match="corrupt, or written by another version") as caught:
        read(State(FileSystem(str(node.root))))
    assert caught.value.hint.endswith(hint)


@pytest.mark.parametrize(
    "name",
    ["var/lib/eks-proxy-agent/baseline.json", "var/lib/eks-proxy-agent/instances/i-0123456789abcdef0/flags.json"],
)
def test_corrupt_state(node: Node, name: str) -> None:
    """A corrupt state file is reported with a hint before anything is written."""
    for content in (b"", b"{", b"[]", b"\xff", b'{"files": {"/etc/environment": 1}, "folders": []}'):
        node.write(name, content, 0o600)
        before = node.tree()
        done = node.main("apply")
        assert done.code in (1, 78)
        refused(node, done, done.code, os.path.basename(name) if done.code == 1 else "flags kept by apply")
        assert node.tree() == before


@pytest.mark.parametrize(
    "result", [7, {}, {"direct": False, "addresses": 7}, {"direct": False, "addresses": ["10.0.0"]}]
)
def test_corrupt_probe_results(node: Node, result: object) -> None:
    """A corrupt probe result is ignored, because the host can be probed again."""
    node.settings(f'[proxy]\nurl = "{PROXY}"\n[cluster]\nendpoint = "https://api.corp"\n')
    name = "var/lib/eks-proxy-agent/instances/i-0123456789abcdef0/direct.json"
    node.write(name, json.dumps({"api.corp": result}).encode(), 0o600)
    assert node.main("apply").code == 0
    assert "api.corp" in node.no_proxy()
