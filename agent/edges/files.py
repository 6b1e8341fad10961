"""Files below a root, which is `/` or the tree of an image.

Reads cannot hang; writes are durable and atomic.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterable
from typing import Optional

from agent.core.plan.plan import FileState
from agent.errors import FileError

#: Configuration files are small; a larger one is a mistake and is not read into memory.
MAX_SIZE = 4 * 1024 * 1024
#: The file system has no extended attributes, or this one must not be written: the file is written
#: without it.
_IGNORED_ERRORS = (errno.ENOTSUP, errno.EPERM, errno.EACCES)

_ACL = "system.posix_acl_access"


#: Paths, and what identifies the current version of each file (None: absent).
Versions = tuple[tuple[str, Optional[tuple[int, ...]]], ...]


class FileSystem:
    """File system below a root.

    Paths are those of the node (`/etc/environment`); symbolic links do not lead out of the root.
    """

    def __init__(self, root: str = "/") -> None:
        self.root = os.path.realpath(root)

    @property
    def live(self) -> bool:
        """Return True for the tree of the running machine."""
        return self.root == "/"

    def real(self, path: str) -> str:
        """Return the path that this process uses for a `path` of the node."""
        return self.root.rstrip("/") + path

    def resolve(self, path: str) -> str:
        """Return `path` with all links resolved, as a path of the node; it need not exist.

        Raises FileError for a loop of links.
        """
        done, todo, links = "/", [part for part in path.split("/") if part], 0
        while todo:
            part = todo.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                done = posixpath.dirname(done)
                continue
            here = posixpath.join(done, part)
            try:
                target = os.readlink(self.real(here))
            except OSError:
                done = here
                continue
            links += 1
            if links > 40:
                raise FileError(f"{path}: too many levels of symbolic links")
            done = "/" if target.startswith("/") else done
            todo = target.split("/") + todo
        return done

    def state(self, path: str, limit: int = MAX_SIZE) -> FileState:
        """Return the state of the file at a resolved path; an error becomes its `problem`."""
        try:
            content, status = self._read(path, limit)
        except FileNotFoundError:
            return FileState()
        except NotADirectoryError:
            return FileState(problem="a component of the path is not a directory")
        except OSError as error:
            return FileState(problem=f"cannot be read: {error.strerror}")
        except FileError as error:
            return FileState(problem=str(error))
        return FileState(content, stat.S_IMODE(status.st_mode))

    def read(self, path: str, limit: int = MAX_SIZE) -> bytes | None:
        """Return the content of a file, or None if it does not exist.  Raises FileError."""
        state = self.state(self.resolve(path), limit)
        if state.problem:
            raise FileError(f"{path}: {state.problem}")
        return state.content

    def versions(self, paths: Iterable[str]) -> Versions:
        """Return values that change when one of these files or directories changes.

        They contain the times of the file system.
        """
        return tuple((path, self._version(path)) for path in paths)

    def _version(self, path: str) -> tuple[int, ...] | None:
        try:
            status = os.stat(self.real(self.resolve(path)))
        except (OSError, FileError):
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def names(self, directory: str) -> list[str]:
        """Return the sorted names in a directory; none if it does not exist.

        Raises FileError.
        """
        try:
            return sorted(os.listdir(self.real(self.resolve(directory))))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise FileError(f"{directory}: cannot be listed: {error.strerror}") from None

    def is_private(self, path: str) -> bool:
        """Return True if root or this user owns the file and no other user can read or write it."""
        status = os.stat(self.real(self.resolve(path)))
        return status.st_uid in (0, os.geteuid()) and not stat.S_IMODE(status.st_mode) & 0o077

    def write(self, path: str, content: bytes, mode: int | None = None) -> None:
        """Write `content` to a resolved path, atomically; it is on the disk when this returns.

        Mode, owner and extended attributes (SELinux label, ACLs) of the old file stay.  `mode`
        overrides its mode.  With a private mode this process becomes the owner, and the ACL is not
        kept: another user may have created the file in order to read it.  Raises FileError; the old
        file is then untouched.
        """
        real = self.real(path)
        temporary = _temporary(real)
        try:
            _unlink(temporary)  # of a killed run: the lock excludes a concurrent one
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                _write_all(descriptor, content)
                _inherit(real, descriptor, mode)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(temporary, real)
            _sync_directory(os.path.dirname(real))
        except OSError as error:
            _unlink(temporary, quiet=True)
            raise FileError(f"{path}: cannot be written: {error.strerror}") from None

    def remove(self, path: str, *, follow: bool = True) -> None:
        """Remove a file, if it exists, durably.

        `follow`: of a link remove the target and keep the link.  Raises FileError.
        """
        path = self.resolve(path) if follow else path
        self.sweep(path)
        real = self.real(path)
        try:
            os.unlink(real)
            _sync_directory(os.path.dirname(real))
        except FileNotFoundError:
            return
        except OSError as error:
            raise FileError(f"{path}: cannot be removed: {error.strerror}") from None

    def sweep(self, path: str) -> None:
        """Remove the temporary file that a killed write of `path` left."""
        _unlink(_temporary(self.real(path)), quiet=True)

    def missing_directories(self, path: str) -> list[str]:
        """Return the missing parent directories of `path`, the outermost first."""
        missing: list[str] = []
        directory = posixpath.dirname(path)
        while not os.path.isdir(self.real(directory)) and directory != "/":
            missing.insert(0, directory)
            directory = posixpath.dirname(directory)
        return missing

    def make_directory(self, path: str) -> None:
        """Create a directory, if it does not exist, durably, with mode 0755 whatever the umask.

        Raises FileError.
        """
        try:
            os.mkdir(self.real(path), 0o755)  # so that others can never write there
            os.chmod(self.real(path), 0o755)  # noqa: S103 -- the mode of system directories
            _sync_directory(os.path.dirname(self.real(path)))
        except FileExistsError:
            return
        except OSError as error:
            raise FileError(f"{path}: cannot be created: {error.strerror}") from None

    def remove_directory(self, path: str) -> bool:
        """Remove a directory if it is empty; return True if it no longer exists."""
        try:
            os.rmdir(self.real(self.resolve(path)))
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def put(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file of the agent's own state, with its directories, unless it is unchanged.

        Raises FileError.
        """
        path = self.resolve(path)
        if self.state(path, len(content)) == FileState(content, mode):
            return
        for directory in self.missing_directories(path):
            self.make_directory(directory)
        self.write(path, content, mode)

    def _read(self, path: str, limit: int) -> tuple[bytes, os.stat_result]:
        # O_NONBLOCK: open(2) must not hang if someone has put a FIFO there.
        descriptor = os.open(self.real(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise FileError("is a directory" if stat.S_ISDIR(status.st_mode) else "is not a regular file")
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(limit + 1)
        finally:
            os.close(descriptor)
        if len(content) > limit:
            raise FileError(f"is larger than {limit} bytes")
        return content, status


def _temporary(real: str) -> str:
    directory, name = os.path.split(real)
    return os.path.join(directory, f".{name}.eks-proxy-agent")


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _inherit(old: str, descriptor: int, mode: int | None) -> None:
    """Copy owner, extended attributes and mode of the old file to the new one."""
    try:
        status: os.stat_result | None = os.stat(old)
    except FileNotFoundError:
        status = None
    if status is not None:
        private = mode is not None and not mode & 0o077
        if not private and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, status.st_uid, status.st_gid)
        for name in _attributes(old):
            if private and name == _ACL:  # it would let others read until the final mode sets its mask
                continue
            try:
                os.setxattr(descriptor, name, os.getxattr(old, name))
            except OSError as error:
                if error.errno not in _IGNORED_ERRORS:
                    raise
    new_mode = mode if mode is not None else (0o644 if status is None else stat.S_IMODE(status.st_mode))
    os.fchmod(descriptor, new_mode)


def _attributes(path: str) -> list[str]:
    try:
        return os.listxattr(path)
    except OSError as error:
        if error.errno not in _IGNORED_ERRORS:
            raise
        return []


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unlink(path: str, quiet: bool = False) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError:
        if not quiet:
            raise
