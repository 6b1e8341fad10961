"""Files below a root, which is `/` or the tree of an image.

Reads cannot hang; writes are durable and atomic.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Optional

from agent.core.plan.baseline import Attributes, FileState
from agent.edges import directory as entry
from agent.edges.directory import FLAGS
from agent.edges.tree import Location, walk
from agent.errors import FileError, NoRoomError

#: Configuration files are small; a larger one is a mistake and is not read into memory.
MAX_SIZE = 4 * 1024 * 1024
#: These errors mean that a path does not exist.  After any other its state is unknown.
_ABSENT = (FileNotFoundError, NotADirectoryError)
#: A directory that is not empty, or is a mount point.
_IN_USE = (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY)

#: The file system has neither space nor inodes, or the quota has none, or it is read-only.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

#: Paths, and what identifies the current version of each file (None: absent).
Versions = tuple[tuple[str, Optional[tuple[int, ...]]], ...]


class FileSystem:
    """File system below a root.

    Paths are those of the node (`/etc/environment`); symbolic links do not lead out of the root.
    """

    def __init__(self, root: str = "/", *, is_guarded: bool = False) -> None:
        self.root = os.path.realpath(root)
        self._is_guarded = is_guarded

    @property
    def live(self) -> bool:
        """Return True for the tree of the running machine."""
        return self.root == "/"

    def guarded(self) -> FileSystem:
        """Return the same tree for paths in directories that may belong to other users.

        A link there is an error: with it another user could choose what root writes.
        """
        return FileSystem(self.root, is_guarded=True)

    def real(self, path: str) -> str:
        """Return the path that another process uses for a `path` of the node."""
        return self.root.rstrip("/") + path

    def resolve(self, path: str) -> str:
        """Return `path` with all links resolved, as a path of the node; it need not exist.

        Raises FileError, for example for a loop of links.
        """
        try:
            with self._place(path) as place:
                return place.path
        except OSError as error:
            raise _failure(path, "cannot be resolved", error) from None

    def status(self, path: str, *, follow: bool = True) -> os.stat_result | None:
        """Return stat(2) of a path, or None if it does not exist.

        `follow`: of a link return that of its target.  Raises FileError.
        """
        try:
            with self._place(path, follow=follow) as place:
                return os.stat(place.name, dir_fd=place.descriptor, follow_symlinks=False)
        except _ABSENT:
            return None
        except OSError as error:
            raise _failure(path, "cannot be read", error) from None

    def is_directory(self, path: str) -> bool:
        """Return True if `path` is a directory.  Raises FileError."""
        status = self.status(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def is_private(self, path: str) -> bool:
        """Return True if root or this user owns the file and no other user can read or write it."""
        status = self.status(path)
        return status is not None and status.st_uid in (0, os.geteuid()) and not stat.S_IMODE(status.st_mode) & 0o077

    def state(self, path: str, limit: int = MAX_SIZE) -> FileState:
        """Return the state of the file at a path; an error becomes its `problem`."""
        try:
            # O_NONBLOCK: open(2) must not hang if someone has put a FIFO there.
            descriptor = self._open(path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                return entry.read(descriptor, limit)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return FileState()
        except NotADirectoryError:
            return FileState(problem="a component of the path is not a directory")
        except OSError as error:
            return FileState(problem=_problem("cannot be read", error))

    def read(self, path: str, limit: int = MAX_SIZE) -> bytes | None:
        """Return the content of a file, or None if it does not exist.  Raises FileError."""
        state = self.state(path, limit)
        if state.problem:
            raise FileError(f"{path}: {state.problem}")
        return state.content

    def versions(self, paths: Iterable[str]) -> Versions:
        """Return values that change when one of these files or directories changes.

        They contain the times of the file system.
        """
        return tuple((path, self._version(path)) for path in paths)

    def _version(self, path: str) -> tuple[int, ...] | None:
        """Return the version; None also for an unreadable file, which its reader will report."""
        try:
            status = self.status(path)
        except FileError:
            return None
        if status is None:
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def names(self, directory: str) -> list[str]:
        """Return the sorted names in a directory; none if it does not exist.

        Raises FileError.
        """
        try:
            descriptor = self._open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                return sorted(os.listdir(descriptor))
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _failure(directory, "cannot be listed", error) from None

    def open(self, path: str, flags: int, mode: int) -> int | None:
        """Return the descriptor of a file that is opened with these flags; None if it is absent.

        Raises FileError.
        """
        try:
            return self._open(path, flags, mode)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failure(path, "cannot open", error) from None

    def write(self, path: str, content: bytes, mode: int | None = None, attributes: Attributes | None = None) -> None:
        """Write `content` to a resolved path, atomically; it is on the disk when this returns.

        Mode, owner and extended attributes (SELinux label, ACLs) of the old file stay, unless
        `mode` or `attributes` override them.  With a private mode, or with any mode if another
        user owns the file, this process becomes the owner, and the ACL is not kept: that user may
        have created the file in order to read or change it.  Raises FileError or NoRoomError; the
        old file is then untouched.
        """
        try:
            with self._place(path, follow=False) as place:
                entry.write(place.descriptor, place.name, content, mode, attributes)
        except OSError as error:
            raise _failure(path, "cannot be written", error) from None

    def remove(self, path: str, *, follow: bool = True) -> bool:
        """Remove a file durably; return True if it existed.

        `follow`: of a link remove the target and keep the link.  Raises FileError.
        """
        try:
            with self._place(path, follow=follow) as place:
                entry.sweep(place.descriptor, place.name)
                return entry.remove(place.descriptor, place.name)
        except _ABSENT:
            return False
        except OSError as error:
            raise _failure(path, "cannot be removed", error) from None

    def sweep(self, path: str) -> None:
        """Remove the temporary file that a killed write of `path` left.  Raises FileError."""
        try:
            with self._place(path) as place:
                entry.sweep(place.descriptor, place.name)
        except _ABSENT:
            return
        except OSError as error:
            raise _failure(path, "its temporary file cannot be removed", error) from None

    def missing_directories(self, path: str) -> list[str]:
        """Return the missing parent directories of `path`, the outermost first.

        Raises FileError.
        """
        try:
            with self._place(path, follow=False) as place:
                names = () if place.is_blocked else place.names[:-1]
                return [posixpath.join(place.parent, *names[: number + 1]) for number in range(len(names))]
        except OSError as error:
            raise _failure(path, "cannot be read", error) from None

    def make_directory(self, path: str) -> None:
        """Create a directory, if it does not exist, durably, with mode 0755 whatever the umask.

        Raises FileError.
        """
        try:
            with self._place(path, follow=False) as place:
                entry.make_directory(place.descriptor, place.name)
        except FileExistsError:
            return
        except OSError as error:
            raise _failure(path, "cannot be created", error) from None

    def remove_directory(self, path: str) -> bool:
        """Remove a directory if it is empty; return True if it no longer exists.

        Raises FileError.
        """
        try:
            with self._place(path) as place:
                entry.remove_directory(place.descriptor, place.name)
        except _ABSENT:
            return True
        except OSError as error:
            if error.errno in _IN_USE:
                return False
            raise _failure(path, "cannot be removed", error) from None
        return True

    def put(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file of the agent's own state, with its directories, unless it is unchanged.

        Raises FileError.
        """
        path = self.resolve(path)
        self.sweep(path)  # a killed run may have left it beside an unchanged file
        if self.state(path, len(content)) == FileState(content, mode):
            return
        for directory in self.missing_directories(path):
            self.make_directory(directory)
        self.write(path, content, mode)

    def _place(self, path: str, *, follow: bool = True) -> AbstractContextManager[Location]:
        return walk(self.root, path, follow=follow, guarded=self._is_guarded)

    def _open(self, path: str, flags: int, mode: int = 0) -> int:
        with self._place(path) as place:
            return os.open(place.name, flags | FLAGS, mode, dir_fd=place.descriptor)


def _problem(verb: str, error: OSError) -> str:
    return "too many levels of symbolic links" if error.errno == errno.ELOOP else f"{verb}: {error.strerror}"


def _failure(path: str, verb: str, error: OSError) -> FileError:
    kind = NoRoomError if error.errno in _NO_ROOM else FileError
    return kind(f"{path}: {_problem(verb, error)}")
