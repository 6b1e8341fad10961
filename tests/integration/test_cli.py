"""Command line as users run it: real processes on a tree, their output and exit codes."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from agent import __version__
from tests.integration.command_line import FACTS, PROXY, REPOSITORY, Node, environment, run

SETTINGS = '[proxy]\nurl = "%s"\n[aws]\ndirect = []\n'


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A node whose settings name a proxy and need no probe of AWS."""
    node = Node(tmp_path)
    node.settings(SETTINGS % PROXY)
    return node


# --- plan, apply, revert


def test_plan_shows_and_changes_nothing(node: Node) -> None:
    """`plan` prints a diff of every file, exits with 3 and leaves the tree as it was."""
    before = node.tree()
    done = node.run("plan")
    assert (done.code, done.err) == (3, "")
    assert node.tree() == before
    assert "+++ /etc/environment\n" in done.out
    assert " LANG=C.UTF-8\n" in done.out
    assert f"+http_proxy={PROXY}\n" in done.out
    assert "+++ /etc/dnf/dnf.conf\n" in done.out
    assert "+++ /etc/systemd/system/docker.service.d/zz-eks-proxy.conf\n" in done.out


def test_plan_as_json_lists_the_same_changes(node: Node) -> None:
    """`plan --json` prints the schema, entries with reasons, and exactly the changes of apply."""
    done = node.run("plan", "--json")
    assert (done.code, done.err) == (3, "")
    plan = json.loads(done.out)
    assert plan["schema"] == 1
    assert plan["instance_id"] == FACTS["instance_id"]
    assert {"entry": "10.42.0.0/16", "reason": "vpc"} in plan["no_proxy"]
    assert "+++ /etc/environment\n" in plan["diff"]
    assert plan["problems"] == []
    changes = [f"{change['action']} {change['path']}" for change in plan["changes"]]
    assert node.run("apply").out.splitlines() == changes


def test_a_second_apply_has_nothing_to_do(node: Node) -> None:
    """`apply` names each file; a second one writes no file, and a plan after it is empty."""
    done = node.run("apply")
    assert (done.code, done.err) == (0, "")
    assert "created /etc/eks-proxy-agent/node.env\n" in done.out
    assert "changed /etc/environment\n" in done.out
    assert "changed /etc/dnf/dnf.conf\n" in done.out
    assert "10.42.0.0/16" in node.no_proxy()
    before, stamps = node.tree(), node.stamps()
    again = node.run("apply")
    assert (again.code, again.out, again.err) == (0, "nothing to do: the node is as planned\n", "")
    assert (node.tree(), node.stamps()) == (before, stamps)
    planned = node.run("plan")
    assert (planned.code, planned.out) == (0, "")


def test_revert_restores_everything(node: Node) -> None:
    """`revert` restores the tree byte for byte; a second one has nothing to do."""
    before = node.tree()
    node.run("apply")
    node.run("apply", "--set", "node.units=[]")
    done = node.run("revert")
    assert (done.code, done.err) == (0, "")
    assert "removed /etc/eks-proxy-agent/node.env\n" in done.out
    assert "nothing to do" not in done.out
    assert node.tree() == before
    assert node.run("revert").out == "nothing to do: the agent has not changed any file\n"


def test_without_a_proxy_nothing_is_written(node: Node) -> None:
    """Without settings, apply exits with 0, prints "unconfigured" and writes nothing."""
    node.settings("")
    before = node.tree()
    done = node.run("apply")
    assert (done.code, done.out) == (0, "")
    assert done.err == "unconfigured: no proxy.url in the settings; nothing is written\n"
    assert node.tree("var/lib/eks-proxy-agent") == before


def test_a_changed_vpc_changes_the_list_only(node: Node) -> None:
    """A new VPC CIDR adds one entry: plan shows it, apply writes it, no drop-in changes."""
    node.run("apply")
    node.be(vpc_cidrs_v4=["10.42.0.0/16", "100.64.0.0/16"])
    assert node.run("plan").code == 3
    assert node.run("apply").out.splitlines() == ["changed /etc/eks-proxy-agent/node.env", "changed /etc/environment"]
    assert "100.64.0.0/16" in node.no_proxy()


