"""`demo`, the first thing that a newcomer sees."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.integration.command_line import REPOSITORY, Outcome, environment, run

DEMO = [sys.executable, "-m", "agent", "demo"]
TOUR = (REPOSITORY / "README.md").read_text().partition("\n## Five minutes\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def demo() -> Outcome:
    """The whole demo."""
    return run(DEMO)


def test_it_ends_where_it_began(demo: Outcome) -> None:
    """Every step succeeds, nothing is on stderr, and the files are what they were."""
    assert (demo.code, demo.err) == (0, "")
    assert "Every file is byte for byte what it was." in demo.out


@pytest.mark.parametrize("command", ["plan", "apply", "revert"])
def test_the_readme_shows_what_it_prints(demo: Outcome, command: str) -> None:
    """Each line of the five minutes is a line of the demo, or begins one where it ends with `...`."""
    (shown,) = re.findall(rf"```\n\$ eks-proxy-agent {command}\n(.*?)```", TOUR, re.DOTALL)
    lines = [line for line in shown.splitlines() if not line.startswith("$")]
    printed = demo.out.splitlines()
    assert lines
    missing = [line for line in lines if not any(one == line or _begins(one, line) for one in printed)]
    assert missing == []


def test_a_reader_who_has_seen_enough_is_told_nothing() -> None:
    """With `demo | head`, the end of the pipe is no step that went wrong."""
    with subprocess.Popen(
        DEMO, cwd=REPOSITORY, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        while not process.stdout.readline().startswith(b"$"):
            pass
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def _begins(whole: str, line: str) -> bool:
    return line.endswith("...") and whole.startswith(line[: -len("...")])
