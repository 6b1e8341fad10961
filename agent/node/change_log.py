"""The changes of a plan in the journal: one line for each, with a diff for drift."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.core.plan.diff import diff_lines
from agent.core.plan.files.lines import pluralize
from agent.core.plan.plan import Change, Plan
from agent.core.redact import redact
from agent.log import get_logger
from agent.node.planning import changed_paths

#: The event in the journal by what happened to a file.
EVENTS = {"created": "file.created", "changed": "file.changed", "removed": "file.removed"}


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
    """Return the removed and added lines with a proxy, with secrets masked; count the others.

    Other lines do not belong in the journal, which more people read than root: they may be
    passwords of other programs under any name.
    """
    diff = list(diff_lines(change, context=0))[2:]
    lines = [line.rstrip("\r\n") for line in diff if not line.startswith("@@ ")]
    if not lines:
        return change.mode_text
    shown = [line for line in lines if _OURS.match(line)]
    others = len(lines) - len(shown)
    text = redact("\n".join(shown))[:_LONGEST]
    return "\n".join(filter(None, [text, pluralize(others, "{n} other line{s}") if others else ""]))


#: The longest diff in the journal.  Longer ones come from files that others replaced altogether.
_LONGEST = 2000
#: A line of a diff that sets a proxy, in an environment file, yum.conf or dnf.conf.
_OURS = re.compile(r"[-+][ \t]*(?:export[ \t]+)?(?:(?:http|https|no)_proxy|proxy)[ \t]*[=:]", re.IGNORECASE)
