"""`explain` as people use it: where its values come from, what it prints, streams, strange targets,
exit codes.
"""

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
    """A node that is configured: its list is in force."""
    node = Node(tmp_path)
    node.settings(f'[proxy]\nurl = "{PROXY}"\nno_proxy = ["git.example.com"]\n[aws]\ndirect = []\n')
    assert node.main("apply").code == 0
    return node


def explain(*words: str, stdin: bytes | None = None, **more: Any) -> Outcome:
    """`explain` with everything given, as a process."""
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
    """The same with LIST and PROXY."""
    return explain("--no-proxy", LIST, "--proxy", PROXY, *words, **more)


def objects(outcome: Outcome) -> list[dict[str, Any]]:
    """The lines of --json that are about a target or an entry: all but Java's."""
    return [one for one in map(json.loads, outcome.out.splitlines()) if one.get("client") != "java"]


# --- values
# ---------------------------------------------------------------------------------------------------------


def test_given_values_need_nothing_else() -> None:
    """With --proxy and --no-proxy nobody and nothing else is asked, and stderr is empty."""
    done = given("https://www.example.net/simple", "git.corp.example.com")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[:2] == ["https://www.example.net", f"  through {PROXY}, for every client"]
    assert "git.corp.example.com\n  direct: .corp.example.com (given), for every client\n" in done.out


def test_what_is_in_force_is_explained_with_its_reasons(node: Node) -> None:
    """On a node the files say what is in force and status.json why; no metadata service is asked,
    and root is not needed.
    """
    done = node.run("explain", "10.42.0.7", "git.example.com", "x.org", facts=False)
    assert (done.code, done.err) == (0, "note: in force: /etc/environment\n")
    assert "10.42.0.7\n  direct: 10.42.0.0/16 (vpc)\n    Go " in done.out
    assert "git.example.com\n  direct: git.example.com (owner), for every client\n" in done.out
    assert f"x.org\n  through {PROXY}, for every client\n" in done.out


def test_an_edit_by_hand_is_seen(node: Node) -> None:
    """What somebody wrote into /etc/environment counts, is told from what the agent wrote, and
    differs from the units.
    """
    path = node.root / "etc/environment"
    path.write_text(path.read_text().replace("git.example.com", "svn.example.com"))
    done = node.run("explain", "svn.example.com", "git.example.com", facts=False)
    assert "svn.example.com\n  direct: svn.example.com (not the agent's), for every client\n" in done.out
    assert f"git.example.com\n  through {PROXY}, for every client\n" in done.out
    assert "note: the units read /etc/eks-proxy-agent/node.env, which is not the same" in done.err


def test_a_proxy_for_all_schemes_is_seen(node: Node) -> None:
    """all_proxy, which the agent does not write, is a proxy for the clients that read it; units
    that read the file have it too.
    """
    path = node.root / "etc/environment"
    path.write_text("all_proxy=http://all:1\n" + path.read_text())
    done = node.run("explain", "x.org", facts=False)
    assert (done.err, "all:1" in done.out) == ("note: in force: /etc/environment\n", False)
    path.write_text("all_proxy=http://all:1\n")
    (node.root / "etc/eks-proxy-agent/node.env").unlink()
    done = node.run("explain", "x.org", "--json", facts=False)
    through = {one["client"] for one in objects(done) if one["proxy"] == "http://all:1"}
    assert through == {"curl-old", "curl", "curl-8.9", "curl-8.18", "requests-old", "requests"}


def test_credentials_are_masked_and_make_no_difference(node: Node) -> None:
    """node.env with a password is the same environment as /etc/environment without, and shows ***
    where it is all there is.
    """
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
def test_a_proxy_that_somebody_wrote_is_printable(tmp_path: Path, value: str, shown: str, flags: list[str]) -> None:
    """A URL by hand may lack its scheme, or hold anything: it shows no password, and does nothing
    to a terminal.
    """
    node = Node(tmp_path)
    node.write("etc/environment", (f"http_proxy={value}\nhttps_proxy={value}\n").encode())
    done = node.run("explain", "x.org", *flags, facts=False)
    assert f"through {shown}" in done.out
    assert "hunter2" not in done.both
    assert "\x1b" not in done.both


def test_without_files_status_says_what_is_in_force(node: Node) -> None:
    """A user who may not read node.env, on a node that leaves /etc/environment alone, has the
    world-readable status.
    """
    (node.root / "etc/environment").unlink()
    (node.root / "etc/eks-proxy-agent/node.env").unlink()
    done = node.run("explain", "git.example.com", facts=False)
    assert (done.code, done.err) == (0, "note: in force, by status.json\n")
    assert "direct: git.example.com (owner), for every client" in done.out


