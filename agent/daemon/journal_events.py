"""What the daemon says: to the journal what changed and why, to `systemctl status` how the node stands."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Sequence

from agent.core.plan import drift
from agent.core.plan.plan import Change, Plan
from agent.core.redact import redact
from agent.edges.notify import Notify
from agent.errors import AgentError
from agent.log import get_logger
from agent.node import memory
from agent.node.apply import Host
from agent.node.planning import changed_paths
from agent.node.reconcile import ReconcileResult, save_degraded

#: The names of events, each of which somebody may search the journal for.
EVENTS = {
    "created": "file.created",
    "changed": "file.changed",
    "removed": "file.removed",
    "kept": "file.kept",
    "configured": "node.configured",
    "unconfigured": "node.unconfigured",
}


def log_plan(plan: Plan, repaired: Sequence[Change] = ()) -> None:
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


def log_contested(host: Host) -> None:
    """Say, at first and once an hour, which files are left alone because somebody else changes them again and again."""
    due = memory.ask(host, lambda known: known.to_say(time.monotonic()))
    for path in due:
        get_logger().error(
            "drift.fought",
            file=path,
            reason=f"put right {drift.REPAIRS} times within an hour, and changed again each time",
            meaning="it is left as it is until systemctl reload eks-proxy-agent, apply or the next boot",
        )


def log_degraded(host: Host, error: AgentError, policy: str) -> str:
    """Say loudly what is wrong and what it means, once as long as it is the same; answers what it means."""
    meaning = "units start with the last good values"
    if host.state.memory().desired:
        meaning = "the last good values stay in place"
    elif policy == "closed":
        meaning = "docker and kubelet stay stopped until it is mended"
    try:
        news = memory.ask(host, lambda known: known.says("degraded", redact(str(error))))
        save_degraded(host, error)
    except AgentError as second:  # the disk may be what is wrong: then the journal has to do
        news = True
        get_logger().error("status.failed", error=str(second))
    if news:
        get_logger().error("node.degraded", error=str(error), hint=error.hint or "-", policy=policy, meaning=meaning)
    return meaning


def say(notify: Notify, text: str) -> None:
    """Tell systemd (`systemctl status`) what we are at."""
    notify("STATUS=" + redact(text))


def summary(done: ReconcileResult, *, stale: Sequence[str] = (), contested: Sequence[str] = ()) -> str:
    """A node that is as planned, in one line."""
    intent = done.discovered.intent
    now = time.strftime("%H:%M", time.gmtime())
    if intent is None:
        return f"unconfigured: no proxy.url in the settings, nothing is written; looked at {now} UTC"
    text = "configured: %s, %d NO_PROXY entries, intent %s; looked at %s UTC"
    parts = [text % (intent.http_proxy, len(intent.no_proxy), intent.digest(), now)]
    parts += ["to be restarted: " + ", ".join(stale)] if stale else []
    parts += ["fought over and left alone: " + ", ".join(contested)] if contested else []
    return "; ".join(parts)


def _short(change: Change) -> str:
    """The lines that went and came, masked: for the journal, where what else stands in the file is nobody's business."""
    before, after = (
        (text or b"").decode("utf-8", "backslashreplace").splitlines() for text in (change.before, change.after)
    )
    diff = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
    lines = [line for line in diff if not line.startswith("@@ ")]
    text = "\n".join(lines) or "mode becomes %04o" % (change.mode or 0)
    return _VALUES.sub(r"\1***", redact(text))[:_LONGEST]


#: A diff in the journal is for people; longer ones are of files that are no longer ours in any way.
_LONGEST = 2000
#: What else looks like a secret; rather too much than too little.  Bounded, so that a long line takes no minutes.
_VALUES = re.compile(r"(?i)((?:secret|token|_key|apikey)[\w.-]{0,256}[\"']?[ \t]*[=:][ \t]*)[^\n]+")
