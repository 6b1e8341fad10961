"""Start of threads on a machine that may be at its limit of processes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from agent.errors import AgentError


def start(threads: Sequence[threading.Thread]) -> list[threading.Thread]:
    """Start the threads in order until the system refuses one; return those that run.

    See EAGAIN in pthread_create(3): RLIMIT_NPROC, pids.max of the control group, or threads-max.
    """
    started: list[threading.Thread] = []
    for thread in threads:
        try:
            thread.start()
        except RuntimeError:
            break
        started.append(thread)
    return started


def start_all(threads: Sequence[threading.Thread]) -> None:
    """Start the threads.  Raises AgentError if the system refuses one."""
    if len(start(threads)) < len(threads):
        raise AgentError(
            "no thread can be started: the limit of processes is reached",
            hint="compare ulimit -u, pids.max of the control group and kernel.threads-max with the processes that run",
        )