@pytest.mark.parametrize("status", ["[]", "nonsense", '{"no_proxy": 1, "proxy": "x"}', '{"no_proxy": ["x", {}]}'])
def test_a_strange_status_costs_the_reasons_only(node: Node, status: str) -> None:
    """A status.json that nobody understands takes the reasons away, and not the answer."""
    node.write("run/eks-proxy-agent/status.json", status.encode())
    done = node.run("explain", "git.example.com", facts=False)
    assert done.code == 0
    assert "  direct: git.example.com (not the agent's), for every client\n" in done.out


def test_on_a_machine_without_a_proxy_everything_is_direct(tmp_path: Path) -> None:
    """No proxy is an answer, too, and stderr says how to get another one."""
    done = Node(tmp_path).run("explain", "x.org", facts=False)
    assert (done.code, done.out) == (0, "x.org\n  direct: no proxy is set, for every client\n")
    assert "name one with --proxy and --no-proxy" in done.err


def test_planned_values(node: Node) -> None:
    """Settings that are not applied yet are explained with --planned, --facts or --set, as apply
    would write them.
    """
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
    assert "no proxy.url in the settings" in done.err


def test_a_given_part_goes_over_what_is_in_force(node: Node) -> None:
    """--no-proxy keeps the node's proxy, --proxy the node's list."""
    done = node.run("explain", "--no-proxy", "x.org", "x.org", "git.example.com", facts=False)
    assert "  direct: x.org (given), for every client\n" in done.out
    assert f"git.example.com\n  through {PROXY}, for every client\n" in done.out
    done = node.run("explain", "--proxy", "http://other:1", "x.org", "git.example.com", facts=False)
    assert "x.org\n  through http://other:1, for every client\n" in done.out
    assert "  direct: git.example.com (owner), for every client\n" in done.out


# --- what is printed
# ------------------------------------------------------------------------------------------------


def test_java_is_given_its_option() -> None:
    """Java reads no variable: the list is printed as its option, quoted for a shell."""
    done = given("x.org")
    option = "'-Dhttp.nonProxyHosts=localhost|*.localhost|127.0.0.1|169.254.169.254|10.0.*|*.corp.example.com'"
    assert done.out.splitlines()[-1] == "Java reads no such variable: " + option
    done = explain("--no-proxy", "10.0.0.1,fd00:1::/64", "x.org")
    assert done.out.splitlines()[-2:] == [
        "Java reads no such variable: -Dhttp.nonProxyHosts=10.0.0.1",
        "  which cannot say: fd00:1::/64",
    ]


def test_java_is_given_no_empty_option() -> None:
    """An empty value would send Java's own loopback through the proxy: a list that Java cannot say
    has no option.
    """
    nothing = "Java reads no such variable, and -Dhttp.nonProxyHosts cannot say: fd00:1::/64"
    assert explain("--no-proxy", "fd00:1::/64", "x.org").out.splitlines()[-1] == nothing
    for no_proxy in ("", " , "):
        assert "Java" not in explain("--no-proxy", no_proxy, "x.org").out


def test_java_is_the_last_object_of_json() -> None:
    """Java's option is one object for the whole list, and none where nothing was explained."""
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


def test_the_note_on_names_and_cidrs_comes_once() -> None:
    """That a CIDR exempts literal addresses only is told at the first name that takes the proxy,
    not at each.
    """
    assert given("a.org", "b.org").out.count("note: a CIDR exempts literal addresses only") == 1
    assert "note: a CIDR" not in given("10.0.0.1", "git.corp.example.com").out


def test_a_matrix_of_the_targets() -> None:
    """One row for each target, one column for each client, nothing else below the head."""
    done = given("--matrix", "10.0.0.1", "x.org", "localhost")
    assert done.code == 0
    rows = done.out.splitlines()[1 + len(DIALECTS) :]
    assert [row.split()[len(DIALECTS) :] for row in rows] == [
        ["!", "10.0.0.1", "10.0.0.0/16", "(given)"],
        ["x.org"],
        ["localhost", "localhost", "(given)"],
    ]


def test_json_is_one_object_a_line() -> None:
    """Each line is an object for a target and a client, also for a target that cannot be
    explained.
    """
    done = given("--json", "10.0.0.1", "ftp://user:secret@x", "x.org")
    assert done.code == 1
    found = objects(done)
    assert [one.get("client") for one in found if "error" not in one] == [family.name for family in DIALECTS] * 2
    (problem,) = [one for one in found if "error" in one]
    assert problem["target"] == "***@x"
    assert "has the scheme ftp; allowed are http and https" in problem["error"]
    assert "secret" not in done.both


