"""A file that a flag names: a regular file, a pipe of the shell (`<(command)`), or a FIFO."""

from __future__ import annotations

import os
import select
import stat
import time

from agent.errors import FileError

#: Seconds for the whole content: a FIFO may have no writer.
TIMEOUT = 5.0
_CHUNK = 65536
#: What was read from pipes: a command may read a file more than once, a pipe gives it only once.
_read_from_pipes: dict[str, bytes] = {}


def read(path: str, limit: int) -> bytes:
    """Return the content of at most `limit` bytes.

    Raises FileError, also if the end of the content has not come within TIMEOUT seconds.
    """
    if path in _read_from_pipes:
        return _read_from_pipes[path]
    deadline = time.monotonic() + TIMEOUT
    try:
        # O_NONBLOCK: open(2) of a FIFO would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            content = _read(descriptor, limit, deadline)
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                _read_from_pipes[path] = content
            return content
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise FileError(f"{path}: {error}") from None


def _read(descriptor: int, limit: int, deadline: float) -> bytes:
    """Read to the end; ValueError says why not."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    content = bytearray()
    while len(content) <= limit:
        remaining = deadline - time.monotonic()
        # Without POLLIN or POLLHUP a read would return the end of a FIFO that has no writer yet.
        if remaining <= 0 or not poll.poll(remaining * 1000):
            raise ValueError(f"no end of its content within {TIMEOUT:g} s; if it is a FIFO, write to it and close it")
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:  # another reader was faster
            continue
        if not data:
            return bytes(content)
        content += data
    raise ValueError(f"is larger than {limit} bytes")
