"""A new private file that an operator names: complete or absent, and in place of no other."""

from __future__ import annotations

import contextlib
import errno
import os

from agent.errors import FileError

#: Errors of link(2) on a file system without links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
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

    Raises FileError, also if there is something at the path by now.  Nothing is left then, unless
    the file system refuses to remove it.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name[:200]}.{os.getpid()}")
    try:
        _create(temporary, content)
        is_linked = False
        try:
            is_linked = _link(temporary, path)
        finally:
            _unlink(temporary, path if is_linked else None)
        if not is_linked:
            _create(path, content)
        _sync(directory or ".")
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror}", hint=_HINT) from None


def _unlink(temporary: str, path: str | None) -> None:
    """Remove a temporary file; if that fails also the file that was linked to it."""
    try:
        os.unlink(temporary)
    except OSError:
        if path is not None:
            with contextlib.suppress(OSError):
                os.unlink(path)
        raise


def _link(temporary: str, path: str) -> bool:
    """Give a file its name, and replace none, as rename(2) would.

    Return False if the file system has no links: vfat, exfat and some of FUSE; see link(2).
    """
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def _create(path: str, content: bytes) -> None:
    """Create a file; remove it again if it cannot be completed.  Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        _fill(descriptor, content)
    except BaseException:  # also Ctrl-C
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _fill(descriptor: int, content: bytes) -> None:
    """Write the content and close the file."""
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        with contextlib.suppress(OSError):  # some file systems have no modes; it is at most 0600 anyway
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