def test_a_relative_root_and_a_root_with_blanks(tmp_path: Path) -> None:
    """--root accepts a relative path and a path with blanks."""
    (tmp_path / "a b").mkdir()
    node = Node(tmp_path / "a b")
    argv = node.argv("apply", "--proxy", PROXY)
    argv[argv.index(str(node.root))] = os.path.relpath(node.root, REPOSITORY)
    assert run(argv).code == 0
    assert node.variables()["http_proxy"] == PROXY


# --- exit codes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: eks-proxy-agent"),
        (["aply"], 'eks-proxy-agent: error: unknown command "aply"; did you mean "apply"?\n'),
        (["frobnicate"], 'unknown command "frobnicate"; run "eks-proxy-agent --help" for a list\n'),
        (["plan", "--jsn"], 'eks-proxy-agent plan: error: unknown option "--jsn"; did you mean "--json"?\n'),
        (["plan", "--xyz"], 'unknown option "--xyz"; run "eks-proxy-agent plan --help" for a list\n'),
        (["apply", "extra"], 'eks-proxy-agent apply: error: unexpected argument "extra"\n'),
        (["config"], "ACTION"),
        (["config", "chek"], 'eks-proxy-agent config: error: unknown command "chek"; did you mean "check"?\n'),
        (["cluster", "aply"], 'eks-proxy-agent cluster: error: unknown command "aply"; did you mean "apply"?\n'),
        (["cluster", "plan", "--jsn"], 'unknown option "--jsn"; did you mean "--json"?\n'),
        (["help", "aply"], 'eks-proxy-agent: error: unknown command "aply"; did you mean "apply"?\n'),
        (["help", "config", "chek"], 'unknown command "chek"; did you mean "check"?\n'),
        (["help", "apply", "extra"], 'unexpected argument "extra"\n'),
        (["plan", "--root"], "expected one argument"),
        (["plan", "--root", "/nonexistent"], "--root /nonexistent: not a directory"),
        (["plan", "--root", ""], "--root : not a directory"),
    ],
)
def test_wrong_usage_is_2(arguments: list[str], message: str) -> None:
    """An invalid command line exits with 2, and stderr names the error and the closest name."""
    done = run([sys.executable, "-m", "agent", *arguments])
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_bootstrap_of_another_tree_is_2(node: Node) -> None:
    """bootstrap.sh works on the running machine only: --root is unknown, and not in --help."""
    before = node.tree()
    done = node.run("bootstrap", "--", "my-cluster")
    assert done.code == 2
    assert 'unknown option "--root"' in done.err
    assert node.tree() == before
    assert "--root" not in run([sys.executable, "-m", "agent", "bootstrap", "--help"]).out


def test_wrong_settings_are_78(node: Node) -> None:
    """Commands that read settings exit with 78 if they are wrong, and apply writes nothing."""
    node.settings("[proxy]\nurl = 3128\n")
    before = node.tree()
    for command in ("apply", "plan", "config check", "config show"):
        done = node.run(command)
        assert (done.code, done.out) == (78, "")
        assert "config.toml, line 2: proxy.url: expected a string, got the integer 3128 (allowed: " in done.err
    assert node.tree() == before


def test_a_failure_is_1(node: Node) -> None:
    """A failure outside the settings exits with 1, and stderr names the file."""
    done = node.run("apply", "--config", "/nonexistent.toml")
    assert (done.code, done.out) == (1, "")
    assert done.err == "eks-proxy-agent: /nonexistent.toml: cannot be read: No such file or directory\n"


def test_locked_by_another_run_is_75(node: Node) -> None:
    """While another process holds the lock, apply times out with 75 and names the pid."""
    before = node.tree()
    lock = node.write("run/eks-proxy-agent/lock", b"%d\n" % os.getpid())
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = node.run("apply")
    assert (done.code, done.out) == (75, "")
    assert f"pid {os.getpid()}" in done.err
    assert "hint: wait for it to end" in done.err
    assert node.tree("var/lib/eks-proxy-agent") == before


