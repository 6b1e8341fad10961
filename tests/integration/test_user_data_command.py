"""`user-data render` and `user-data check` as a person runs them."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import json_schemas
from tests.integration.command_line import PROXY, REPOSITORY, environment

CASES = sorted((REPOSITORY / "tests/unit/core/userdata/cases").iterdir())
WAYS = ("launch-template", "managed-node-group", "karpenter", "terraform")
SHA256 = "0123456789abcdef" * 4
LEAD = (b"\xed\xab\xee\xdb\x03\0\0\0\0\x01eks-proxy-agent-1.0.0-1").ljust(96, b"\0")
SETTINGS = f"""\
[proxy]
url = "{PROXY}"
[cluster]
name = "my-cluster"
endpoint = "https://ABC.gr7.eu-west-1.eks.amazonaws.com"
service_cidr = "172.20.0.0/16"
"""
AUTHORITY = ("--certificate-authority", "TXkgY2x1c3RlcidzIENBLg==")


def user_data(*arguments: str | Path, stdin: bytes = b"") -> Any:
    """Run `user-data` as a process."""
    argv = [sys.executable, "-m", "agent", "user-data", *map(str, arguments)]
    return subprocess.run(argv, cwd=REPOSITORY, env=environment(), input=stdin, capture_output=True, check=False)


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A settings file."""
    path = tmp_path / "config.toml"
    path.write_text(SETTINGS)
    return path


@pytest.mark.parametrize("late", [(), ("--rpm", "s3://bucket/a.rpm", "--region", "eu-west-1", "--sha256", SHA256)])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_rendered_passes_the_check(settings: Path, way: str, late: tuple[str, ...]) -> None:
    """The same settings file serves each way; the check of its own way has no warning."""
    done = user_data("render", "--for", way, "--config", settings, *AUTHORITY, *late)
    assert (done.returncode, done.stderr) == (0, b"")
    if way == "terraform":
        assert done.stdout.startswith(b"# An argument of a node group of terraform-aws-eks")
        return
    checked = user_data(
        "check", "-", *(("--for", way) if late or way != "managed-node-group" else ()), stdin=done.stdout
    )
    assert (checked.returncode, checked.stderr) == (0, b""), checked.stdout.decode()
    assert (b"proxy.url is " + PROXY.encode() in checked.stdout) == (not late or way != "managed-node-group")


def test_the_digest_of_a_local_copy(settings: Path, tmp_path: Path) -> None:
    """--rpm-file needs no --sha256; its digest is in the script.  The package has about 3 MB."""
    package = LEAD + bytes(3 << 20)
    (tmp_path / "a.rpm").write_bytes(package)
    done = user_data(
        "render",
        "--for",
        "karpenter",
        "--config",
        settings,
        "--rpm",
        "https://r.corp/a.rpm",
        "--rpm-file",
        tmp_path / "a.rpm",
    )
    assert done.returncode == 0
    assert f"sha256={hashlib.sha256(package).hexdigest()}\n".encode() in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (
            ("--rpm", "s3://bucket/a.rpm", "--sha256", SHA256),
            2,
            "the region of the bucket is unknown; add --region REGION",
        ),
        (
            ("--rpm", "s3://bucket/a.rpm", "--sha256", SHA256, "--region", "Europe"),
            2,
            '--region: "Europe" is not an AWS region',
        ),
        (("--rpm", "https://r.corp/a.rpm"), 2, "--rpm: requires --sha256 HEX or --rpm-file FILE"),
        (("--sha256", SHA256), 2, "--sha256: requires --rpm URL"),
        (("--rpm-file", "README.md"), 2, "--rpm-file: requires --rpm URL"),
        (("--rpm", "https://r.corp/a.rpm", "--rpm-file", "README.md"), 2, "--rpm-file README.md: is not an RPM"),
        (
            ("--rpm", "https://r.corp/a.rpm", "--rpm-file", "/nonexistent"),
            1,
            "/nonexistent: cannot be read: No such file",
        ),
        (("--rpm", "https://a:hunter2@r.corp/a.rpm", "--sha256", SHA256), 2, "--rpm: contains user info"),
        (("--proxy", "http://a:hunter2@proxy:3128"), 78, "flags: proxy.url: contains user info"),
        (("--proxy", "proxy:3128"), 78, "no scheme"),
        (("--name", "My Class"), 2, '--name "My Class": not a valid name'),
        (("--node-config", "/nonexistent"), 1, "/nonexistent: cannot be read: No such file"),
        (("--node-config", "LICENSE"), 1, "NodeConfig (LICENSE): "),
        (("--set", "proxy.urll=1"), 78, "did you mean proxy.url?"),
        (("--config", "/nonexistent"), 1, "/nonexistent: cannot be read: No such file"),
    ],
)
def test_bad_input_renders_nothing(settings: Path, arguments: tuple[str, ...], code: int, error: str) -> None:
    """The error says what to change; stdout stays empty, and no password is repeated."""
    done = user_data("render", "--for", "karpenter", "--config", settings, *arguments)
    assert (done.returncode, done.stdout) == (code, b"")
    assert error in done.stderr.decode()
    assert b"hunter2" not in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_cluster_that_is_not_complete(tmp_path: Path) -> None:
    """The hint says how to set what the NodeConfig lacks."""
    done = user_data("render", "--for", "launch-template", "--proxy", PROXY)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "hint: set cluster.name, set cluster.endpoint" in done.stderr.decode()
    (tmp_path / "n.yaml").write_bytes("kind: NodeConfig # ü\n".encode())
    done = user_data("render", "--for", "karpenter", "--proxy", PROXY, "--node-config", tmp_path / "n.yaml")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "contains non-ASCII characters" in done.stderr.decode()


