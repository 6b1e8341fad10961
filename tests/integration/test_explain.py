"""`explain` as a process: sources of values, output, stdin, bad targets, exit codes and cost."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.core.noproxy.dialects.families import DIALECTS
from tests.integration.command_line import PROXY, REPOSITORY, TIMEOUT, Node, Outcome, environment, run

LIST = "localhost,127.0.0.1,169.254.169.254,10.0.0.0/16,.corp.example.com"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A configured node, whose list is in force."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\nno_proxy = ["git.example.com"]\n[aws]\ndirect = []\n')
    assert node.main("apply").code == 0
    return node


def explain(*words: str, stdin: bytes | None = None, **more: Any) -> Outcome:
    """Run `explain` as a process."""
    argv = [sys.executable, "-m", "agent", "explain", *words]
    if stdin is None:
        return run(argv, **more)
    done = subprocess.run(
        argv,
        cwd=REPOSITORY,
        env=environment(),
        input=stdin,
        capture_output=True,
        check=False,
        timeout=TIMEOUT,
        **more,
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def given(*words: str, **more: Any) -> Outcome:
    """Run `explain` with LIST and PROXY."""
    return explain("--no-proxy", LIST, "--proxy", PROXY, *words, **more)


def objects(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the objects of --json without Java's."""
    return [item for item in map(json.loads, outcome.out.splitlines()) if item.get("client") != "java"]


# --- values ---


def test_proxy_and_list_of_the_command_line_are_enough() -> None:
    """With --proxy and --no-proxy no other source is read, and stderr is empty."""
    done = given("https://www.example.net/simple", "git.corp.example.com")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[:2] == ["https://www.example.net", f"  through {PROXY}, for every client"]
    assert "git.corp.example.com\n  direct: .corp.example.com (given), for every client\n" in done.out


def test_values_in_force_have_reasons(node: Node) -> None:
    """The values are in files and their reasons in status.json.

    Neither the metadata service nor root is needed.
    """
    done = node.run("explain", "10.42.0.7", "git.example.com", "x.org", facts=False)
    assert (done.code, done.err) == (0, "note: in force: /etc/environment\n")
    assert "10.42.0.7\n  direct: 10.42.0.0/16 (vpc)\n    Go " in done.out
    assert "git.example.com\n  direct: git.example.com (owner), for every client\n" in done.out
    assert f"x.org\n  through {PROXY}, for every client\n" in done.out


def test_manual_edit_is_in_force(node: Node) -> None:
    """An edit of /etc/environment counts, is not the agent's, and differs from the units' file."""
    path = node.root / "etc/environment"
    path.write_text(path.read_text().replace("git.example.com", "svn.example.com"))
    done = node.run("explain", "svn.example.com", "git.example.com", facts=False)
    assert "svn.example.com\n  direct: svn.example.com (not the agent's), for every client\n" in done.out
    assert f"git.example.com\n  through {PROXY}, for every client\n" in done.out
    assert "note: units read /etc/eks-proxy-agent/node.env, which differs; run: eks-proxy-agent check" in done.err


def test_all_proxy_is_in_force(node: Node) -> None:
    """all_proxy, which the agent does not write, is a proxy for the clients that read it."""
    path = node.root / "etc/environment"
    path.write_text("all_proxy=http://all:1\n" + path.read_text())
    done = node.run("explain", "x.org", facts=False)
    assert (done.err, "all:1" in done.out) == ("note: in force: /etc/environment\n", False)
    path.write_text("all_proxy=http://all:1\n")
    (node.root / "etc/eks-proxy-agent/node.env").unlink()
    done = node.run("explain", "x.org", "--json", facts=False)
    through = {item["client"] for item in objects(done) if item["proxy"] == "http://all:1"}
    assert through == {"curl-old", "curl", "curl-8.9", "curl-8.18", "requests-old", "requests"}


