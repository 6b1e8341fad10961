"""Completions of bash and zsh, which are generated from the parser, in real shells."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.cli import parser
from tests.packaging.test_manual_pages import commands, flags, pages
from tests.packaging.zsh import Zsh

__all__ = ["pages"]  # the fixture


@pytest.fixture(scope="module")
def zsh(pages, tmp_path_factory):
    """Return a zsh with the completion, in a directory with a file and a directory."""
    functions, working = tmp_path_factory.mktemp("functions"), tmp_path_factory.mktemp("working")
    (functions / "_eks-proxy-agent").write_bytes((pages / "completion.zsh").read_bytes())
    (working / "facts.json").write_text("")
    (working / "tree").mkdir()
    with Zsh(functions, working) as shell:
        yield shell


def choices():
    """Return each command and flag that has fixed values, with these."""
    return [
        (name, action.option_strings[-1], list(action.choices))
        for name, command in commands(parser())
        for action in command._actions
        if action.option_strings and action.choices
    ]


def test_the_help_names_the_fixed_values():
    """The help of such a flag has each of its values."""
    actions = [action for _, command in commands(parser()) for action in command._actions if action.choices]
    assert [action.dest for action in actions for value in action.choices if value not in action.help] == []
    names = {flag for _, flag, _ in choices()}
    assert {"--only", "--for", "--format", "--gitops"} <= names


# --- bash


def complete(pages, *words):
    """Return bash's completions for the last word."""
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _eks_proxy_agent; echo "${COMPREPLY[*]}"'
    command = ["bash", "--norc", "-c", script, "bash", str(pages / "completion"), "eks-proxy-agent", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_completion_offers_every_command_and_flag(pages):
    """bash offers the commands, then the flags of each, and for `config` its second word."""
    names = dict(commands(parser()))
    assert set(complete(pages, "")) == {name.split()[0] for name in names} | {"--version", "--help"}
    for name in names.keys() - {"help"}:
        assert set(complete(pages, *name.split(), "")) == set(flags(names[name])), name
    assert complete(pages, "config", "c") == ["check"]
    assert complete(pages, "apply", "--on") == ["--once"]


def test_completion_of_help_offers_commands(pages):
    """After `help` come the commands, then the actions of a command, and no flags."""
    assert set(complete(pages, "help", "")) == {name.split()[0] for name in dict(commands(parser()))}
    assert complete(pages, "help", "config", "") == ["show", "check"]
    assert complete(pages, "help", "apply", "") == []


def test_completion_offers_files_for_file_flags(pages, tmp_path):
    """--facts completes files, --root directories only, --proxy nothing."""
    (tmp_path / "facts.json").write_text("")
    (tmp_path / "tree").mkdir()
    assert complete(pages, "apply", "--facts", f"{tmp_path}/f") == [f"{tmp_path}/facts.json"]
    assert complete(pages, "apply", "--root", f"{tmp_path}/") == [f"{tmp_path}/tree"]
    assert complete(pages, "apply", "--proxy", "") == []


def test_completion_offers_the_choices_of_the_parser(pages):
    """After a flag with fixed values come exactly these, also after =."""
    for name, flag, values in choices():
        assert complete(pages, *name.split(), flag, "") == values, (name, flag)
        assert complete(pages, *name.split(), flag, "=") == values, (name, flag)
    assert complete(pages, "check", "--only", "=", "no") == ["no-proxy"]


def test_completion_passes_shellcheck(pages):
    """shellcheck has no findings in the completion."""
    shellcheck = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run([str(shellcheck), "-s", "bash", str(pages / "completion")], check=False, capture_output=True)
    assert done.returncode == 0, done.stdout.decode()


def typed(pages, working, line):
    """Type a line in a real bash in a directory, complete it with Tab, and return the arguments."""
    terminal, other = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "LC_ALL": "C.UTF-8", "PS1": "", "HISTFILE": ""}
    setup = f"source {pages}/completion; eks-proxy-agent() {{ printf '%s\\n' \"$@\" >{working}.new; mv {working}.new {working}.words; }}"
    process = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        stdin=other,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=working,
        env=environment,
        start_new_session=True,
    )
    os.close(other)
    result, deadline = Path(f"{working}.words"), time.monotonic() + 60
    try:
        os.write(terminal, f"{setup}\n{line}\t\n".encode())
        while not result.exists():
            assert time.monotonic() < deadline, f"bash did not run: {line}"
            time.sleep(0.01)
        return result.read_text().splitlines()
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


@pytest.mark.parametrize(
    ("begin", "name"), [("\\$", "$(touch pwned)"), ("my", "my file.json"), ("./a", "a'b"), ("x", "x;touch pwned")]
)
@pytest.mark.parametrize("command", ["report --output", "user-data check"])
def test_bash_quotes_the_names_of_files(pages, tmp_path, command, begin, name):
    """A name is one word: root's shell in /tmp runs nothing that others put there."""
    working = tmp_path / "working"
    working.mkdir()
    (working / name).write_text("")
    *_, word = typed(pages, working, f"eks-proxy-agent {command} {begin}")
    assert word == ("./" if begin.startswith("./") else "") + name
    assert not (working / "pwned").exists()


# --- zsh


def test_zsh_offers_every_command_and_flag(zsh):
    """zsh offers the commands, the actions of a command, and the flags of each."""
    names = dict(commands(parser()))
    assert set(zsh.complete("eks-proxy-agent ")) == {name.split()[0] for name in names}
    assert set(zsh.complete("eks-proxy-agent --")) == {"--version", "--help"}
    for name in names.keys() - {"help"}:
        assert set(zsh.complete(f"eks-proxy-agent {name} --")) == set(flags(names[name])), name
    assert zsh.complete("eks-proxy-agent config ") == ["check", "show"]
    assert zsh.complete("eks-proxy-agent apply --on") == ["--once"]


def test_zsh_offers_the_choices_of_the_parser(zsh):
    """After a flag with fixed values come exactly these, also after =, and for a repeated flag."""
    for name, flag, values in choices():
        assert zsh.complete(f"eks-proxy-agent {name} {flag} ") == sorted(values), (name, flag)
    assert zsh.complete("eks-proxy-agent check --only=no") == ["no-proxy"]
    assert zsh.complete("eks-proxy-agent check --only files --only u") == ["units"]


def test_zsh_offers_files_for_file_flags(zsh):
    """--facts completes files, --root directories only, --proxy nothing."""
    assert zsh.complete("eks-proxy-agent plan --facts ") == ["facts.json", "tree"]
    assert zsh.complete("eks-proxy-agent plan --root ") == ["tree"]
    assert zsh.complete("eks-proxy-agent plan --proxy ") == []
    assert zsh.complete("eks-proxy-agent user-data check f") == ["facts.json"]


def test_zsh_offers_commands_after_help(zsh):
    """After `help` come the commands, then the actions of a command."""
    assert zsh.complete("eks-proxy-agent help pl") == ["plan"]
    assert zsh.complete("eks-proxy-agent help config ") == ["check", "show"]
    assert zsh.complete("eks-proxy-agent help apply ") == []
