"""Process that requests the facts of a boot.

Its imports are a third of those of a boot, and it needs none of the worker's.  So they take place
on another core, and the request while the worker writes drop-ins and systemd reloads.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from agent.daemon.retry import FACTS_GRACE
from agent.errors import AgentError, MetadataError

if TYPE_CHECKING:
    from agent.core.facts.instance import Facts
    from agent.edges.signals import Signals
    from agent.node.budget import Budget

#: Descriptors from here on are not closed; so early in a boot there are only a few.
_MOST_DESCRIPTORS = 256


class ProcessEndedError(AgentError):
    """Process that could not be started, or has ended: the worker can request the facts itself."""


class FactsProcess:
    """Context manager for a process that requests facts once, and ends with the block.

    It is a fork without exec, as the worker is.
    """

    def __enter__(self) -> FactsProcess:
        """Start the process; if that fails, `fetch` says so."""
        requests, self._requests = os.pipe2(os.O_CLOEXEC)
        self._responses, responses = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._responses, False)
        self._pid = 0
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _run_child(requests, responses)
        except OSError:
            pass
        finally:
            os.close(requests)
            os.close(responses)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._requests)
        os.close(self._responses)
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def fetch(self, endpoint: str, budget: Budget, signals: Signals) -> Facts:
        """Return the facts of the service at `endpoint`, within what the budget allows.

        Raises MetadataError, ProcessEndedError, and Stop on SIGTERM.
        """
        from agent.core.facts.instance import facts_from_json
        from agent.core.record import evolve

        deadline, unreachable_deadline = budget.for_metadata()
        _send(self._requests, [endpoint, deadline, unreachable_deadline])
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
        received, deadline = b"", time.monotonic() + seconds
        while time.monotonic() < deadline:
            signals.sleep(deadline - time.monotonic(), self._responses)
            with contextlib.suppress(BlockingIOError):
                data = os.read(self._responses, 1 << 16)
                if not data:
                    return
                *lines, received = (received + data).split(b"\n")
                yield from map(json.loads, lines)


def _send(descriptor: int, message: object) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb", closefd=False) as pipe:
        pipe.write(json.dumps(message).encode() + b"\n")


def _run_child(requests: int, responses: int) -> NoReturn:
    """Serve one request and exit; never return into the parent's code."""
    first, second = sorted((requests, responses))
    for begin, end in ((3, first), (first + 1, second), (second + 1, _MOST_DESCRIPTORS)):
        os.closerange(begin, end)  # the lines of the worker end when it does, not when this process does
    try:
        _serve(requests, responses)
    except BrokenPipeError:
        pass  # the worker has ended: nothing waits for the facts
    except BaseException:  # noqa: BLE001 -- the end of the process is the answer
        with contextlib.suppress(Exception):
            sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _serve(requests: int, responses: int) -> None:
    from agent.core.facts.instance import facts_to_json
    from agent.edges.imds import fetch_facts

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
