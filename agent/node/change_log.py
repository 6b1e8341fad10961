"""What a plan changed, in the journal: a line for each change, and for drift what was wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from agent.core.plan.plan import Change, Plan
from agent.core.redact import redact
from agent.log import get_logger
from agent.node.planning import changed_paths

#: Event by what happened to a file, each of which somebody may search the journal for.
EVENTS = {"created": "file.created", "changed": "file.changed", "removed": "file.removed", "kept": "file.kept"}


def log_changes(plan: Plan, repaired: Sequence[Change] = ()) -> None:
    """A line for each change; `repaired` are those that nobody asked for, with what was wrong."""
    wrong = {change.path: change for change in repaired}
    for verb, path in changed_paths(plan):
        if path in wrong:
            reason = "missing" if wrong[path].before is None else "edited"
            get_logger().warning("drift.repaired", file=path, reason=reason, diff=_short(wrong[path]))
        else:
            get_logger().info(EVENTS[verb], file=path)
    for note in plan.notes:
        get_logger().warning("file.note", note=note)
    if plan.enable:
        get_logger().info("units.enabled", units=plan.enable)


def _short(change: Change) -> str:
    """The lines that went and came, masked: for the journal, where what else stands in the file is nobody's business."""
    before, after = (
        (text or b"").decode("utf-8", "backslashreplace").splitlines() for text in (change.before, change.after)
    )
    diff = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    lines = [line for line in diff if not line.startswith("@@ ")]
    text = "\n".join(lines) or f"mode becomes {change.mode or 0:04o}"
    return _VALUES.sub(r"\1***", redact(text))[:_LONGEST]


#: A diff in the journal is for people; longer ones are of files that are no longer ours in any way.
_LONGEST = 2000
#: What else looks like a secret; rather too much than too little.  Bounded, so that a long line
#: takes no minutes.
_VALUES = re.compile(r"(?i)((?:secret|token|_key|apikey)[\w.-]{0,256}[\"']?[ \t]*[=:][ \t]*)[^\n]+")
