"""proxy.credentials_command and systemd credentials: when they are read, kept and refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.core.plan.drift import Memory
from agent.core.record import evolve
from agent.core.settings.schema import Proxy
from agent.daemon.cycle import run_cycle
from agent.daemon.daemon import Daemon
from agent.daemon.protocol import Message, NextRun
from agent.daemon.supervisor import Reason
from agent.edges.files import FileSystem
from agent.edges.signals import watched
from agent.edges.state import State
from agent.edges.systemd import Systemd
from agent.errors import CommandError, FileError
from agent.node import credentials, inputs
from agent.node.budget import Budget
from agent.node.host import Host
from agent.node.sources import SettingsSources
from tests.integration.command_line import PROXY, REPOSITORY, Node, Outcome, environment
from tests.integration.daemon import wait_until

NODE_ENV = "etc/eks-proxy-agent/node.env"
PASSWORD = "hunter2@:/%"
ENCODED = "alice:hunter2%40%3A%2F%25@"
#: Nothing is probed: each of these would be on an instance.
REST = '[aws]\ndirect = []\n[cluster]\nendpoint_access = "private"\n[failure]\npreflight = "off"\n'
ELSEWHERE = "proxy.credentials_command: not run"


class Vault:
    """A program that prints what the test says, and writes down how it was called."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.program, self._output, self.log = directory / "vault", directory / "output", directory / "log"
        self.program.write_text(f"#!/bin/sh\n/usr/bin/env >>{self.log}; echo >>{self.log}\n. {self._output}\n")
        self.program.chmod(0o755)
        self.prints(f"alice:{PASSWORD}")

    def prints(self, text: str) -> None:
        """Print a line from now on."""
        self.does(f"cat <<'EOF'\n{text}\nEOF")

    def does(self, script: str) -> None:
        """Run lines of sh(1) from now on."""
        self._output.write_text(script + "\n")

    @property
    def environments(self) -> list[str]:
        """Return the environment of each run."""
        return self.log.read_text().split("\n\n")[:-1] if self.log.exists() else []


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """The program of the settings."""
    return Vault(tmp_path / "vault")


