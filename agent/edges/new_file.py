"""A new private file that an operator names: complete or absent, and in place of no other."""

from __future__ import annotations

import contextlib
import os

from agent.errors import FileError

_HINT = "name another file with --output"


def require_absent(path: str) -> None:
    """Raise FileError if a file cannot be created there, as far as that is known before."""
    directory = os.path.dirname(path) or "."
    if os.path.lexists(path):
        what = "is a directory" if os.path.isdir(path) else "already exists"
        raise FileError(f"{path}: {what}", hint=_HINT)
    if not os.path.isdir(directory):
        raise FileError(f"{path}: {directory} is not a directory", hint=_HINT)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise FileError(f"{path}: no permission to write in {directory}", hint=_HINT)


def write(path: str, content: bytes) -> None:
    """Write a file with mode 0600; it is on the disk when this returns.

    Raises FileError, also if there is something at the path by now.  Nothing is left then.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name[:200]}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(temporary, flags, 0o600)
        try:
            _fill(descriptor, content)
            os.link(temporary, path)  # rename(2) would replace a file
        finally:
            os.unlink(temporary)
        _sync(directory or ".")
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror}", hint=_HINT) from None


def _fill(descriptor: int, content: bytes) -> None:
    """Write the content and close the file."""
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, 0o600)  # whatever the umask
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(directory: str) -> None:
    with contextlib.suppress(OSError):  # the file is complete; some file systems cannot sync a directory
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
