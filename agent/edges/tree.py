"""Walks below a root, one directory descriptor at a time.

Each step is an open(2) that follows no link.  A link is read and followed inside the root, so no
link leads out of it, even if others change the tree meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Iterator

from agent.core.record import record

#: O_PATH: to walk through a directory takes no permission to list it.
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
#: As in Linux (path_resolution(7)).
_MAX_LINKS = 40
#: Only these errors mean that there is no link; any other is a failure to look.
_NOT_A_LINK = (errno.EINVAL, errno.ENOENT, errno.ENOTDIR)


@record
class Location:
    """The end of a walk: a directory that exists, and the names that remain below it.

    `descriptor`: of the directory.  `parent`: its path.  `names`: one if the directory of the path
    exists, more if it does not, none if the path is a directory on the way (`/`, `/a/..`).
    `is_blocked`: of several names, the first one exists and is not a directory.
    """

    descriptor: int
    parent: str
    names: tuple[str, ...]
    is_blocked: bool

    @property
    def path(self) -> str:
        """The path without links."""
        return posixpath.join(self.parent, *self.names)

    @property
    def name(self) -> str:
        """The name in the directory.

        Raises NotADirectoryError or FileNotFoundError if the directory of the path does not exist.
        """
        if len(self.names) > 1:
            number = errno.ENOTDIR if self.is_blocked else errno.ENOENT
            raise OSError(number, os.strerror(number))
        return self.names[0] if self.names else "."


@contextlib.contextmanager
def walk(root: str, path: str, *, follow: bool, guarded: bool = False) -> Iterator[Location]:
    """Walk to `path` below `root`; the descriptor is open during the block.

    `follow`: also if the path itself is a link.  `guarded`: a link in a directory that another user
    may change is an error.  Raises OSError, also for a loop of links.
    """
    walker = _Walker(os.open(root, _DIRECTORY), guarded)
    try:
        yield walker.walk(_parts(path), follow)
    finally:
        walker.close()


class _Walker:
    """A walk: the open directories from the root on, and names below the last one."""

    def __init__(self, root: int, guarded: bool) -> None:
        self._opened, self._done = [root], [""]
        self._rest: list[str] = []
        self._is_blocked = False
        self._links = 0
        self._is_guarded = guarded

    def close(self) -> None:
        while self._opened:
            os.close(self._opened.pop())

    def walk(self, todo: list[str], follow: bool) -> Location:
        while todo:
            part = todo.pop(0)
            if part == "..":
                self._up()
            elif self._rest:
                self._rest.append(part)
            elif not (todo and self._enter(part)):
                target = self._target(part) if todo or follow else None
                if target is None:
                    self._is_blocked = bool(todo) and _exists(self._opened[-1], part)
                    self._rest.append(part)
                else:
                    todo = _parts(target) + todo
        return Location(self._opened[-1], "/".join(self._done) or "/", tuple(self._rest), self._is_blocked)

    def _up(self) -> None:
        """Go to the parent; that of the root is the root."""
        if self._rest:
            self._rest.pop()
        elif len(self._opened) > 1:
            self._done.pop()
            os.close(self._opened.pop())

    def _enter(self, name: str) -> bool:
        """Open a directory; return False for a link, another kind of file, or none."""
        try:
            self._opened.append(os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=self._opened[-1]))
        except (FileNotFoundError, NotADirectoryError):
            return False
        self._done.append(name)
        return True

    def _target(self, name: str) -> str | None:
        """Return the target of a link, None if it is not a link.

        The walk goes on at the root for an absolute target.
        """
        target = _readlink(self._opened[-1], name)
        if target is None:
            return None
        self._links += 1
        if self._links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if self._is_guarded:
            _require_trusted(self._opened[-1], name)
        while target.startswith("/") and len(self._opened) > 1:
            self._up()
        return target


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _readlink(directory: int, name: str) -> str | None:
    """Return the target of a link, None if it is not a link."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno not in _NOT_A_LINK:
            raise
        return None


def _exists(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _require_trusted(directory: int, name: str) -> None:
    """Raise OSError if another user than root and this one may replace a link in a directory."""
    status = os.fstat(directory)
    is_shared = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
    if status.st_uid not in (0, os.geteuid()) or is_shared or _is_foreign(directory, name):
        raise OSError(errno.EPERM, f"{name} is a link of another user")


def _is_foreign(directory: int, name: str) -> bool:
    """Return True if a link belongs to another user: in /tmp each user may create some."""
    return os.stat(name, dir_fd=directory, follow_symlinks=False).st_uid not in (0, os.geteuid())
