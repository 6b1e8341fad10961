"""Result of one check: one line of text for people, one object for machines."""

from __future__ import annotations

from agent.core import runbook
from agent.core.record import record

OK, WARN, FAIL, SKIP = "ok", "warn", "fail", "skip"


@record
class Finding:
    """State of one thing that was checked, with the evidence (`text`) and the remedy (`hint`).

    `name` is the thing: a unit, a file, a host.  The state `skip` means that it could not be
    checked; `text` then says why.  Further lines of `text` are a diff.  `exit_code` is the exit
    code of `check` if all failed findings have the same one.  `topic` selects the section of the
    troubleshooting page where it is not that of the group (TOPICS of agent/core/runbook.py).
    """

    group: str
    name: str
    state: str
    text: str
    hint: str = ""
    exit_code: int = 1
    topic: str = ""

    @property
    def runbook(self) -> str:
        """Return the anchor of its section in docs/troubleshooting.md; empty without a problem."""
        return runbook.section(self.group, self.topic) if self.state in (WARN, FAIL) else ""
