"""One file or directory by its name in an open directory.

Writes are atomic and durable.  All functions raise OSError.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from agent.core.plan.baseline import Attributes, FileState

#: A link that others put there meanwhile is not followed, and no child process gets the file.
FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC
#: Attributes that the kernel or its security module decide on.  A file whose label this process may
#: not set gets the one of its directory.  Any other attribute must not be lost: without its ACL the
#: group of a file would get what the mask allowed.
_LABELS = "security."
_ACL = "system.posix_acl_access"


def read(descriptor: int, limit: int) -> FileState:
    """Return the state of an open file."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return FileState(problem="is a directory" if stat.S_ISDIR(status.st_mode) else "is not a regular file")
    with open(descriptor, "rb", closefd=False) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        return FileState(problem=f"is larger than {limit} bytes")
    is_foreign = _is_foreign(status)
    return FileState(content, stat.S_IMODE(status.st_mode), "", _attributes(descriptor, status), is_foreign)


def _is_foreign(status: os.stat_result) -> bool:
    return status.st_uid not in (0, os.geteuid())


def _attributes(descriptor: int, status: os.stat_result) -> Attributes:
    try:
        extended = tuple((name, os.getxattr(descriptor, name)) for name in sorted(os.listxattr(descriptor)))
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        extended = ()
    return Attributes(status.st_uid, status.st_gid, extended)


def write(directory: int, name: str, content: bytes, mode: int | None, attributes: Attributes | None) -> None:
    """Replace a file, or create it; FileSystem.write explains mode and attributes."""
    temporary = _temporary(name)
    _unlink(directory, temporary)  # of a killed run: the lock excludes a concurrent one
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS, 0o600, dir_fd=directory)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            old_mode, old = (None, None) if mode is not None and attributes else _inherited(directory, name, mode)
            _give(descriptor, attributes or old)
            os.fchmod(descriptor, next(value for value in (mode, old_mode, 0o644) if value is not None))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        with contextlib.suppress(OSError):
            _unlink(directory, temporary)
        raise
    _sync(directory)


def remove(directory: int, name: str) -> bool:
    """Remove a file; return True if it existed."""
    if not _unlink(directory, name):
        return False
    _sync(directory)
    return True


def sweep(directory: int, name: str) -> None:
    """Remove the temporary file that a killed write left."""
    _unlink(directory, _temporary(name))


def make_directory(directory: int, name: str) -> None:
    """Create a directory with mode 0755 whatever the umask.

    One call, because a directory whose mode a killed run did not set would keep it.
    """
    umask = os.umask(0o022)
    try:
        os.mkdir(name, 0o755, dir_fd=directory)
    finally:
        os.umask(umask)
    _sync(directory)


def remove_directory(directory: int, name: str) -> None:
    """Remove an empty directory, if it exists."""
    if _exists(directory, name):
        os.rmdir(name, dir_fd=directory)


def _inherited(directory: int, name: str, mode: int | None) -> tuple[int | None, Attributes | None]:
    """Return mode and attributes of the old file for the new one; None without an old file."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            return None, None
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | FLAGS, dir_fd=directory)
    except FileNotFoundError:
        return None, None
    try:
        attributes = _attributes(descriptor, status)
    finally:
        os.close(descriptor)
    if mode is not None and (not mode & 0o077 or _is_foreign(status)):
        # The ACL would let others read until the final mode sets its mask.
        extended = tuple((name, value) for name, value in attributes.extended if name != _ACL)
        attributes = Attributes(os.geteuid(), os.getegid(), extended)
    return stat.S_IMODE(status.st_mode), attributes


def _give(descriptor: int, attributes: Attributes | None) -> None:
    """Set owner, group and extended attributes of a file."""
    if attributes is None:
        return
    status = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != (attributes.owner, attributes.group):
        os.fchown(descriptor, attributes.owner, attributes.group)
    for name, value in attributes.extended:
        try:
            os.setxattr(descriptor, name, value)
        except OSError as error:
            is_denied_label = name.startswith(_LABELS) and error.errno in (errno.EPERM, errno.EACCES)
            if error.errno != errno.ENOTSUP and not is_denied_label:
                raise


def _sync(directory: int) -> None:
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | FLAGS, dir_fd=directory)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unlink(directory: int, name: str) -> bool:
    """Remove a file; return True if it existed."""
    if not _exists(directory, name):
        return False
    os.unlink(name, dir_fd=directory)
    return True


def _exists(directory: int, name: str) -> bool:
    """Return True if there is a file, directory or link.

    On a read-only file system unlink(2) and rmdir(2) fail for absent files too.
    """
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _temporary(name: str) -> str:
    return f".{name}.eks-proxy-agent"
