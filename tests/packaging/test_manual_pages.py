"""Manual pages and completion, which are generated from the parser and the default settings."""

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from agent import errors
from agent.cli import parser
from agent.core.record import fields_dict
from agent.core.settings.layers import merge, parse_toml
from agent.core.settings.schema import SECTIONS

ROOT = Path(__file__).parents[2]
PAGES = ["eks-proxy-agent.8", "eks-proxy-agent.toml.5"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Return the directory with the output of packaging/man/pages.py."""
    directory = tmp_path_factory.mktemp("pages")
    subprocess.run([sys.executable, "-I", str(ROOT / "packaging/man/pages.py"), str(directory)], check=True)
    return directory


def shown(path):
    """Return a page as text, without bold and without line breaks inside sentences."""
    command = ["man", "--local-file", "--ascii", str(path)]
    environment = dict(os.environ, MANWIDTH="1000", MAN_KEEP_FORMATTING="", LC_ALL="C.UTF-8")
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return re.sub(r".\x08|\x1b\[[0-9;]*m", "", text)


def commands(top, prefix=""):
    """Yield the name and parser of every command; a subcommand has both words."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                inner = dict(commands(below, f"{prefix}{name} "))
                yield from inner.items() if inner else [(prefix + name, below)]


def flags(command):
    """Return the long flags of a command."""
    return [flag for action in command._actions for flag in action.option_strings if flag.startswith("--")]


@pytest.mark.parametrize("page", PAGES)
def test_groff_and_mandoc_have_no_warnings(pages, page):
    """Both formatters render the page without a warning, including mandoc's style checks."""
    environment = dict(os.environ, MANWIDTH="80", LC_ALL="C.UTF-8")
    command = ["man", "--warnings", "--local-file", "-E", "UTF-8", "-Tutf8", "-Z", str(pages / page)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert done.stderr == ""
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", str(pages / page)], check=False, capture_output=True)
    assert done.stdout.decode() == ""


def test_every_command_and_flag_is_in_the_page(pages):
    """eks-proxy-agent(8) has every command and flag of the parser."""
    text = shown(pages / PAGES[0])
    for name, command in commands(parser()):
        assert re.search(rf"^ +{name}\b", text, re.M), name
        assert [flag for flag in flags(command) if flag != "--help" and flag not in text] == []


def test_defaults_are_filled_in(pages):
    """If a flag's help has a default, the page has its value, not argparse's placeholder."""
    text = shown(pages / PAGES[0])
    assert "Timeout of each workload's rollout (default: 600)." in text
    assert "%(" not in text


def test_every_exit_code_is_in_the_page(pages):
    """eks-proxy-agent(8) has the exit code of every error."""
    section = shown(pages / PAGES[0]).partition("EXIT STATUS")[2].partition("FILES")[0]
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AgentError)]
    codes = {kind.exit_code for kind in kinds} | {0, 3, 124}
    assert [code for code in sorted(codes) if not re.search(rf"\b{code}\b", section)] == []


def test_every_setting_is_in_the_page_under_its_section(pages):
    """eks-proxy-agent.toml(5) has each key of each section, from packaging/config.toml."""
    text = shown(pages / PAGES[1]).partition("SETTINGS")[2]
    for section, cls in SECTIONS.items():
        part = text.partition(f"[{section}]")[2].partition("\n   [")[0]
        missing = [key for key in fields_dict(cls) if not re.search(rf"^ {{7}}{key}\b", part, re.M)]
        assert missing == [], section


def test_page_has_the_defaults_of_the_settings_file(pages):
    """The page has the value of every key in packaging/config.toml."""
    text = re.sub(r"\s+", " ", shown(pages / PAGES[1]))
    settings = re.sub(r"\n# {5,}", " ", (ROOT / "packaging/config.toml").read_text())
    values = re.findall(r"^#[a-z_]+ = (.*?)\s*(?:# e\.g\.)?$", settings, re.M)
    assert len(values) > 20
    assert [value for value in values if value not in text] == []


def test_the_examples_are_valid():
    """The agent accepts each command line of EXAMPLES, and the settings there."""
    commands, settings = [], []
    for page in PAGES:
        text = (ROOT / "packaging/man" / f"{page}.in").read_text().replace("\\-", "-")
        examples = text.partition(".SH EXAMPLES")[2].partition(".SH ")[0]
        commands += re.findall(r"(?m)^\.B eks-proxy-agent (.*?)(?: \| .*)?$", examples)
        settings += re.findall(r"(?ms)^\.nf\n(.*?)^\.fi$", examples)
    assert (len(commands) > 10, len(settings)) == (True, 2)
    for line in commands:
        parser().parse_args(shlex.split(line))
    for text in settings:
        assert merge([parse_toml("example", text.encode())]).settings.proxy.url


@pytest.mark.parametrize(
    ("page", "sections"),
    [
        (PAGES[0], ["EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"]),
        (PAGES[1], ["FILES", "EXAMPLES", "SEE ALSO"]),
    ],
)
def test_page_has_the_usual_sections(pages, page, sections):
    """They are in the order of man-pages(7)."""
    headings = re.findall(r"(?m)^([A-Z][A-Z ]+)$", shown(pages / page))
    assert [heading for heading in headings if heading in sections] == sections