def on_a_terminal(words: Sequence[str], env: dict[str, str]) -> str:
    """What `explain` prints on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "agent", "explain", "--no-proxy", LIST, "--proxy", PROXY, *words]
    options = {"stdin": subprocess.DEVNULL, "stdout": theirs, "stderr": subprocess.PIPE}
    with subprocess.Popen(argv, cwd=REPOSITORY, env=environment(env), **options) as process:  # type: ignore[call-overload]
        os.close(theirs)
        found = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not part:
                break
            found += part
        assert process.wait(TIMEOUT) == 0
    os.close(ours)
    return found.decode()


def test_colours_are_for_terminals_only() -> None:
    """A terminal has colours and rows that fit it; NO_COLOR, a dumb terminal and a pipe have
    none.
    """
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


# --- targets
# --------------------------------------------------------------------------------------------------------


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
def test_urls_of_many_shapes(target: str, spelled: str) -> None:
    """A URL, a name in any script, an address and HOST:PORT are targets; what may be secret in one
    is not repeated.
    """
    done = given("--json", "--", target)
    assert (done.code, {one["target"] for one in objects(done)}) == (0, {spelled})
    assert "secret" not in done.both


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("ftp://x.org", "has the scheme ftp; allowed are http and https"),
        ("", "has no valid host"),
        ("http://", "has no valid host"),
        ("http://[fd00::1", "has no IPv6 address between the brackets"),
        ("http://[fd00::1%25eth0]/", "has no valid IPv6 address"),
        ("x.org:99999", "has no valid port"),
        ("x.org:http", "has no valid port"),
        ("1.2.3", "ends in a number and is no IPv4 address"),
        ("a b", "has no valid host"),
        ("a\nb", "has no valid host"),
        ("https://user:p/ss@wo?rd@x y", "has no valid"),
        ("\u202eevil", "has a host without one agreed ASCII form"),
        ("x" * 300, "has no valid host"),
        ("x" * 100_000, "a target of 100000 characters"),
    ],
)
def test_a_bad_target_is_named_and_the_others_are_explained(target: str, message: str) -> None:
    """What is no target is told in one printable line; the rest is explained, and the exit code is
    1.
    """
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
def test_no_target_is_wrong_usage(words: list[str]) -> None:
    """Nothing on the command line and nothing on stdin is no question."""
    done = given(*words)
    assert (done.code, done.out) == (2, "")
    assert "no TARGET: name a URL, HOST, HOST:PORT or address, or - for lines on stdin" in done.err


@pytest.mark.parametrize("words", [["--matrix", "--json"], ["--matrix", "--lint"], ["--proxy", "proxy:3128"]])
def test_flags_that_make_no_sense(words: list[str]) -> None:
    """A table for machines, a table of a judgement, a proxy without a scheme."""
    done = explain(*words, "x.org")
    assert (done.code, done.out) == (2, "")


# --- stdin
# ----------------------------------------------------------------------------------------------------------


def test_lines_of_stdin_are_targets() -> None:
    """Piped lines are read, with - among other targets too; empty lines and comments are none; a
    bad one has its number.
    """
    text = b"# hosts\n\na.org\n  b.org  \nftp://x\n\xff\xfe\nc.org"
    for words, first in (([], []), (["first.org", "-"], ["first.org"])):
        done = given("--matrix", *words, stdin=text)
        assert done.code == 1
        rows = done.out.splitlines()[1 + len(DIALECTS) :]
        assert [row.split()[len(DIALECTS)] for row in rows] == [*first, "a.org", "b.org", "c.org"]
        assert [line.partition(": ")[2].partition(":")[0] for line in done.err.splitlines()] == ["line 5", "line 6"]


def small() -> None:
    """Let this process have 72 MB for its data, and not more."""
    resource.setrlimit(resource.RLIMIT_DATA, (72 * 1024 * 1024, 72 * 1024 * 1024))


@pytest.mark.parametrize("flags", [[], ["--matrix"], ["--json"], ["--lint", "-"]])
def test_ten_thousand_hosts_in_bounded_memory(flags: list[str]) -> None:
    """10,000 URLs on stdin, 80 MB, are answered by a process that may not have the memory to keep
    them.
    """
    long = "/" + 8000 * "p"
    hosts = [f"host-{number}.example.com" for number in range(9_900)] + [f"10.0.0.{number}" for number in range(100)]
    text = "".join(f"https://{host}{long}\n" for host in hosts).encode()
    done = given(*flags, stdin=text, preexec_fn=small)
    assert done.err == ""
    assert done.code == (3 if "--lint" in flags else 0)
    wanted = [f"10.0.0.{number}" for number in range(100)] if "--lint" in flags else hosts
    shown = re.findall(r"https://([a-z0-9.-]+)", done.out)
    assert list(dict.fromkeys(shown)) == wanted


def test_a_line_without_an_end_is_cut() -> None:
    """Megabytes without a newline are one bad target, and not kept in memory; the next line is
    read.
    """
    done = given("--matrix", stdin=b"x" * (64 * 1024 * 1024) + b"\nnext.org\n", preexec_fn=small)
    assert done.code == 1
    assert "line 1: a target of 16384 characters" in done.err
    assert done.out.splitlines()[-1].endswith("next.org")


def test_an_answer_comes_before_the_next_question() -> None:
    """A program that writes one line and waits has its answer: nothing is held back until the end
    of stdin.
    """
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


# --- lint
# -----------------------------------------------------------------------------------------------------------


def test_lint_of_a_good_node_is_quiet(node: Node) -> None:
    """What the agent composes is nothing to warn of: notes on CIDRs only, and exit code 0."""
    done = node.run("explain", "--lint", facts=False)
    assert done.code == 0
    assert done.err == "note: in force: /etc/environment\nnothing to warn of\n"
    assert {line.partition(":")[0] for line in done.out.splitlines()} == {"note"}


def test_lint_of_a_list_names_what_to_mend() -> None:
    """Warnings end with 3; each names the entry, the clients, the consequence and the way out."""
    done = explain("--lint", "--no-proxy", f"{LIST},*.example.com,com")
    assert (done.code, done.err) == (3, "")
    cidr = "the addresses in it take the proxy in curl <7.86, wget, urllib; nothing better exists for a network"
    apex = "corp.example.com itself takes the proxy in wget; write corp.example.com, which covers what is below it too"
    assert done.out.splitlines() == [
        "warning: com (given): it exempts every host below .com; write the hosts or networks that are meant",
        "note: 10.0.0.0/16 (given): " + cidr,
        "warning: .corp.example.com (given): " + apex,
        "warning: *.example.com (given): the * means nothing to curl, wget, urllib, requests; write example.com",
    ]


def test_lint_knows_the_region_of_the_node(node: Node) -> None:
    """status.json says where the node is, so a name of another region is found without the metadata
    service.
    """
    node.main("apply", "--set", 'proxy.no_proxy=["s3.us-east-1.amazonaws.com"]')
    done = node.run("explain", "--lint", facts=False)
    assert done.code == 3
    assert "it is a name of us-east-1, and the node is in eu-central-1" in done.out


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_lint_tells_no_password(flags: list[str]) -> None:
    """Somebody's mistake in the list is named without what stands before its @."""
    done = explain("--lint", *flags, "--no-proxy", "http://bob:hunter2@h.example.com,bob:hunter2@x")
    assert "***@h.example.com" in done.out
    assert "hunter2" not in done.both


