"""`demo`, the first thing that a newcomer sees."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.integration.command_line import REPOSITORY, Outcome, environment, run

DEMO = [sys.executable, "-m", "agent", "demo"]
PAGES = {"plan": "README.md", "apply": "docs/node.md", "revert": "docs/node.md"}


@pytest.fixture(scope="module")
def demo() -> Outcome:
    """The whole demo."""
    return run(DEMO)


def test_it_ends_where_it_began(demo: Outcome) -> None:
    """Every step succeeds, nothing is on stderr, and the files are what they were."""
    assert (demo.code, demo.err) == (0, "")
    assert "Every file is byte for byte what it was." in demo.out


@pytest.mark.parametrize("command", PAGES)
def test_the_pages_show_what_it_prints(demo: Outcome, command: str) -> None:
    """Each line that README.md or docs/node.md shows is a line of the demo, or begins one where it
    ends with `...`.
    """
    page = (REPOSITORY / PAGES[command]).read_text()
    (shown,) = re.findall(rf"```\n\$ eks-proxy-agent {command}\n(.*?)```", page, re.DOTALL)
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
