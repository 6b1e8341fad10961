"""Start of threads on a machine that may be at its limit of processes."""

from __future__ import annotations

import threading
from collections.abc import Iterable


def start(threads: Iterable[threading.Thread]) -> list[threading.Thread]:
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
