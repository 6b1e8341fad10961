"""The journal: whether standard error leads there, and entries with fields.  Light enough for the process that waits."""

from __future__ import annotations

import os


def reached() -> bool:
    """Whether stderr itself is the journal, and not only an ancestor's was (systemd.exec(5), $JOURNAL_STREAM)."""
    stream = os.environ.get("JOURNAL_STREAM")
    if not stream:
        return False
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


def send(*fields: str) -> bool:
    """Hand an entry of NAME=value fields to journald, sd_journal_sendv(3); whether it took it.

    Whose entry it is, journald looks up when it reads it, and of a process that has ended by then
    it finds nothing: such a one needs OBJECT_PID= of one that lives on.
    """
    try:
        from systemd._journal import sendv  # systemd.journal has it too, with 2.5 MB of what it does not need
    except ImportError:
        return False
    try:
        sendv(*(field.encode("utf-8", "backslashreplace") for field in fields))  # a file's name may be any bytes
    except OSError:
        return False
    return True