@pytest.fixture
def node(tmp_path: Path, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node that takes itself for the instance, as `/` would."""
    monkeypatch.setattr(inputs, "is_on_instance", lambda host, sources: True)
    node = Node(tmp_path)
    configure(node, vault)
    return node


def configure(node: Node, vault: Vault, more: str = "") -> None:
    """Write settings with the command."""
    argv = json.dumps([str(vault.program), "get", "proxy"])
    node.settings(f'[proxy]\nurl = "{PROXY}"\ncredentials_command = {argv}\n{more}{REST}')


def memory_of(node: Node) -> Memory:
    """Return the memory of the daemon."""
    return State(FileSystem(str(node.root))).memory()


def cycle(node: Node, reason: Reason = Reason.TIME) -> list[Message]:
    """Run a cycle of the daemon and return its messages."""
    files = FileSystem(str(node.root))
    host = Host(files, State(files), Systemd(running=False))
    messages: list[Message] = []
    with watched() as signals:
        run_cycle(Daemon(host, SettingsSources(facts=str(node.facts)), messages.append, signals), reason)
    return messages


def phase(node: Node) -> tuple[str, str | None]:
    """Return phase and error of status.json."""
    status = json.loads(node.read("run/eks-proxy-agent/status.json"))
    return status["phase"], status["error"]


def places_of(node: Node, text: str) -> list[str]:
    """Return the files of the tree that hold a text."""
    paths = (path for path in node.root.rglob("*") if path.is_file() and not path.is_symlink())
    return [str(path.relative_to(node.root)) for path in paths if text.encode() in path.read_bytes()]


# --- what the command prints


def test_the_password_is_in_node_env_alone(node: Node, vault: Vault) -> None:
    """The command gets PATH, HOME and the region; node.env (0600) gets what it prints."""
    os.environ["HTTPS_PROXY"] = PROXY
    try:
        done = node.main("apply")
    finally:
        del os.environ["HTTPS_PROXY"]
    assert done.code == 0
    assert f"http_proxy=http://{ENCODED}proxy.corp:3128\n" in node.read(NODE_ENV)
    assert (node.root / NODE_ENV).stat().st_mode & 0o777 == 0o600
    assert places_of(node, "hunter2") == [NODE_ENV]
    assert "hunter2" not in done.both
    (environment,) = vault.environments
    names = {line.partition("=")[0] for line in environment.splitlines()} - {"PWD", "OLDPWD", "SHLVL", "_"}
    assert names == {"PATH", "HOME", "AWS_REGION", "AWS_DEFAULT_REGION"}
    assert "AWS_REGION=eu-central-1" in environment


BAD_OUTPUT = {
    "printf 'alice:hunter2\\nbob:hunter2\\n'": "its output has more than one line; write USER:PASSWORD on one line",
    "printf 'alice:hunter2\\0'": "its output contains a control character; write USER:PASSWORD on one line",
    "printf hunter2": "its output does not have the form USER:PASSWORD",
    "printf 'http://alice:hunter2@proxy'": "its output is a URL; write only USER:PASSWORD, not percent-encoded",
    'printf \'{"password": "hunter2"}\'': "its output is JSON; write USER:PASSWORD on one line",
    "printf 'alice:hunter2\\377'": "its output is not valid UTF-8",
    "true": "its output is empty; write USER:PASSWORD on one line",
    "head -c 1048576 /dev/zero": "printed more than 4096 bytes",
    "echo alice:hunter2; echo alice:hunter2 >&2; exit 3": "exit code 3; its stderr is not shown, it may hold the password",
    "kill -9 $$": "exit code 137; its stderr is not shown, it may hold the password",
    "echo 'An error occurred (AccessDeniedException) when calling the GetSecretValue operation: hunter2' >&2; exit 254": (
        "exit code 254: AccessDeniedException when calling GetSecretValue"
    ),
}


@pytest.mark.parametrize("script", BAD_OUTPUT)
def test_a_command_that_fails_changes_nothing(node: Node, vault: Vault, script: str) -> None:
    """The error names the program and what is wrong, and repeats neither output nor arguments."""
    vault.does(script)
    before = node.tree()
    done = node.main("apply")
    assert done.code == 1
    separator = ": " if BAD_OUTPUT[script].startswith(("its", "exit", "printed")) else " "
    assert f"proxy.credentials_command: {vault.program}{separator}{BAD_OUTPUT[script]}\n" in done.err
    assert "hunter2" not in done.both
    assert "get proxy" not in done.both
    assert node.tree() == before


def test_a_command_that_hangs_is_ended(node: Node, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time, or what is left of that of the boot."""
    monkeypatch.setattr(credentials, "TIMEOUT", 0.3)
    vault.does("sleep 1000")
    done = node.main("apply")
    assert done.code == 1
    assert f"proxy.credentials_command: {vault.program}: timed out after 0.3 s" in done.err


def test_sigterm_to_apply_ends_the_command(node: Node, vault: Vault, tmp_path: Path) -> None:
    """Otherwise a command that hangs would stay for ever, without the parent that limits it."""
    pid = tmp_path / "pid"
    vault.does(f"echo $$ >{pid}; exec sleep 1000")
    code = (
        "from agent import cli; from agent.node import inputs; import sys\n"
        "inputs.is_on_instance = lambda host, sources: True\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", code, *node.argv("apply")[3:]]
    with subprocess.Popen(argv, cwd=REPOSITORY, env=environment()) as process:
        wait_until("the start of the command", lambda: pid.exists() and pid.read_text())
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM
    wait_until("the end of the command", lambda: not Path(f"/proc/{int(pid.read_text())}/environ").exists())


@pytest.mark.parametrize(("seconds", "problem"), [(0.3, "timed out after 0."), (0.0, "the time of this boot is spent")])
def test_the_budget_of_a_boot_bounds_the_command(node: Node, vault: Vault, seconds: float, problem: str) -> None:
    """Units wait no longer than the budget for all waits together."""
    vault.does("sleep 1000")
    files = FileSystem(str(node.root))
    host = Host(files, State(files), Systemd(running=False), Budget(seconds))
    with pytest.raises(CommandError, match=problem):
        credentials.run_command(host, Proxy(credentials_command=(str(vault.program),)), "eu-central-1")


# --- who runs it


def only_here(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the node be a tree again, with facts from a file."""
    monkeypatch.undo()


@pytest.mark.parametrize("command", ["plan", "apply", "config check", "config show", "check", "explain ec2.internal"])
def test_no_command_runs_it_for_another_tree(
    node: Node, vault: Vault, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """--root is an image, perhaps of a stranger; what would read the credentials says so."""
    only_here(node, monkeypatch)
    done = node.main(command)
    assert vault.environments == []
    assert (ELSEWHERE in done.err) == (command in ("plan", "apply", "config check"))


@pytest.mark.parametrize("command", ["plan", "config check", "check", "bake", "clean"])
def test_commands_that_do_not_configure_do_not_run_it(node: Node, vault: Vault, command: str) -> None:
    """On the instance itself they take the credentials in force."""
    node.main("apply")
    node.main(command)
    assert len(vault.environments) == 1


def test_plan_uses_the_credentials_in_force(node: Node) -> None:
    """A configured node has no changes; before that the note says that none are known."""
    before = node.main("plan")
    assert "note: proxy.credentials_command: not run by plan; no credentials are known yet" in before.err
    assert node.main("apply").code == 0
    after = node.main("plan")
    assert after.code == 0
    assert "note: proxy.credentials_command: not run by plan; the credentials in node.env are used" in after.err
    assert "hunter2" not in before.both + after.both


def test_apply_runs_it_again(node: Node, vault: Vault) -> None:
    """An operator who has changed the password need not wait."""
    node.main("apply")
    vault.prints("alice:correct horse")
    assert node.main("apply").code == 0
    assert "alice:correct%20horse@" in node.read(NODE_ENV)
    assert places_of(node, "hunter2") == []


def test_without_a_proxy_it_is_not_run(node: Node, vault: Vault) -> None:
    """The credentials are of no use."""
    node.settings(node.read("etc/eks-proxy-agent/config.toml").replace("url =", "#url ="))
    assert node.main("apply").code == 0
    assert vault.environments == []


# --- the daemon


def test_a_cycle_runs_it_when_it_is_due(node: Node, vault: Vault) -> None:
    """At first, after watch.credentials_interval, on reload, and after a change of the command."""
    configure(node, vault, "[watch]\ncredentials_interval = 100\n")
    cycle(node)
    messages = cycle(node)
    assert len(vault.environments) == 1
    (next_run,) = [message.seconds for message in messages if isinstance(message, NextRun)]
    assert 80 < next_run <= 100
    age(node)
    cycle(node)
    assert len(vault.environments) == 2
    cycle(node, Reason.RELOAD)
    assert len(vault.environments) == 3
    configure(node, vault, "[watch]\ncredentials_interval = 200\n")
    cycle(node)
    assert len(vault.environments) == 4
    assert phase(node) == ("configured", None)


def age(node: Node) -> None:
    """Let the time of the next run come."""
    files = FileSystem(str(node.root))
    with Host(files, State(files), Systemd(running=False)).locked() as state:
        state.update_memory(lambda memory: evolve(memory, credentials_due=time.monotonic()))


def test_a_changed_password_reaches_node_env(node: Node, vault: Vault) -> None:
    """At the next run, without anyone's doing."""
    cycle(node)
    vault.prints("alice:correct horse")
    age(node)
    cycle(node)
    assert "alice:correct%20horse@" in node.read(NODE_ENV)
    assert places_of(node, "hunter2") == []


def test_a_failure_later_keeps_the_password_and_degrades_the_node(node: Node, vault: Vault) -> None:
    """Everything else is still configured, and the next success ends it."""
    cycle(node)
    before = node.read(NODE_ENV)
    vault.does("exit 1")
    age(node)
    node.write("etc/environment", b"A=b\n")
    messages = cycle(node)
    assert node.read(NODE_ENV) == before
    assert node.variables()["http_proxy"] == PROXY
    state, error = phase(node)
    assert state == "degraded"
    assert error is not None
    assert error.endswith("it may hold the password; the last credentials stay in force")
    assert min(message.seconds for message in messages if isinstance(message, NextRun)) < 10
    vault.prints(f"alice:{PASSWORD}")
    cycle(node)
    assert phase(node) == ("configured", None)


def test_apply_fails_if_the_command_fails_later(node: Node, vault: Vault) -> None:
    """Exit code 1, the password stays, and the rest is applied."""
    node.main("apply")
    before = node.read(NODE_ENV)
    vault.does("exit 1")
    node.write("etc/environment", b"A=b\n")
    done = node.main("apply")
    assert done.code == 1
    assert "the last credentials stay in force" in done.err
    assert "changed /etc/environment" in done.out
    assert node.read(NODE_ENV) == before


def test_an_edited_node_env_is_not_believed(node: Node, vault: Vault) -> None:
    """Credentials count only in a file that the agent wrote; so the command runs."""
    cycle(node)
    node.write(NODE_ENV, node.read(NODE_ENV).replace("alice", "mallory").encode(), 0o600)
    cycle(node)
    assert len(vault.environments) == 2
    assert "mallory" not in node.read(NODE_ENV)


def test_credentials_in_force_are_not_sent_to_another_proxy(node: Node, vault: Vault) -> None:
    """A new proxy.url with a command that fails leaves everything as it is."""
    cycle(node)
    before = node.tree("var")
    vault.does("exit 1")
    node.settings(node.read("etc/eks-proxy-agent/config.toml").replace("proxy.corp", "other.corp"))
    cycle(node)
    assert phase(node)[0] == "degraded"
    assert node.read(NODE_ENV).encode() == before[NODE_ENV][1]


def test_a_newer_password_of_another_run_is_not_lost(node: Node, vault: Vault) -> None:
    """`apply` wrote a new one while this cycle waited for the lock with the one in force."""
    node.main("apply")
    files = FileSystem(str(node.root))
    host = Host(files, State(files), Systemd(running=False))
    static = inputs.static_settings(files, SettingsSources(facts=str(node.facts)))
    loaded = inputs.load_inputs(host, static, inputs.facts_of(static)).with_command_output(host, host.state.memory())
    vault.prints("alice:correct horse")
    node.main("apply")
    refreshed = loaded.refreshed(host)
    assert refreshed.credentials is not None
    assert refreshed.credentials.password == "correct horse"


# --- systemd


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that systemd names to a unit with credentials."""
    directory = tmp_path / "credentials"
    directory.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    return directory


def read(name: str = "systemd:proxy") -> object:
    """Read a systemd credential, as on the running machine."""
    files = FileSystem()
    return credentials.read_credentials(Host(files, State(files), Systemd(running=False)), Proxy(credentials=name))


def test_a_systemd_credential_is_read(directory: Path) -> None:
    """From $CREDENTIALS_DIRECTORY."""
    (directory / "proxy").write_text("alice:hunter2\n")
    assert read() == credentials.Credentials("alice", "hunter2")


def test_a_command_of_root_reads_that_of_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the directory of the unit, with or without a $CREDENTIALS_DIRECTORY of another one."""
    monkeypatch.setattr(credentials, "_OF_UNIT", str(tmp_path))
    (tmp_path / "proxy").write_text("alice:hunter2\n")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert read() == credentials.Credentials("alice", "hunter2")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/nonexistent")
    assert read() == credentials.Credentials("alice", "hunter2")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "systemd has no credential proxy for eks-proxy-agent.service"),
        (b"hunter2", "proxy: does not have the form USER:PASSWORD"),
        (b"a:hunter2\nb:c\n", "proxy: has more than one line"),
        (b"a:hunter2" * 1000, "is larger than 4096 bytes"),
    ],
)
def test_a_systemd_credential_that_is_missing_or_wrong(directory: Path, content: bytes | None, problem: str) -> None:
    """The error says where it was searched, and repeats nothing."""
    if content is not None:
        (directory / "proxy").write_bytes(content)
    with pytest.raises(FileError, match=problem) as raised:
        read()
    assert "hunter2" not in str(raised.value)


def test_a_tree_has_no_systemd_credentials(node: Node, directory: Path) -> None:
    """They are those of this machine; plan and apply say that they are not read."""
    (directory / "proxy").write_text("alice:hunter2\n")
    node.settings(f'[proxy]\nurl = "{PROXY}"\ncredentials = "systemd:proxy"\n{REST}')
    done: Outcome = node.main("plan")
    assert "note: proxy.credentials: not read by plan; no credentials are known yet" in done.err
    assert "hunter2" not in done.both
