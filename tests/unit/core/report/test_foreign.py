"""Files that others write too: lines about proxies are shown, all other lines are not."""

from __future__ import annotations

import pytest

from agent.core.plan.diff import unified
from agent.core.plan.plan import Change
from agent.core.report import foreign

DROP_IN = "/etc/systemd/system/docker.service.d/http-proxy.conf"
SECRET = "hunter2"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("[Service]", "[Service]"),
        ("After=network-online.target", "After=network-online.target"),
        ("EnvironmentFile=-/etc/sysconfig/docker", "EnvironmentFile=-/etc/sysconfig/docker"),
        ("ExecStart=/usr/bin/dockerd --token hunter2", "ExecStart=/usr/bin/dockerd (arguments not shown)"),
        ("ExecStartPre=-/bin/sh -c 'x hunter2'", "ExecStartPre=-/bin/sh (arguments not shown)"),
        ("ExecStart=", "ExecStart="),
        (
            "Environment=\"HTTP_PROXY=http://a:hunter2@h:1\" MYSQL_PWD=hunter2 'A=b hunter2'",
            "Environment=HTTP_PROXY=http://***@h:1 (2 other variables, not shown)",
        ),
        ("Environment=NO_PROXY=localhost,10.0.0.0/8", "Environment=NO_PROXY=localhost,10.0.0.0/8"),
        ("Environment=", "Environment="),
        ("UnsetEnvironment=http_proxy MYSQL_PWD=hunter2", "UnsetEnvironment=http_proxy MYSQL_PWD"),
    ],
)
def test_lines_of_units_that_are_shown(line: str, shown: str) -> None:
    """Dependencies, types, files and programs are shown; of variables those of proxies."""
    assert foreign.unit_file(DROP_IN, line.encode()) == shown + "\n"


@pytest.mark.parametrize(
    "line",
    [
        "# GITHUB_PAT=hunter2",
        "ExecStart=A=hunter2 x",
        "LoadCredential=x:hunter2",
        "SetCredential=x:hunter2",
        "Description=hunter2",
        "hunter2",
        "X-Key=hunter2",
        "[hunter2/secret]",
    ],
)
def test_lines_of_units_that_are_counted(line: str) -> None:
    """All other lines are only counted."""
    assert foreign.unit_file(DROP_IN, f"{line}\n[Unit]\n".encode()) == "[Unit]\n(1 other line, not shown)\n"


def test_unit_files_of_the_package_are_shown_whole() -> None:
    """No other file: someone may have edited it."""
    for path in (
        "/usr/lib/systemd/system/eks-proxy-agent.service",
        "/usr/lib/systemd/system/eks-proxy-agent-bootstrap.service",
    ):
        assert foreign.unit_file(path, b"# why\n[Service]\n") == "# why\n[Service]\n"
    for path in (
        "/etc/systemd/system/eks-proxy-agent.service",
        "/usr/lib/systemd/system/eks-proxy-agent.service.d/override.conf",
        "/etc/systemd/system/docker.service.d/zz-eks-proxy.conf",
    ):
        assert foreign.unit_file(path, b"# why\n[Service]\n") == "[Service]\n(1 other line, not shown)\n"


def test_continued_lines_are_not_lines_of_their_own() -> None:
    """A part of a command line may look like a key."""
    content = b"[Service]\nExecStart=/bin/x a \\\n  User=hunter2\nUser=root\n"
    assert foreign.unit_file(DROP_IN, content) == "[Service]\nExecStart=/bin/x (arguments not shown)\nUser=root\n"
    masked = foreign.diff(unified(Change(DROP_IN, content, None)))
    assert SECRET not in masked
    assert "\n-User=root" in masked


def test_environment_files_show_proxies_and_names() -> None:
    """Values of proxies, redacted, and the names of all other variables."""
    content = b"MYSQL_PWD=hunter2\nexport A='hunter2 \\'\nHTTPS_PROXY=http://u:hunter2@h:1\nno_proxy=.corp\n"
    assert foreign.environment(content) == "HTTPS_PROXY=http://***@h:1\nMYSQL_PWD=***\nno_proxy=.corp\n"
    assert foreign.environment(b"\0") == "(no variable that systemd reads)\n"


def test_processes_show_proxies_and_names() -> None:
    """The same for /proc/PID/environ; what is not the name of a variable is left out."""
    content = b"PATH=/bin\0HTTP_PROXY=u:hunter2@h:1\0hunter2\0=hunter2\0B\xff=1\0\0"
    assert foreign.process_environment(content).splitlines() == ["HTTP_PROXY=***@h:1", "PATH=***", "hunter2=***"]


CHANGES = [
    Change(
        "/etc/environment",
        b"MYSQL_PWD=hunter2\nhttp_proxy=x\n# hunter2\n",
        b"MYSQL_PWD=hunter2\nhttp_proxy=y\n# hunter2\n",
    ),
    Change("/etc/environment", b"export A=hunter2 http_proxy=x", b"export A=hunter2\nno_proxy=.corp\n"),
    Change("/etc/environment", b"http_proxy=x A=hunter2\n--- hunter2\n", b"+++ hunter2\n@@ hunter2\n"),
    Change(
        "/etc/yum.conf", b"[main]\nproxy_username = hunter2\nproxy=http://a:hunter2@h\n", b"[main]\nproxy=http://h\n"
    ),
    Change(DROP_IN, b"[Service]\nEnvironment=HTTP_PROXY=http://h:1 A=hunter2\n", None),
]


@pytest.mark.parametrize("change", CHANGES)
def test_diffs_keep_their_form_without_lines_of_others(change: Change) -> None:
    """Context and changed lines of others are masked; a diff has as many lines as before."""
    text = unified(change)
    masked = foreign.diff("before\n" + text + "after")
    assert SECRET not in masked
    for follows in ("- a list", " indented", "+more"):
        assert foreign.diff(text + follows).endswith("\n" + follows)
    assert (masked.startswith("before\n--- "), masked.endswith("\nafter")) == (True, True)
    assert [line[:1] for line in masked.split("\n")[1:-1]] == [line[:1] for line in text.split("\n")[:-1]]


def test_diffs_show_the_lines_of_the_agent() -> None:
    """The proxy before and after, and the lines of the agent's drop-ins, but no comment."""
    masked = foreign.diff(unified(CHANGES[0]))
    assert "\n-http_proxy=x\n+http_proxy=y\n" in masked
    assert masked.count(foreign.NOT_SHOWN) == 2
    content = b"# hunter2\n[Service]\nEnvironmentFile=-/etc/environment\n"
    masked = foreign.diff(unified(Change("/etc/systemd/system/a.service.d/zz-eks-proxy.conf", None, content)))
    assert masked.splitlines()[3:] == ["+(not shown)", "+[Service]", "+EnvironmentFile=-/etc/environment"]
