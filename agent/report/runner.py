"""Runs all collectors in parallel, each within its time, and all within that of the report."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Callable

from agent.core.report.contents import MEMBER_LIMIT, Member, cut
from agent.edges.threads import start
from agent.errors import AgentError
from agent.report.collectors import Collector, Masked
from agent.report.node import Noted, NotHere, ReportedNode, Stopped

#: Seconds for all collectors, and for the end of those that are stopped then.
BOUND = 50.0
_STOP = 2.0
#: Collectors at the same time: a node in need of a report may be short of memory.  More would also
#: slow down `check`, whose time limit is a finding.
_WORKERS = 4
_TICK = 0.1


def collect(
    node: ReportedNode,
    collectors: Sequence[Collector],
    *,
    bound: float = BOUND,
    progress: Callable[[int, Sequence[str]], None] = lambda done, running: None,
) -> tuple[Member, ...]:
    """Run the collectors and return their members, in the same order.

    `progress` is called again and again with the number of members that are done, and the paths of
    those under way.  When this returns, or is interrupted, no program runs any more.  If the system
    refuses every thread, this one runs the collectors, and the last of them may exceed `bound`.
    """
    pending, running = deque(collectors), dict[str, None]()
    members: dict[str, Member] = {}
    deadline = time.monotonic() + bound

    def work() -> None:
        while True:
            try:
                collector = pending.popleft()
            except IndexError:
                return
            running[collector.path] = None  # before it looks at `stop`: so no program starts unseen
            if not node.stop.is_set() and time.monotonic() < deadline:
                members[collector.path] = attempt(node, collector)
            running.pop(collector.path)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_WORKERS, len(collectors)))]
    try:
        started = start(threads)
        if not started:
            work()
        while time.monotonic() < deadline:
            alive = [thread for thread in started if thread.is_alive()]
            if not alive:
                break
            progress(len(members), list(running))
            alive[0].join(_TICK)
    finally:
        node.stop.set()
        limit = time.monotonic() + _STOP
        while running and time.monotonic() < limit:  # not join(): a signal may have interrupted start()
            time.sleep(_TICK / 10)
    late = f"not finished when the {bound:g} s of the report were over"
    done = dict(members)  # a thread that could not be stopped may still add its own
    return tuple(
        done.get(collector.path) or Member(collector.path, collector.about, note=late) for collector in collectors
    )


def attempt(node: ReportedNode, collector: Collector) -> Member:
    """Return the member of a collector; an error becomes the reason why it has no content."""
    try:
        result = collector.collect(node)
        value, note = result if isinstance(result, Noted) else (result, "")
        content = _masked(node, value).encode("utf-8", "backslashreplace")
    except (NotHere, AgentError) as error:
        return Member(collector.path, collector.about, note=node.mask.text(str(error)))
    except Stopped:
        return Member(collector.path, collector.about, note="stopped, because the time of the report was over")
    except Exception as error:  # noqa: BLE001 -- whatever is on the disk, the other collectors must run
        text = f"internal error; please report it: {type(error).__name__}: {error}"
        return Member(collector.path, collector.about, note=node.mask.text(text))
    if len(content) <= MEMBER_LIMIT:
        return Member(collector.path, collector.about, content, note)
    if isinstance(value, str):
        return Member(
            collector.path, collector.about, cut(content, MEMBER_LIMIT), f"{note}\ncut to its last lines".strip()
        )
    return Member(collector.path, collector.about, note=f"larger than {MEMBER_LIMIT} bytes")  # a part is not JSON


def _masked(node: ReportedNode, value: Any) -> str:
    if isinstance(value, Masked):
        return node.mask.known(value)
    if isinstance(value, str):
        return node.mask.text(value)
    return json.dumps(node.mask.value(value), indent=2) + "\n"
