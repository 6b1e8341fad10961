"""Status lines of the daemon in `systemctl status`.

After an intended change: ACCEPT=1 pytest tests/unit/daemon/test_status_line.py; review the diff.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent.daemon.journal_events import summary

GOLDEN = Path(__file__).with_name("golden") / "status_lines.txt"
INTENT = SimpleNamespace(http_proxy="http://proxy.corp:3128", no_proxy=range(19), digest=lambda: "515bcc531747")
CASES: dict[str, dict[str, Any]] = {
    "as planned": {},
    "stale units": {"stale": ["docker.service", "kubelet.service"]},
    "contested file": {"contested": ["/etc/environment"]},
    "both": {"stale": ["docker.service"], "contested": ["/etc/environment", "/etc/dnf/dnf.conf"]},
}


def line(intent: object, problems: tuple[str, ...] = (), **arguments: Any) -> str:
    """Return the status line, with a fixed time."""
    result: Any = SimpleNamespace(intent=intent, resolved=SimpleNamespace(problems=problems))
    return re.sub(r"\d\d:\d\d UTC", "12:34 UTC", summary(result, **arguments))


def test_status_lines_match_the_golden_file() -> None:
    """The lines of a configured and of an unconfigured node are those of the golden file."""
    lines = [f"{name}: {line(INTENT, **arguments)}" for name, arguments in CASES.items()]
    misplaced = ("user data: [proxy] with url is not read; write a MIME part",)
    lines += [f"without a proxy: {line(None)}", f"unusable user data: {line(None, misplaced)}"]
    text = "\n".join(lines) + "\n"
    if os.environ.get("ACCEPT") == "1":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()