def test_credentials_are_masked_and_not_compared(node: Node) -> None:
    """node.env with a password equals /etc/environment without, and is shown with ***."""
    node.write("etc/secret", b"user:s3cret\n", 0o600)
    assert node.main("apply", "--set", "proxy.credentials_file=/etc/secret").code == 0
    assert "user:s3cret@" in node.read("etc/eks-proxy-agent/node.env")
    done = node.run("explain", "x.org", facts=False)
    assert done.err == "note: in force: /etc/environment\n"
    (node.root / "etc/environment").unlink()
    for flags in ([], ["--json"], ["--matrix"]):
        done = node.run("explain", "x.org", *flags, facts=False)
        assert done.err == "note: in force: /etc/eks-proxy-agent/node.env\n"
        assert "http://***@proxy.corp:3128" in done.out
        assert "s3cret" not in done.both


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("bob:hunter2@p:3128", "***@p:3128"),
        ("http://bob:hunter2@x@p:3128", "http://***@p:3128"),
        ("http://p:3128\x1b[2J", "http://p:3128\\x1b[2J"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--matrix"]])
def test_foreign_proxy_url_is_safe_to_print(tmp_path: Path, value: str, shown: str, flags: list[str]) -> None:
    """A URL in a file may lack its scheme or have any character; no password is printed."""
    node = Node(tmp_path)
    node.write("etc/environment", (f"http_proxy={value}\nhttps_proxy={value}\n").encode())
    done = node.run("explain", "x.org", *flags, facts=False)
    assert f"through {shown}" in done.out
    assert "hunter2" not in done.both
    assert "\x1b" not in done.both


def test_unit_has_its_own_values(node: Node) -> None:
    """nodeadm's drop-in removes http_proxy; docker reads the password of node.env."""
    node.write("etc/secret", b"user:s3cret\n", 0o600)
    assert node.main("apply", "--set", "proxy.credentials_file=/etc/secret").code == 0
    for unit, route in (("nodeadm-run", "direct: no proxy is set"), ("docker", "through http://***@proxy.corp:3128")):
        done = node.run("explain", "http://x.org", "--unit", unit, facts=False)
        assert f"http://x.org\n  {route}, for every client\n" in done.out, done.both
        assert done.err.startswith("note: in force: /etc/eks-proxy-agent/node.env\n")
    done = node.run("explain", "http://x.org", "https://x.org", "--unit", "nodeadm-run.service", facts=False)
    assert "note: nodeadm-run.service: without http_proxy, HTTP_PROXY\n" in done.err
    assert "https://x.org\n  through http://***@proxy.corp:3128, for every client\n" in done.out


def test_unit_that_reads_node_env_only_has_no_proxy_without_it(node: Node) -> None:
    """docker falls back to /etc/environment, cloud-init does not."""
    (node.root / "etc/eks-proxy-agent/node.env").unlink()
    done = node.run("explain", "x.org", "--unit", "docker", facts=False)
    assert (done.err, f"through {PROXY}" in done.out) == ("note: in force: /etc/environment\n", True)
    done = node.run("explain", "x.org", "--unit", "nodeadm-config", facts=False)
    assert "node.env is missing, so nodeadm-config.service gets no proxy; run: eks-proxy-agent apply" in done.err
    assert "direct: no proxy is set, for every client" in done.out


def test_unit_that_starts_before_the_agent_has_a_note(node: Node) -> None:
    """Boothooks of a first boot have no proxy; the note has the remedy."""
    for flags in (["--planned"], []):
        done = node.run("explain", "x.org", "--unit", "cloud-init-main", *flags, facts=bool(flags))
        assert "note: cloud-init-main.service: it starts before the agent, so boothooks of the first boot" in done.err
        assert "set -a; . /etc/environment" in done.err


def test_unit_of_the_plan(node: Node) -> None:
    """--planned and --no-proxy work with --unit too."""
    for flags in (["--planned"], ["--no-proxy", "localhost"], ["--proxy", "http://other:1"]):
        done = node.run("explain", "http://x.org", "--unit", "nodeadm-run", *flags, facts="--planned" in flags)
        assert "http://x.org\n  direct: no proxy is set, for every client\n" in done.out, done.both


@pytest.mark.parametrize("flags", [[], ["--planned"]])
def test_unit_without_drop_in_is_an_error(node: Node, flags: list[str]) -> None:
    """The agent does not know the environment of a unit that it does not cover."""
    done = node.run("explain", "x.org", "--unit", "sshd", *flags, facts=bool(flags))
    assert (done.code, done.out) == (1, "")
    assert "--unit: sshd.service has no drop-in of the agent" in done.err
    assert "node.units" in done.err
    done = node.run("explain", "x.org", "--unit", "a/b", facts=False)
    assert (done.code, done.out) == (2, "")


def test_status_json_is_used_without_files(node: Node) -> None:
    """A user without access to node.env, on a node without /etc/environment, has status.json."""
    (node.root / "etc/environment").unlink()
    (node.root / "etc/eks-proxy-agent/node.env").unlink()
    done = node.run("explain", "git.example.com", facts=False)
    assert (done.code, done.err) == (0, "note: in force: status.json\n")
    assert "direct: git.example.com (owner), for every client" in done.out


@pytest.mark.parametrize("status", ["[]", "nonsense", '{"no_proxy": 1, "proxy": "x"}', '{"no_proxy": ["x", {}]}'])
def test_corrupt_status_json_loses_only_the_reasons(node: Node, status: str) -> None:
    """With a corrupt status.json the routes are still correct."""
    node.write("run/eks-proxy-agent/status.json", status.encode())
    done = node.run("explain", "git.example.com", facts=False)
    assert done.code == 0
    assert "  direct: git.example.com (not the agent's), for every client\n" in done.out


def test_everything_is_direct_on_a_machine_without_a_proxy(tmp_path: Path) -> None:
    """stderr has the flags that select other values."""
    done = Node(tmp_path).run("explain", "x.org", facts=False)
    assert (done.code, done.out) == (0, "x.org\n  direct: no proxy is set, for every client\n")
    assert "no proxy is set on this node; use --proxy and --no-proxy, or --planned" in done.err


def test_planned_values(node: Node) -> None:
    """--planned, --facts and --set select the settings as apply would write them."""
    node.settings('[proxy]\nurl = "http://new:1"\nhttps_url = "http://new:2"\n[aws]\ndirect = ["s3"]\n')
    done = node.run("explain", "http://x.org", "https://x.org", "https://b.s3.eu-central-1.amazonaws.com")
    assert (done.code, done.err) == (0, "note: planned: what `apply` would write\n")
    assert "http://x.org\n  through http://new:1, for every client\n" in done.out
    assert "https://x.org\n  through http://new:2, for every client\n" in done.out
    assert "  direct: s3.eu-central-1.amazonaws.com (aws:s3), for every client\n" in done.out
    other = node.run(
        "explain", "--planned", "--set", 'proxy.no_proxy=["x.org"]', "--proxy", "http://p:3", "x.org", "http://y.org"
    )
    assert "  direct: x.org (owner), for every client\n" in other.out
    assert "  through http://p:3, for every client\n" in other.out


def test_planned_without_a_proxy_is_an_error(tmp_path: Path) -> None:
    """A node without proxy.url has no planned values."""
    done = Node(tmp_path).run("explain", "x.org")
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("proxy.url: not set, so nothing is planned\nhint: set it with --proxy URL\n")


def test_flags_override_the_values_in_force(node: Node) -> None:
    """--no-proxy keeps the node's proxy, --proxy keeps the node's list."""
    done = node.run("explain", "--no-proxy", "x.org", "x.org", "git.example.com", facts=False)
    assert "  direct: x.org (given), for every client\n" in done.out
    assert f"git.example.com\n  through {PROXY}, for every client\n" in done.out
    done = node.run("explain", "--proxy", "http://other:1", "x.org", "git.example.com", facts=False)
    assert "x.org\n  through http://other:1, for every client\n" in done.out
    assert "  direct: git.example.com (owner), for every client\n" in done.out


# --- output ---


def test_option_for_java() -> None:
    """Java reads no variables: the list is printed as its option, quoted for a shell."""
    done = given("x.org")
    option = "'-Dhttp.nonProxyHosts=localhost|*.localhost|127.0.0.1|169.254.169.254|10.0.*|*.corp.example.com'"
    assert done.out.splitlines()[-1] == "Java does not read these variables; use: " + option
    done = explain("--no-proxy", "10.0.0.1,fd00:1::/64", "x.org")
    assert done.out.splitlines()[-2:] == [
        "Java does not read these variables; use: -Dhttp.nonProxyHosts=10.0.0.1",
        "  which cannot express: fd00:1::/64",
    ]


def test_no_empty_option_for_java() -> None:
    """An empty value would send loopback through the proxy, so it is not printed."""
    line = "Java does not read these variables, and -Dhttp.nonProxyHosts cannot express: fd00:1::/64"
    assert explain("--no-proxy", "fd00:1::/64", "x.org").out.splitlines()[-1] == line
    for no_proxy in ("", " , "):
        assert "Java" not in explain("--no-proxy", no_proxy, "x.org").out


def test_java_is_the_last_object_of_json() -> None:
    """It is one object for the complete list; there is none if no target was explained."""
    done = explain("--json", "--no-proxy", "10.0.0.1,bob:hunter2@x", "x.org", "y.org")
    assert [json.loads(line) for line in done.out.splitlines() if '"java"' in line] == [
        {
            "client": "java",
            "programs": ["java"],
            "option": "-Dhttp.nonProxyHosts=10.0.0.1",
            "left_out": ["***@x"],
        }
    ]
    assert '"java"' in done.out.splitlines()[-1]
    done = explain("--json", "--no-proxy", "fd00::/8", "x.org")
    assert json.loads(done.out.splitlines()[-1])["option"] is None
    assert "java" not in explain("--json", "--no-proxy", "a.org", "ftp://x").out
    assert "java" not in explain("--json", "--no-proxy", "", "x.org").out


def test_note_about_cidrs_is_printed_once() -> None:
    """It is printed after the first name that uses the proxy."""
    assert given("a.org", "b.org").out.count("note: a CIDR exempts literal addresses only") == 1
    assert "note: a CIDR" not in given("10.0.0.1", "git.corp.example.com").out


def test_matrix_has_a_row_for_each_target() -> None:
    """It has a column for each client, and nothing else below the head."""
    done = given("--matrix", "10.0.0.1", "x.org", "localhost")
    assert done.code == 0
    rows = done.out.splitlines()[1 + len(DIALECTS) :]
    assert [row.split()[len(DIALECTS) :] for row in rows] == [
        ["!", "10.0.0.1", "10.0.0.0/16", "(given)"],
        ["x.org"],
        ["localhost", "localhost", "(given)"],
    ]


def test_json_is_one_object_a_line() -> None:
    """Each line is an object for a target and a client, or for a bad target."""
    done = given("--json", "10.0.0.1", "ftp://user:secret@x", "x.org")
    assert done.code == 1
    items = objects(done)
    assert [item.get("client") for item in items if "error" not in item] == [family.name for family in DIALECTS] * 2
    (problem,) = [item for item in items if "error" in item]
    assert problem["target"] == "***@x"
    assert "has the scheme ftp; expected http or https" in problem["error"]
    assert "secret" not in done.both


def on_a_terminal(words: Sequence[str], env: dict[str, str]) -> str:
    """Return the output of `explain` on a terminal."""
    reader, terminal = pty.openpty()
    argv = [sys.executable, "-m", "agent", "explain", "--no-proxy", LIST, "--proxy", PROXY, *words]
    options = {"stdin": subprocess.DEVNULL, "stdout": terminal, "stderr": subprocess.PIPE}
    with subprocess.Popen(argv, cwd=REPOSITORY, env=environment(env), **options) as process:  # type: ignore[call-overload]
        os.close(terminal)
        output = b""
        while True:
            try:
                part = os.read(reader, 65536)
            except OSError:  # EIO: the other end is closed
                break
            if not part:
                break
            output += part
        assert process.wait(TIMEOUT) == 0
    os.close(reader)
    return output.decode()


def test_colours_are_for_terminals_only() -> None:
    """A terminal gets colours and rows that fit; NO_COLOR, a dumb terminal and a pipe get none."""
    words = ["--matrix", "10.0.0.1"]
    fit = {"TERM": "xterm", "COLUMNS": "60"}
    shown = on_a_terminal(words, fit)
    assert "\x1b[32mD\x1b[0m" in shown
    for env in ({**fit, "NO_COLOR": "1"}, {**fit, "TERM": "dumb"}):
        plain = on_a_terminal(words, env)
        assert "\x1b" not in plain
        assert "10.0.0.1" in plain.splitlines()[-1]
        assert len(plain.splitlines()[-1]) <= 60
    piped = given(*words, env={"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "60"})
    assert "\x1b" not in piped.out
    assert "10.0.0.0/16 (given)" in piped.out


# --- targets ---


@pytest.mark.parametrize(
    ("target", "spelled"),
    [
        ("HTTPS://User:secret@Example.COM:443/path?q#f", "https://example.com:443"),
        ("//example.com/path", "example.com"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("[fd00::1]:8443", "[fd00::1]:8443"),
        ("fd00::1", "[fd00::1]"),
        ("http://[fd00::1]/", "http://[fd00::1]"),
        ("example.com.", "example.com."),
        ("example.com?secret", "example.com"),
    ],
)
def test_forms_of_targets(target: str, spelled: str) -> None:
    """A URL, a name in any script, an address and HOST:PORT are targets; no secret is repeated."""
    done = given("--json", "--", target)
    assert (done.code, {item["target"] for item in objects(done)}) == (0, {spelled})
    assert "secret" not in done.both


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("ftp://x.org", "has the scheme ftp; expected http or https"),
        ("", "has no valid host"),
        ("http://", "has no valid host"),
        ("http://[fd00::1", "has no IPv6 address in the brackets"),
        ("http://[fd00::1%25eth0]/", "has no valid IPv6 address"),
        ("x.org:99999", "has no valid port"),
        ("x.org:http", "has no valid port"),
        ("1.2.3", "ends in a number but is not an IPv4 address"),
        ("a b", "has no valid host"),
        ("a\nb", "has no valid host"),
        ("https://user:p/ss@wo?rd@x y", "has no valid"),
        ("https://user:1p/sswo?rd/x:3128", "has no valid port"),
        ("\u202eevil", "has a host that clients encode differently"),
        ("x" * 300, "has no valid host"),
        ("x" * 100_000, "target has 100000 characters"),
    ],
)
def test_bad_target_is_reported_and_the_others_are_explained(target: str, message: str) -> None:
    """The error is one printable line, and the exit code is 1."""
    done = given("--", "before.org", target, "after.org")
    assert done.code == 1
    assert [line for line in done.out.splitlines() if line.endswith(".org")] == ["before.org", "after.org"]
    (line,) = done.err.splitlines()
    assert message in line
    assert line.isprintable()
    assert len(line) < 400
    assert "p/ss" not in line
    assert "wo?rd" not in line


@pytest.mark.parametrize("words", [[], ["--matrix"], ["--json"]])
def test_missing_target_is_a_usage_error(words: list[str]) -> None:
    """There is no target on the command line or stdin."""
    done = given(*words)
    assert (done.code, done.out) == (2, "")
    assert "TARGET: missing; give a URL, HOST, HOST:PORT or address, or - to read lines from stdin" in done.err


@pytest.mark.parametrize("words", [["--matrix", "--json"], ["--matrix", "--lint"], ["--proxy", "proxy:3128"]])
def test_invalid_flags_are_a_usage_error(words: list[str]) -> None:
    """--matrix excludes --json and --lint; a proxy needs a scheme."""
    done = explain(*words, "x.org")
    assert (done.code, done.out) == (2, "")


# --- stdin ---


def test_lines_of_stdin_are_targets() -> None:
    """A pipe or - is read; empty lines and comments are skipped; an error has the line's number."""
    text = b"# hosts\n\na.org\n  b.org  \nftp://x\n\xff\xfe\nc.org"
    for words, first in (([], []), (["first.org", "-"], ["first.org"])):
        done = given("--matrix", *words, stdin=text)
        assert done.code == 1
        rows = done.out.splitlines()[1 + len(DIALECTS) :]
        assert [row.split()[len(DIALECTS)] for row in rows] == [*first, "a.org", "b.org", "c.org"]
        assert [line.partition(": ")[2].partition(":")[0] for line in done.err.splitlines()] == ["line 5", "line 6"]


def limit_memory() -> None:
    """Limit the data of this process to 72 MB."""
    resource.setrlimit(resource.RLIMIT_DATA, (72 * 1024 * 1024, 72 * 1024 * 1024))


@pytest.mark.parametrize("flags", [[], ["--matrix"], ["--json"], ["--lint", "-"]])
def test_ten_thousand_hosts_in_bounded_memory(flags: list[str]) -> None:
    """80 MB of URLs on stdin are explained by a process without the memory to keep them."""
    long = "/" + 8000 * "p"
    hosts = [f"host-{number}.example.com" for number in range(9_900)] + [f"10.0.0.{number}" for number in range(100)]
    text = "".join(f"https://{host}{long}\n" for host in hosts).encode()
    done = given(*flags, stdin=text, preexec_fn=limit_memory)
    assert done.err == ""
    assert done.code == (3 if "--lint" in flags else 0)
    expected = [f"10.0.0.{number}" for number in range(100)] if "--lint" in flags else hosts
    shown = re.findall(r"https://([a-z0-9.-]+)", done.out)
    assert list(dict.fromkeys(shown)) == expected


def test_very_long_line_is_truncated() -> None:
    """Megabytes without a newline are one bad target, and not kept in memory."""
    done = given("--matrix", stdin=b"x" * (64 * 1024 * 1024) + b"\nnext.org\n", preexec_fn=limit_memory)
    assert done.code == 1
    assert "line 1: target has 16384 characters" in done.err
    assert done.out.splitlines()[-1].endswith("next.org")


def test_output_is_flushed_after_each_line() -> None:
    """A program that writes one line and waits gets the output for it."""
    argv = [sys.executable, "-m", "agent", "explain", "--json", "--no-proxy", LIST, "--proxy", PROXY]
    with subprocess.Popen(
        argv, cwd=REPOSITORY, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        for host in ("a.org", "b.org"):
            process.stdin.write(host + "\n")
            process.stdin.flush()
            assert {json.loads(process.stdout.readline())["target"] for _ in DIALECTS} == {host}
        process.stdin.close()
        assert process.wait(TIMEOUT) == 0


# --- lint ---


def test_lint_of_the_agents_list_has_no_warnings(node: Node) -> None:
    """It has only notes about CIDRs, and the exit code is 0."""
    done = node.run("explain", "--lint", facts=False)
    assert done.code == 0
    assert done.err == "note: in force: /etc/environment\nno warnings\n"
    assert {line.partition(":")[0] for line in done.out.splitlines()} == {"note"}


def test_lint_of_a_list_without_its_option() -> None:
    """A list in the place of a target: the error names the option, and there is no verdict."""
    done = explain("--lint", "--no-proxy", "localhost", "--proxy", PROXY, f"{LIST},::1")
    assert done.code == 1
    assert "is a list; write --no-proxy LIST for a NO_PROXY list" in done.err
    assert "no warnings" not in done.err


def test_lint_of_a_bad_list() -> None:
    """Each warning has entry, clients, consequence and remedy; the exit code is 3."""
    done = explain("--lint", "--no-proxy", f"{LIST},*.example.com,com")
    assert (done.code, done.err) == (3, "")
    cidr = "its addresses use the proxy in curl <7.86, wget, urllib; there is no better form for a network"
    apex = "corp.example.com itself uses the proxy in wget; write corp.example.com, which also covers its subdomains"
    wildcard = "it is ignored by curl, wget, urllib, requests because of the *; write example.com"
    assert done.out.splitlines() == [
        "warning: com (given): it exempts every host below .com; write the intended hosts or networks",
        "note: 10.0.0.0/16 (given): " + cidr,
        "warning: .corp.example.com (given): " + apex,
        "warning: *.example.com (given): " + wildcard,
    ]


def test_lint_knows_the_region_of_the_node(node: Node) -> None:
    """The region is in status.json, so the metadata service is not needed."""
    node.main("apply", "--set", 'proxy.no_proxy=["s3.us-east-1.amazonaws.com"]')
    done = node.run("explain", "--lint", facts=False)
    assert done.code == 3
    assert "it exempts names of us-east-1, but the node is in eu-central-1" in done.out


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_lint_prints_no_password(flags: list[str]) -> None:
    """A bad entry is printed without the text before its @."""
    done = explain("--lint", *flags, "--no-proxy", "http://bob:hunter2@h.example.com,bob:hunter2@x")
    assert "***@h.example.com" in done.out
    assert "hunter2" not in done.both


def test_lint_of_hosts() -> None:
    """Hosts with different routes are reported; a bad target makes the exit code 1."""
    done = explain("--lint", "--json", "--no-proxy", LIST.replace(",.corp.example.com", ""), "10.0.0.1", "x.org")
    assert done.code == 3
    warnings = [item for item in objects(done) if item["severity"] == "warning"]
    assert [(item["kind"], item["entry"], item["clients"]) for item in warnings] == [
        ("disagree", "10.0.0.1", ["curl-old", "wget", "urllib"])
    ]
    assert set(warnings[0]) == {"severity", "kind", "entry", "reason", "clients", "text", "fix"}
    assert explain("--lint", "--no-proxy", LIST, "ftp://x").code == 1


# --- cost ---


def test_list_of_the_command_line_needs_few_imports() -> None:
    """Neither the metadata client nor TLS, YAML or the logger is imported."""
    code = "import sys; from agent import cli; cli.main(sys.argv[1:]); print(*sorted(sys.modules), file=sys.stderr)"
    done = run([sys.executable, "-c", code, "explain", "--no-proxy", LIST, "--proxy", PROXY, "x.org"])
    assert done.code == 0
    assert {"requests", "ssl", "yaml", "structlog", "tenacity", "agent.node.inputs"} & set(done.err.split()) == set()
