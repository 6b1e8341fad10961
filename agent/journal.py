"""Journal entries with fields, and lines on stderr; light enough for the supervisor.

Nothing here raises an error: a log that is full, closed or gone must not keep a node from being
configured, nor end the daemon.
"""

from __future__ import annotations

import contextlib
import os
import sys


def is_stderr_connected() -> bool:
    """Return True if stderr itself is the journal, not only an ancestor's stderr.

    Source: systemd.exec(5), $JOURNAL_STREAM.
    """
    stream = os.environ.get("JOURNAL_STREAM")
    if not stream:
        return False
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


def send(*fields: str) -> bool:
    """Send NAME=value fields to journald as one entry; return False if that fails.

    Source: sd_journal_sendv(3).

    journald looks up the unit of the sender when it reads the entry, and finds nothing if the
    process has ended by then: such a process has to add OBJECT_PID= of one that is still running.
    """
    try:
        from systemd._journal import sendv  # not systemd.journal, which loads 2.5 MB more
    except ImportError:
        return False
    try:
        sendv(*(field.encode("utf-8", "backslashreplace") for field in fields))  # a file name may hold any bytes
    except (OSError, ValueError):
        return False
    return True


def print_line(text: str) -> None:
    """Write a line to stderr, if there is one that takes it."""
    if sys.stderr is not None:  # print(file=None) would write to stdout
        with contextlib.suppress(OSError, ValueError):  # ValueError: the file object is closed
            print(text, file=sys.stderr, flush=True)
