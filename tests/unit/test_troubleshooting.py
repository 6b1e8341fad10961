"""docs/troubleshooting.md has a section for each result of the program that names one."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml

from agent import cli
from agent.checks import runner
from agent.checks.finding import FAIL, OK, SKIP, WARN, Finding
from agent.commands.check import _lines
from agent.core import runbook
from agent.core.record import fields
from agent.core.settings.schema import SECTIONS as SETTINGS
from agent.core.status.document import CONFIGURED, NOT_RUN, PHASES
from tests import troubleshooting
from tests.unit.test_project import anchors, links

ROOT = Path(__file__).parents[2]
PAGE = troubleshooting.PAGE
SECTIONS = troubleshooting.sections()
#: Lines of a section: it is read in the middle of the night.
LONGEST = 32
LABELS = ["See", "Run", "Why", "Fix", "Fixed"]


def alerts() -> dict[str, str]:
    """Return the runbook_url of each alert; a recording rule has none."""
    rules = [
        rule
        for path in sorted((ROOT / "packaging/alerts").glob("*.rules.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]
    return {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules if "alert" in rule}


def topics() -> set[str]:
    """Return the topics that agent/checks gives to findings, but for the kinds of verdicts."""
    trees = [ast.parse(path.read_text()) for path in sorted((ROOT / "agent/checks").glob("*.py"))]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "topic"]
    return {str(call.value.value) for call in calls if isinstance(call.value, ast.Constant)}


def test_every_group_of_check_has_a_section() -> None:
    """A failed finding of each group names a section that exists."""
    names = [group.name for group in runner.GROUPS]
    assert list(runbook.GROUPS) == names
    assert {Finding(name, "x", FAIL, "").runbook for name in names} <= set(SECTIONS)


def test_every_topic_has_a_section() -> None:
    """The topics of the table are those of the checks, and each has a section that exists."""
    verdicts = (ROOT / "agent/core/net/proxy_health.py").read_text()
    kinds = {topic for topic in runbook.TOPICS if f'"{topic}"' in verdicts}
    assert kinds == {"credentials", "denied", "tls-untrusted", "upstream"}
    assert topics() | kinds | {"contested"} == set(runbook.TOPICS)
    assert set(runbook.TOPICS.values()) <= set(SECTIONS)


def test_every_phase_has_a_section() -> None:
    """A configured node needs none; a phase of another name would have no section."""
    assert set(runbook.PHASES) == {*PHASES, NOT_RUN} - {CONFIGURED}
    assert set(runbook.PHASES.values()) <= set(SECTIONS)


@pytest.mark.parametrize(("state", "anchor"), [(OK, ""), (SKIP, ""), (WARN, "clock-skew"), (FAIL, "clock-skew")])
def test_only_problems_have_a_section(state: str, anchor: str) -> None:
    """A finding without a problem needs no page."""
    assert Finding("clock", "skew", state, "").runbook == anchor


def test_every_alert_names_its_section() -> None:
    """runbook_url is the page of the package, with an anchor that exists."""
    assert len(alerts()) >= 11
    assert {url.partition("#")[0] for url in alerts().values()} == {f"file://{runbook.PAGE}"}
    assert {url.partition("#")[2] for url in alerts().values()} - set(SECTIONS) == set()


def test_the_anchors_are_those_of_the_headings() -> None:
    """This page's own reader finds the sections that links of GitHub lead to."""
    assert list(SECTIONS) == list(anchors(PAGE))[1:]


def test_the_table_names_every_section() -> None:
    """The table at the top links to each section, in the order of the page."""
    linked = [anchor for path, anchor in links(PAGE) if path == PAGE]
    assert linked[: len(SECTIONS)] == list(SECTIONS)


@pytest.mark.parametrize("anchor", SECTIONS)
def test_a_section_is_short_and_complete(anchor: str) -> None:
    """Each has the symptom, a command with its output, the cause, the fix, and the proof."""
    text = SECTIONS[anchor]
    assert re.findall(r"(?m)^\*\*(\w+)\*\*", text) == LABELS
    assert len(text.strip().splitlines()) <= LONGEST
    assert troubleshooting.command(anchor)


def code(text: str) -> list[str]:
    """Return the pieces of inline code."""
    return re.findall("`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```$", "", text))


def test_the_commands_of_the_page_exist() -> None:
    """The command line accepts each command of the agent."""
    commands = [piece for piece in code(PAGE.read_text()) if piece.startswith("eks-proxy-agent ")]
    assert len(set(commands)) > 15
    for command in set(commands):
        cli.parser().parse_args(shlex.split(command)[1:])


def test_the_settings_of_the_page_exist() -> None:
    """Each name with the form of a setting is a setting, or an event of the journal."""
    names = {piece.partition(" = ")[0] for piece in code(PAGE.read_text())}
    existing = {f"{section}.{field.name}" for section, keys in SETTINGS.items() for field in fields(keys)}
    shown = {name for name in names if re.fullmatch(rf"({'|'.join(SETTINGS)})\.[a-z_]+", name)}
    assert len(shown & existing) > 8
    source = "".join(path.read_text() for path in (ROOT / "agent").rglob("*.py"))
    assert {name for name in shown - existing if f'"{name}"' not in source} == set()


def test_the_output_of_a_check_that_hangs_is_in_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The section shows the finding of a group that did not end."""
    monkeypatch.setattr(runner, "BOUND", 0.0)
    monkeypatch.setattr(runner, "_run_group", lambda node, group, results: None)
    groups = [group for group in runner.GROUPS if group.name == "units"]
    (finding,) = runner.examine(None, groups)  # type: ignore[arg-type] # no group reads the node
    assert finding.runbook == "check-itself-fails"
    assert troubleshooting.difference("check-itself-fails", _lines(finding)) == ""


@pytest.mark.parametrize(
    ("output", "is_shown"),
    [
        ("fail  units      all: timed out after 12 s\nsee   /page.md#check-itself-fails\n", True),
        ("fail  units      all: timed out after 6.5 s\n", True),
        ("fail  units      all: ended after 6 s\n", False),
        ("", False),
    ],
)
def test_a_difference_is_found(output: str, is_shown: bool) -> None:
    """Other numbers, and the lines with the name of the section, are no difference."""
    assert (troubleshooting.difference("check-itself-fails", output) == "") == is_shown


def test_the_page_is_installed_where_the_program_says() -> None:
    """rpm.spec installs docs/ there."""
    assert "install -m 0644 docs/*.* %{buildroot}%{_docdir}/%{name}/docs" in (ROOT / "rpm.spec").read_text()
    assert f"/usr/share/doc/eks-proxy-agent/docs/{PAGE.name}" == runbook.PAGE
