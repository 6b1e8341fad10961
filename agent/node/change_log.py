"""The changes of a plan in the journal: one line for each, with a diff for drift."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from agent.core.plan.plan import Change, Plan
from agent.core.redact import redact
from agent.log import get_logger
from agent.node.planning import changed_paths

#: The event in the journal by what happened to a file.
EVENTS = {"created": "file.created", "changed": "file.changed", "removed": "file.removed", "kept": "file.kept"}


def log_changes(plan: Plan, repaired: Sequence[Change] = ()) -> None:
    """Log one line for each change; `repaired` are the repairs of drift, logged with a diff."""
    drift = {change.path: change for change in repaired}
    for verb, path in changed_paths(plan):
        if path in drift:
            reason = "missing" if drift[path].before is None else "edited"
            get_logger().warning("drift.repaired", file=path, reason=reason, diff=_short_diff(drift[path]))
        else:
            get_logger().info(EVENTS[verb], file=path)
    for note in plan.notes:
        get_logger().warning("file.note", note=note)
    if plan.enable:
        get_logger().info("units.enabled", units=plan.enable)


def _short_diff(change: Change) -> str:
    """Return the removed and added lines, with secrets masked.

    Without context: the other lines of the file do not belong in the journal.
    """
    before, after = (
        (text or b"").decode("utf-8", "backslashreplace").splitlines() for text in (change.before, change.after)
    )
    diff = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    lines = [line for line in diff if not line.startswith("@@ ")]
    text = "\n".join(lines) or f"mode becomes {change.mode or 0:04o}"
    return _VALUES.sub(r"\1***", redact(text))[:_LONGEST]


#: The longest diff in the journal.  Longer ones come from files that others replaced altogether.
_LONGEST = 2000
#: Other values that look like secrets; better too many than too few.  Bounded, so that a long line
#: does not take minutes.
_VALUES = re.compile(r"(?i)((?:secret|token|_key|apikey)[\w.-]{0,256}[\"']?[ \t]*[=:][ \t]*)[^\n]+")