def test_warnings_are_not_part_of_what_is_rendered(settings: Path) -> None:
    """stdout is user data; what a person should know goes to stderr."""
    plain = user_data("render", "--for", "karpenter", "--config", settings, *AUTHORITY)
    large = "\n".join(f'  "host-{number}.corp",' for number in range(900))
    settings.write_text(SETTINGS.replace("[cluster]", f"no_proxy = [\n{large}\n]\n[cluster]"))
    done = user_data("render", "--for", "karpenter", "--config", settings, *AUTHORITY)
    assert (plain.stderr, done.returncode) == (b"", 0)
    assert done.stderr.startswith(b"warning: ")
    assert b"warning: " not in done.stdout


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_the_report_matches_its_schema(path: Path) -> None:
    """The exit code is 3 if there is a warning, and the JSON has what the text has."""
    shown, done = user_data("check", path), user_data("check", path, "--json")
    report = json.loads(done.stdout)
    assert json_schemas.problems("user-data check", done.stdout.decode()) == []
    assert shown.returncode == done.returncode == (3 if report["warnings"] else 0)
    assert shown.stdout.count(b"\nwarning: ") == len(report["warnings"])


def test_a_file_that_cannot_be_read() -> None:
    """A missing file is an error, and so are one of any size and a wrong way."""
    done = user_data("check", "/nonexistent")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "/nonexistent: cannot be read: No such file or directory" in done.stderr.decode()
    done = user_data("check", "-", stdin=b"x" * (512 * 1024 + 1))
    assert (done.returncode, done.stdout) == (1, b"")
    assert "is larger than 524288 bytes" in done.stderr.decode()
    assert user_data("check", "-", "--for", "eksctl").returncode == 2


def test_nothing_is_valid_user_data() -> None:
    """An empty file has no fault; nodeadm misses its NodeConfig."""
    done = user_data("check", "-")
    assert done.returncode == 0
    assert "nodeadm     finds no NodeConfig" in done.stdout.decode()


def test_user_data_does_not_reach_a_terminal_unescaped() -> None:
    """Control characters of a type or a name are escaped, and passwords are masked."""
    raw = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=B\n\n--B\nContent-Type: text/\x1b[31m\n\nhttp://a:hunter2@p:1\n--B--\n"
    done = user_data("check", "-", stdin=raw)
    assert b"\x1b" not in done.stdout
    assert b"hunter2" not in done.stdout
    assert done.returncode == 3


def test_the_page_shows_what_the_command_prints(tmp_path: Path) -> None:
    """docs/user-data.md shows the report on the docker recipe, shortened, and lists every rule."""
    page = (REPOSITORY / "docs/user-data.md").read_text()
    (shown,) = re.findall(r"(?ms)^\$ eks-proxy-agent user-data check recipe\n(.*?)^```$", page)
    printed = user_data("check", REPOSITORY / "tests/unit/core/userdata/cases/docker-article").stdout.decode()
    begin, end = shown.split("...\n")
    assert printed.startswith(begin)
    assert printed.endswith(end)
    source = "".join(path.read_text() for path in (REPOSITORY / "agent/core/userdata").rglob("*.py"))
    rules = set(re.findall(r'(?:Fault\(|yield \(?)\s*"([a-z0-9-]+)"', source))
    (table,) = re.findall(r"(?ms)^\| rule \| fault \|$(.*?)^$", page)
    assert rules == {
        rule for row in table.splitlines() for rule in re.findall("`([a-z0-9-]+)`", row.split("|")[1] if row else "")
    }
