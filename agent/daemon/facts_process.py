"""Process that requests the facts of a boot.

What it imports takes longer than the imports of a boot, and it needs none of those.  So it starts
before them (agent/__main__.py), on another core, and requests while the worker writes drop-ins and
systemd reloads.  This module imports only what is loaded anyway by then.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # that of typing, whose import takes as long as this process may save
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

    from agent.core.facts.instance import Facts
    from agent.edges.signals import Signals
    from agent.node.budget import Budget

#: Name of the process in ps and top.
COMMAND = "eks-proxy-facts"
#: Descriptors from here on are not closed; so early in a boot there are only a few.
_MOST_DESCRIPTORS = 256
_SIGKILL = 9


class ProcessEndedError(Exception):
    """Process that could not be started, or has ended: the worker can request the facts itself."""


class FactsProcess:
    """Context manager for a process that requests facts once, and ends with the block.

    It is a fork without exec, as the worker is.  A worker that is forked inside the block may call
    `fetch`.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._descriptors: list[int] = []

    def __enter__(self) -> FactsProcess:
        """Start the process; if that fails, `fetch` says so."""
        opened: list[int] = []
        try:
            opened += os.pipe2(os.O_CLOEXEC)
            opened += os.pipe2(os.O_CLOEXEC)
            requests, self_requests, self_responses, responses = opened
            os.set_blocking(self_responses, False)
            self._pid = os.fork()
            if self._pid == 0:
                _run_child(requests, responses)
            self._descriptors = [self_requests, self_responses]
        except OSError:
            pass
        for descriptor in opened:
            if descriptor not in self._descriptors:
                os.close(descriptor)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, and free its descriptors.

        A process that survives SIGKILL, as in an uninterruptible read, is collected later: the
        supervisor must not wait for it.
        """
        while self._descriptors:
            os.close(self._descriptors.pop())
        pid, self._pid = self._pid, 0
        if not pid:
            return
        from agent.edges import child

        try:
            os.kill(pid, _SIGKILL)
            child.collect(pid)
        except (ProcessLookupError, ChildProcessError):
            pass  # the launcher ignores SIGCHLD: the kernel has collected it

    def fetch(self, endpoint: str, budget: Budget, signals: Signals) -> Facts:
        """Return the facts of the service at `endpoint`, within what the budget allows.

        Raises MetadataError, ProcessEndedError, and Stop on SIGTERM.
        """
        from agent.core.facts.instance import facts_from_json
        from agent.core.record import evolve
        from agent.daemon.retry import FACTS_GRACE
        from agent.errors import MetadataError

        if not self._descriptors:
            raise ProcessEndedError("the process that requests the facts could not be started")
        deadline, unreachable_deadline = budget.for_metadata()
        _send(self._descriptors[0], [endpoint, deadline, unreachable_deadline])
        for response in self._receive(deadline + FACTS_GRACE, signals):
            if "waiting" in response:
                budget.report(response["waiting"], response["remaining"])
            elif "error" in response:
                raise MetadataError(response["error"], hint=response["hint"])
            else:
                return evolve(facts_from_json(response["facts"]), warnings=tuple(response["warnings"]))
        raise ProcessEndedError("the process that requests the facts has ended")

    def _receive(self, seconds: float, signals: Signals) -> Iterator[dict[str, Any]]:
        """Yield the responses that arrive within so many seconds, until the process ends."""
        import json
        import time

        responses = self._descriptors[1]
        received, deadline = b"", time.monotonic() + seconds
        while time.monotonic() < deadline:
            signals.sleep(deadline - time.monotonic(), responses)
            try:
                data = os.read(responses, 1 << 16)
            except BlockingIOError:
                continue
            if not data:
                return
            *lines, received = (received + data).split(b"\n")
            yield from map(json.loads, lines)


def _send(descriptor: int, message: object) -> None:
    import json

    try:
        with os.fdopen(descriptor, "wb", closefd=False) as pipe:
            pipe.write(json.dumps(message).encode() + b"\n")
    except BrokenPipeError:
        pass  # the other process has ended, which the reader of its responses notices


def _run_child(requests: int, responses: int) -> NoReturn:
    """Serve one request and exit; never return into the parent's code."""
    first, second = sorted((requests, responses))
    for begin, end in ((3, first), (first + 1, second), (second + 1, _MOST_DESCRIPTORS)):
        os.closerange(begin, end)  # the lines of the worker end when it does, not when this process does
    try:
        _serve(requests, responses)
    except (ImportError, OSError):
        pass  # the worker has ended, or the limit of open files is too low: it requests the facts itself
    except BaseException:  # noqa: BLE001 -- the end of the process is the answer
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _serve(requests: int, responses: int) -> None:
    if os.path.exists("/proc/self/comm"):
        with open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write(COMMAND)
    import json
    import signal

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # sent to the whole unit or terminal; the daemon ends this process
    from agent.core.facts.instance import facts_to_json
    from agent.edges.imds import fetch_facts
    from agent.errors import MetadataError

    with os.fdopen(requests, "rb") as pipe:
        request = pipe.readline()
    if not request:  # the settings are wrong, so there is no request
        return
    endpoint, deadline, unreachable_deadline = json.loads(request)

    def report(problem: str, remaining: float) -> None:
        os.write(responses, json.dumps({"waiting": problem, "remaining": remaining}).encode() + b"\n")

    try:
        facts = fetch_facts(endpoint, deadline, unreachable_deadline=unreachable_deadline, waiting=report)
    except MetadataError as error:
        _send(responses, {"error": str(error), "hint": error.hint})
    else:
        _send(responses, {"facts": facts_to_json(facts), "warnings": facts.warnings})
