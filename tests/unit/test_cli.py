"""Help texts of all commands.

After an intended change: ACCEPT=1 pytest tests/unit/test_cli.py, and read the diff.
"""

import os
import re
from pathlib import Path

import pytest

from agent import cli, usage

GOLDEN = Path(__file__).parent / "golden/help.txt"


@pytest.fixture(autouse=True)
def layout(monkeypatch):
    """100 columns, help texts in column 24, options in the form of Python 3.13 (`-n, --name NAME`).

    argparse lays out both in another way before Python 3.13.
    """

    def invocation(self, action):
        if not action.option_strings or action.nargs == 0:
            return original(self, action)
        return f"{', '.join(action.option_strings)} {action.metavar}"

    formatter = usage.Formatter
    original = formatter._format_action_invocation
    monkeypatch.setattr(formatter, "_format_action_invocation", invocation)
    monkeypatch.setattr(formatter, "_action_max_length", property(lambda _: 22, lambda *_: None), raising=False)
    monkeypatch.setenv("COLUMNS", "100")


def commands(parser, *words):
    """Yield the words and the parser of each command, those with actions included."""
    yield words, parser
    for name, command in (parser.commands.choices if parser.commands else {}).items():
        yield from commands(command, *words, name)


def help_texts():
    """Return all help texts, with the heading that Python 3.9 writes otherwise."""
    texts = [
        f"$ {' '.join(['eks-proxy-agent', *words, '--help'])}\n{command.format_help()}"
        for words, command in commands(cli.parser())
    ]
    return re.sub(r"(?m)^optional arguments:$", "options:", "\n".join(texts))


def test_the_help_texts_are_the_golden_ones():
    """The help of every command is as in golden/help.txt; ACCEPT=1 rewrites that file."""
    if os.environ.get("ACCEPT") == "1":
        GOLDEN.write_text(help_texts())
    assert help_texts().splitlines() == GOLDEN.read_text().splitlines()


def test_every_help_ends_with_the_documentation():
    """The last line of each help names the man page and the directory of the documentation."""
    last = {command.format_help().splitlines()[-1] for _, command in commands(cli.parser())}
    assert last == {"Documentation: eks-proxy-agent(8) and /usr/share/doc/eks-proxy-agent/"}


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["aply"], 'did you mean "apply"?'),
        (["stauts"], 'did you mean "status"?'),
        (["plan", "--jason"], 'did you mean "--json"?'),
        (["plan", "--root-dir=/x"], 'did you mean "--root"?'),
        (["cluster", "plan", "--namspace", "x"], 'did you mean "--namespace"?'),
        (["check", "--only", "proxies"], "no-proxy, packages, elsewhere, clock"),
        (
            ["cluster", "render", "--format", "helm"],
            '--format "helm": expected one of patch, ssa, kustomize, helm-values',
        ),
        (["user-data", "check", "-", "--for=eks"], "managed-node-group, karpenter, terraform"),
        (["config", "check", "node.toml"], 'unexpected argument "node.toml"; did you mean "--config"?'),
        (["plan", "http://proxy.corp:3128"], 'did you mean "--proxy"?'),
        (["status", "http://proxy.corp:3128"], 'unexpected argument "http://proxy.corp:3128"'),
        (["plan", "x"], 'unexpected argument "x"'),
        (["-x", "plan"], 'run "eks-proxy-agent --help" for a list'),
        (["--json", "plan"], 'run "eks-proxy-agent --help" for a list'),
    ],
)
def test_a_usage_error_suggests_a_similar_name(words, remedy, capsys):
    """An unknown command or option has a similar name or --help, a wrong value those allowed."""
    with pytest.raises(SystemExit) as caught:
        cli.parser().parse_args(words)
    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith(f" {remedy}\n")


def test_a_usage_error_masks_a_password(capsys):
    """User info of a URL in an unexpected argument is masked."""
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["apply", "http://alice:hunter2@proxy.corp:3128"])
    err = capsys.readouterr().err
    assert "***@proxy.corp:3128" in err
    assert "hunter2" not in err