#: Imports everything first: another user may not be able to read this repository.
AS_NOBODY = """
import os, sys
from agent import cli
import agent.commands.bootstrap, agent.commands.image, agent.commands.node, agent.commands.run, agent.edges.imds
if os.geteuid() == 0:
    os.seteuid(65534)
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", ["run", "apply", "revert", "bootstrap", "bake", "clean"])
def test_changing_the_running_machine_requires_root(command: str) -> None:
    """On / every command that changes something requires root, before it reads or queries."""
    nowhere = [] if command == "revert" else ["--set", "metadata.endpoint=http://127.0.0.1:9"]
    done = run([sys.executable, "-c", AS_NOBODY, command, *nowhere])
    assert (done.code, done.out) == (1, "")
    assert f"{command}: requires root" in done.err
    assert "hint: run it with sudo" in done.err
    assert ("--root DIR" in done.err) == (command != "bootstrap"), (
        "the hint names a flag that the command does not have"
    )


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["plan", "--prox", PROXY], "--proxy"),
        (["cluster", "plan", "--conf", "x"], "--config"),
        (["status", "--ful"], "--full"),
    ],
)
def test_options_cannot_be_abbreviated(words: list[str], option: str) -> None:
    """An abbreviated option exits with 2: it would become ambiguous with a new option."""
    done = run([sys.executable, "-m", "agent", *words])
    assert (done.code, done.out) == (2, "")
    assert f'; did you mean "{option}"?' in done.err


# --- output


def test_help_names_the_exit_codes() -> None:
    """`--help` explains every exit code."""
    done = run([sys.executable, "-m", "agent", "--help"])
    assert done.code == 0
    text = " ".join(done.out.split())
    assert "0 done, 1 failed, 2 wrong usage, 3 changes pending or drift found" in text
    assert "75 locked by another run, 78 wrong settings" in text


@pytest.mark.parametrize("topic", [[], ["apply"], ["config"], ["config", "check"], ["cluster", "plan"]])
def test_help_is_the_same_as_the_flag(topic: list[str]) -> None:
    """`help COMMAND` prints what `COMMAND --help` prints."""
    command = run([sys.executable, "-m", "agent", "help", *topic])
    flag = run([sys.executable, "-m", "agent", *topic, "--help"])
    assert (command.code, command.err) == (0, "")
    assert command == flag


def test_help_on_a_terminal_without_a_width() -> None:
    """On a serial console, which reports 0 columns, the help is laid out for 80."""
    outer, inner = pty.openpty()
    with os.fdopen(outer, "rb", buffering=0) as screen:
        argv = [sys.executable, "-m", "agent", "status", "--help"]
        subprocess.run(argv, cwd=REPOSITORY, env=environment(), stdout=inner, stderr=inner, check=True)
        os.close(inner)
        assert b"[-h] [--root DIR] [--json] [--full]" in screen.read(4096)


@pytest.mark.parametrize("word", ["version", "--version", "-V"])
def test_version(word: str) -> None:
    """`version`, `--version` and `-V` print the installed version."""
    done = run([sys.executable, "-m", "agent", word])
    assert (done.code, done.out, done.err) == (0, f"eks-proxy-agent {__version__}\n", "")


def test_stdout_holds_data_only(node: Node) -> None:
    """Warnings and notes go to stderr, so that programs can parse stdout."""
    node.settings('[proxy]\nno_proxy = ["nexus.corp:8443"]\n', "config.d/50.toml")
    planned = node.run("plan", "--json")
    assert isinstance(json.loads(planned.out), dict)
    assert planned.err.startswith('warning: proxy.no_proxy: "nexus.corp:8443" has a port')
    applied = node.run("apply")
    assert applied.err == planned.err
    assert all(line.split()[0] in ("created", "changed") for line in applied.out.splitlines())
    checked = node.run("config check")
    assert (checked.out, checked.err) == ("the settings are valid\n", planned.err)


@pytest.mark.parametrize("command", ["plan", "apply", "status", "config show"])
def test_no_colours(node: Node, command: str) -> None:
    """No escape sequence is printed, even if the environment requests colours."""
    done = node.run(command, env={"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TERM": "xterm-256color"})
    assert done.out
    assert "\x1b" not in done.both


@pytest.mark.parametrize("command", ["plan", "plan --json", "apply", "status", "config show", "config show --json"])
def test_a_closed_pipe_ends_the_command_without_a_traceback(node: Node, command: str) -> None:
    """With `| head -1`, the closed pipe ends the command with 1 and without output on stderr."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    name, _, json_flag = command.partition(" --")
    argv = node.argv(name, *(["--json"] if json_flag else []))
    done = subprocess.run(
        argv, cwd=REPOSITORY, env=environment(), stdout=write_end, stderr=subprocess.PIPE, check=False, timeout=30
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_full_disk_behind_stdout_is_an_error(node: Node) -> None:
    """Output that cannot be written is reported, with exit code 1 and without a traceback."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            node.argv("plan"), cwd=REPOSITORY, env=environment(), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2>&- <&-"])
@pytest.mark.parametrize("command", ["plan", "apply", "plan --bogus"])
def test_a_full_or_closed_stderr_changes_nothing(node: Node, redirection: str, command: str) -> None:
    """Warnings and errors are lost; data, files and exit code are as ever."""
    node.settings('[proxy]\nno_proxy = ["nexus.corp:8443"]\n', "config.d/50.toml")
    argv = [*node.argv(command.split(maxsplit=1)[0]), *command.split()[1:]]
    before = run(argv)
    assert before.err
    assert node.run("revert").code == 0
    done = run(["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *argv])
    assert (done.code, done.out) == (before.code, before.out)


def test_closed_standard_streams_are_not_taken_by_files(tmp_path: Path) -> None:
    """The first file that is opened would get the descriptor, and error texts would go into it."""
    code = "import os, sys; from agent import __main__ as entry; sys.argv[1:] = ['version']; entry.main(); "
    code += "os.write(3, b'%d' % os.open('/', 0))"
    shell = f'exec "$@" <&- >&- 2>&- 3>{tmp_path}/descriptor'
    assert run(["/bin/sh", "-c", shell, "sh", sys.executable, "-c", code]).code == 0
    assert int((tmp_path / "descriptor").read_text()) > 3


def test_a_closed_stdout_causes_no_traceback(node: Node) -> None:
    """A command started with `>&-`, as some supervisors do, runs without a traceback."""
    argv = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *node.argv("plan")]
    done = run(argv)
    assert "Traceback" not in done.err
    assert done.code == 3


def test_other_encodings_in_files_are_shown(node: Node) -> None:
    """A diff of non-ASCII lines is printed in any locale."""
    node.write("etc/environment", "GREETING=grüß\n".encode())
    node.write("etc/dnf/dnf.conf", b"[main]\n# caf\xe9\n")
    for locale in ("C", "C.UTF-8", "POSIX"):
        done = node.run("plan", env={"LC_ALL": locale})
        assert done.code == 3
        assert "GREETING=gr" in done.out


def test_a_mistyped_flag_does_not_show_a_password(node: Node) -> None:
    """A usage error does not repeat the user info of a URL."""
    done = node.run("apply", "--prxy", "http://alice:hunter2@proxy.corp:3128")
    assert done.code == 2
    assert "hunter2" not in done.both


# --- secrets

#: A password with all characters that formats, shells and URLs treat specially, and traces of its
#: encoded forms.
PASSWORD = "hunter2:p@ss/w%rd ~#;$'\"\\ü"
TRACES = ("hunter2", "p%40ss", "aHVudGVyMg", "p@ss")


@pytest.fixture
def secretive(node: Node) -> Node:
    """A node with credentials for its proxy."""
    node.write("etc/proxy.pass", (f"alice:{PASSWORD}\n").encode(), 0o600)
    node.settings(f'[proxy]\nurl = "{PROXY}"\ncredentials_file = "/etc/proxy.pass"\n')
    return node


def test_credentials_reach_node_env_only(secretive: Node) -> None:
    """Percent-encoded credentials are in node.env (mode 0600), and nowhere else in the tree."""
    assert secretive.run("apply").code == 0
    assert secretive.variables("etc/eks-proxy-agent/node.env")["http_proxy"] == (
        "http://alice:hunter2%3Ap%40ss%2Fw%25rd%20%7E%23%3B%24%27%22%5C%C3%BC@proxy.corp:3128"
    )
    assert (secretive.root / "etc/eks-proxy-agent/node.env").stat().st_mode & 0o777 == 0o600
    holders = [
        name
        for path in secretive.root.rglob("*")
        for name in [str(path.relative_to(secretive.root))]
        if path.is_file() and any(trace in path.read_bytes().decode("utf-8", "replace") for trace in TRACES)
    ]
    assert sorted(holders) == ["etc/eks-proxy-agent/node.env", "etc/proxy.pass"]


def test_no_command_prints_credentials(secretive: Node) -> None:
    """No command prints the password: before apply, after it, and after the password changed."""
    commands = "plan,plan --json,config show,config check,apply,apply,status,status --json".split(",")
    for password in (PASSWORD, PASSWORD + "2"):
        secretive.write("etc/proxy.pass", (f"alice:{password}\n").encode(), 0o600)
        for command in [*commands, "revert"] if password != PASSWORD else commands:
            name, _, json_flag = command.partition(" --")
            done = secretive.run(name, *(["--json"] if json_flag else []))
            assert done.code in (0, 3), command
            assert [trace for trace in TRACES if trace in done.both] == [], command


def test_credentials_of_others_in_our_files_are_masked_in_diffs(node: Node) -> None:
    """A diff masks user info and proxy_password in lines that others wrote."""
    node.write("etc/environment", b"http_proxy=http://alice:hunter2@old:1\n")
    node.write("etc/dnf/dnf.conf", b"[main]\nproxy_password = hunter2\nproxy=http://alice:hunter2@old:1\n")
    for flags in ([], ["--json"]):
        done = node.run("plan", *flags)
        assert "***@old:1" in done.out
        assert "hunter2" not in done.both


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"alice:hunter2\n", 0o644, "/etc/proxy.pass: must be owned by root and have mode 0600"),
        (b"alice:hunter2\n", 0o620, "/etc/proxy.pass: must be owned by root and have mode 0600"),
        (b"", 0o600, "/etc/proxy.pass: is empty; write USER:PASSWORD on one line"),
        (b"alice:hunter2\nbob:hunter3\n", 0o600, "/etc/proxy.pass: has more than one line"),
        (b"hunter2\n", 0o600, "/etc/proxy.pass: does not have the form USER:PASSWORD"),
        (b"alice:hunter2\r\n", 0o600, "/etc/proxy.pass: contains a control character"),
        (b"alice:hunter2\xff\n", 0o600, "/etc/proxy.pass: is not valid UTF-8"),
        ("alice:hunter2\n".encode("utf-16"), 0o600, "/etc/proxy.pass: is UTF-16; save it as UTF-8"),
        (b"\xef\xbb\xbfalice:hunter2\n", 0o600, "/etc/proxy.pass: begins with a byte order mark"),
        (b"http://alice:hunter2@proxy.corp:3128\n", 0o600, "/etc/proxy.pass: is a URL"),
        (b'{"alice": "hunter2"}\n', 0o600, "/etc/proxy.pass: is JSON"),
        (None, 0o600, "/etc/proxy.pass: no such file"),
    ],
)
def test_a_doubtful_credentials_file_is_refused(node: Node, content: bytes, mode: int, message: str) -> None:
    """A credentials file that others can access, or without one USER:PASSWORD, is an error."""
    node.settings(f'[proxy]\nurl = "{PROXY}"\ncredentials_file = "/etc/proxy.pass"\n')
    if content is not None:
        node.write("etc/proxy.pass", content, mode)
    before = node.tree()
    for command in ("apply", "plan", "config check"):
        done = node.main(command)
        assert (done.code, done.out) == (1, "")
        assert "proxy.credentials_file: " + message in done.err
        assert "hunter" not in done.err
    assert node.tree() == before


def test_a_plan_without_a_proxy_prints_unconfigured(node: Node) -> None:
    """Without proxy.url, `plan` prints "unconfigured" and nothing else."""
    node.settings("")
    done = node.main("plan")
    assert (done.code, done.out, done.err) == (0, "", "unconfigured: no proxy.url in the settings\n")