def test_lint_of_hosts() -> None:
    """Hosts that clients disagree on are found; one that cannot be read makes the exit code 1."""
    done = explain("--lint", "--json", "--no-proxy", LIST.replace(",.corp.example.com", ""), "10.0.0.1", "x.org")
    assert done.code == 3
    found = [one for one in objects(done) if one["severity"] == "warning"]
    assert [(one["kind"], one["entry"], one["clients"]) for one in found] == [
        ("disagree", "10.0.0.1", ["curl-old", "wget", "urllib"])
    ]
    assert set(found[0]) == {"severity", "kind", "entry", "reason", "clients", "text", "fix"}
    assert explain("--lint", "--no-proxy", LIST, "ftp://x").code == 1


# --- cost
# -----------------------------------------------------------------------------------------------------------


def test_a_given_list_loads_no_more_than_it_needs() -> None:
    """Neither the metadata client nor TLS, YAML or the logger is imported to explain a list that
    was given.
    """
    code = "import sys; from agent import cli; cli.main(sys.argv[1:]); print(*sorted(sys.modules), file=sys.stderr)"
    done = run([sys.executable, "-c", code, "explain", "--no-proxy", LIST, "--proxy", PROXY, "x.org"])
    assert done.code == 0
    assert {"requests", "ssl", "yaml", "structlog", "tenacity", "agent.node.inputs"} & set(done.err.split()) == set()
