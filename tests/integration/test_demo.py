"""`demo`, the first command that a newcomer runs."""

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
    """The outcome of a complete demo."""
    return run(DEMO)


def test_every_step_succeeds(demo: Outcome) -> None:
    """Every step succeeds, stderr is empty, and the files are as before."""
    assert (demo.code, demo.err) == (0, "")
    assert "Every file is byte for byte as it was before." in demo.out


@pytest.mark.parametrize("command", PAGES)
def test_the_documentation_shows_its_output(demo: Outcome, command: str) -> None:
    """Each line in README.md or docs/node.md is a line of the demo; `...` shortens a line."""
    page = (REPOSITORY / PAGES[command]).read_text()
    (shown,) = re.findall(rf"```\n\$ eks-proxy-agent {command}\n(.*?)```", page, re.DOTALL)
    lines = [line for line in shown.splitlines() if not line.startswith("$")]
    printed = demo.out.splitlines()
    assert lines
    missing = [line for line in lines if not any(other == line or _is_shortened(other, line) for other in printed)]
    assert missing == []


def test_a_closed_pipe_ends_the_demo_without_an_error_message() -> None:
    """With `demo | head`, the closed pipe is not reported as a failed step."""
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


def _is_shortened(whole: str, line: str) -> bool:
    return line.endswith("...") and whole.startswith(line[: -len("...")])
