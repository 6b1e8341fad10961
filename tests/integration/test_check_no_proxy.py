"""Which clients `check` judges NO_PROXY for: the installed ones, and the version of libcurl."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.checks import no_proxy
from agent.checks.finding import FAIL
from agent.core.noproxy.dialects.families import DIALECTS
from agent.core.noproxy.entries import Entry
from agent.edges.files import FileSystem
from tests.integration.programs import Programs

BY_NAME = {dialect.name: dialect for dialect in DIALECTS}


class Live(FileSystem):
    """A tree that passes for that of the running machine."""

    live = True  # type: ignore[assignment]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """Programs that the agent starts."""
    return Programs(tmp_path / "bin", monkeypatch)


def installed(tmp_path: Path, *names: str) -> str:
    """Return the root of a tree with these programs."""
    for name in names:
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return str(tmp_path / "root")


def families(files: FileSystem) -> list[str]:
    """Return the names of the families that are judged."""
    return [dialect.name for dialect in no_proxy._installed_dialects(files)]


@pytest.mark.parametrize(
    ("version", "family"),
    [
        ("7.61.1", "curl-old"),
        ("7.85.0", "curl-old"),
        ("7.86.0", "curl"),
        ("8.8.0", "curl"),
        ("8.9.0", "curl-8.9"),
        ("8.17.0", "curl-8.9"),
        ("8.18.0", "curl-8.18"),
        ("10.0.0", "curl-8.18"),
    ],
)
def test_only_the_installed_libcurl_is_judged(tmp_path: Path, programs: Programs, version: str, family: str) -> None:
    """The library counts, not the program, whose version may differ."""
    programs.add("curl", f"echo 'curl 1.0.0 (x86_64) libcurl/{version} OpenSSL/3.0.15'; echo Protocols: http")
    files = Live(installed(tmp_path, "usr/bin/curl"))
    assert families(files) == ["go", family]
    assert no_proxy.curl_dialect(files) is BY_NAME[family]
    assert programs.calls == ["curl --version", "curl --version"]


@pytest.mark.parametrize("script", ["echo 'curl of the operator'", "exit 2", None])
def test_without_a_version_every_generation_is_judged(tmp_path: Path, programs: Programs, script: str | None) -> None:
    """`explain` then shows the newest."""
    if script is not None:
        programs.add("curl", script)
    files = Live(installed(tmp_path, "usr/bin/curl"))
    assert families(files) == ["go", "curl-old", "curl", "curl-8.9", "curl-8.18"]
    assert no_proxy.curl_dialect(files) is BY_NAME["curl-8.18"]


def test_in_a_tree_no_program_is_run(tmp_path: Path, programs: Programs) -> None:
    """The curl of the build host says nothing about that of the image."""
    programs.add("curl", "echo libcurl/7.61.1")
    files = FileSystem(installed(tmp_path, "usr/bin/curl"))
    assert "curl-8.18" in families(files)
    assert programs.calls == []


@pytest.mark.parametrize("directory", ["usr/bin", "usr/sbin", "usr/local/bin"])
@pytest.mark.parametrize(
    ("program", "expected"),
    [("wget", ["wget"]), ("aws", ["urllib"]), ("pip", ["requests-old", "requests"]), ("vim", [])],
)
def test_only_installed_clients_are_judged(tmp_path: Path, directory: str, program: str, expected: list[str]) -> None:
    """Go always is: the container runtimes are written in it."""
    assert families(FileSystem(installed(tmp_path, f"{directory}/{program}"))) == ["go", *expected]


def test_a_failure_names_each_entry_with_its_clients() -> None:
    """The text has both clients for an entry that both miss, and the hint repairs it."""
    entries = [Entry("10.0.0.0/16", "vpc"), Entry("10.1.0.0/16", "vpc")]
    dialects = [BY_NAME[name] for name in ("go", "curl", "wget")]
    values = {"no_proxy": "10.1.0.0/16", "NO_PROXY": "10.1.0.0/16"}
    finding = no_proxy._coverage("vpc", entries, dialects, values, "10.0.0.0/16,10.1.0.0/16")
    assert (finding.group, finding.name, finding.state) == ("no-proxy", "vpc", FAIL)
    assert finding.text == "10.0.0.0/16 is missing: through the proxy for Go, curl"
    assert finding.hint == "eks-proxy-agent apply; then restart the units that it names"
    finding = no_proxy._coverage("vpc", entries, dialects, {}, "10.0.0.0/16,10.1.0.0/16")
    assert finding.text == (
        "10.0.0.0/16 is missing: through the proxy for Go, curl; 10.1.0.0/16 is missing: through the proxy for Go, curl"
    )
