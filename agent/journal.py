"""Journal entries with fields; light enough for the supervisor."""

from __future__ import annotations

import os


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
    except OSError:
        return False
    return True
