"""Rollout of a workload: waited for, with its progress on stderr."""

from __future__ import annotations

import sys
import time

from agent.core.cluster.kubectl_errors import TRANSIENT
from agent.core.cluster.rollout import Rollout, rollout
from agent.core.settings.workloads import Workload
from agent.edges.kubectl import Kubectl, KubectlError
from agent.errors import AgentError

#: Seconds between two polls of a rollout: at first, and at most.
POLL, POLL_AT_MOST = 0.5, 5.0


def wait_for_rollout(kubectl: Kubectl, workload: Workload, timeout: float, undo: str, *, quiet: bool = False) -> None:
    """Wait for a rollout, `timeout` seconds at most; with `quiet`, a finished one prints nothing.

    `undo` is the hint if it does not finish.  An API server that does not respond meanwhile is not
    an error: aws-node is its network.  Raises AgentError.
    """
    from tenacity import RetryError, Retrying, retry_if_not_result, stop_after_delay, wait_incrementing

    progress = _Progress(str(workload))
    last: list[Rollout] = [Rollout(False, "the API server has not responded yet")]

    def poll() -> Rollout:
        try:
            last[0] = rollout(kubectl.get(workload.path, workload.kind, f"waiting for {workload}"))
            if not (quiet and last[0].done):
                progress.show(last[0].text)
        except KubectlError as error:
            if error.reason not in TRANSIENT:
                raise
            progress.show(f"the API server does not respond ({error.reason})")
            return Rollout(False, last[0].text)
        return last[0]

    finished = retry_if_not_result(lambda state: state.done or state.failed)
    try:
        state = Retrying(
            retry=finished,
            stop=stop_after_delay(timeout),
            wait=wait_incrementing(POLL, 0.5, POLL_AT_MOST),
            sleep=time.sleep,
        )(poll)
    except RetryError:
        hint = f"kubectl -n {workload.namespace} describe {workload.kind.lower()} {workload.name}; {undo}"
        raise AgentError(f"{workload}: rollout timed out after {timeout:g} s: {last[0].text}", hint=hint) from None
    finally:
        progress.end()
    if state.failed:
        raise AgentError(f"{workload}: {state.text}", hint=undo)
    if state.by_hand and quiet:  # otherwise the progress has shown it
        print(f"note: {workload}: {state.text}", file=sys.stderr)


class _Progress:
    """Progress line: overwritten on a terminal, elsewhere a new line for each change."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_terminal = sys.stderr.isatty()
        self._shown = ""

    def show(self, text: str) -> None:
        if text != self._shown:
            self._shown = text
            line = f"{self._name}: {text}"
            if self._is_terminal:
                print(f"\r\033[K{line}", end="", file=sys.stderr)
            else:
                print(line, file=sys.stderr)
            sys.stderr.flush()

    def end(self) -> None:
        if self._is_terminal and self._shown:
            print(file=sys.stderr)
