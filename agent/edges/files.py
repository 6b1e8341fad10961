"""Files, below a root that is `/` or an image's tree: reads that cannot hang, writes that are durable and atomic."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterable
from typing import Optional

from agent.core.plan.plan import FileState
from agent.errors import FileError

#: Configuration files are small; anything larger is a mistake, and not read into memory.
MAX_SIZE = 4 * 1024 * 1024
#: The file system knows no extended attributes, or we may not write this one: no reason not to
#: write the file.
_NO_RIGHT = (errno.ENOTSUP, errno.EPERM, errno.EACCES)

_ACL = "system.posix_acl_access"


#: Which files were looked at, and what tells one version of each from the next (None: absent).
Versions = tuple[tuple[str, Optional[tuple[int, ...]]], ...]


class FileSystem:
    """Paths are given as on the node (`/etc/environment`); symbolic links are followed inside the root only."""

    def __init__(self, root: str = "/") -> None:
        self.root = os.path.realpath(root)

    @property
    def live(self) -> bool:
        """Whether this is the tree of the running machine."""
        return self.root == "/"

    def real(self, path: str) -> str:
        """Where `path` (of the node) is for this process."""
        return self.root.rstrip("/") + path

    def resolve(self, path: str) -> str:
        """The file that `path` really means, as a path of the node; it need not exist.

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
        """The file at a resolved path; what stands in the way becomes the state's `problem`."""
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
        """The content, or None when absent; raises FileError."""
        state = self.state(self.resolve(path), limit)
        if state.problem:
            raise FileError(f"{path}: {state.problem}")
        return state.content

    def versions(self, paths: Iterable[str]) -> Versions:
        """Return what changes when one of these files or directories does; the clock of the file system decides."""
        return tuple((path, self._version(path)) for path in paths)

    def _version(self, path: str) -> tuple[int, ...] | None:
        try:
            status = os.stat(self.real(self.resolve(path)))
        except (OSError, FileError):
            return None
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def names(self, directory: str) -> list[str]:
        """The names in a directory, sorted; none when it is absent.  Raises FileError."""
        try:
            return sorted(os.listdir(self.real(self.resolve(directory))))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise FileError(f"{directory}: cannot be listed: {error.strerror}") from None

    def private_owner(self, path: str) -> bool:
        """Whether the file is root's (or ours) and nobody else can read or write it."""
        status = os.stat(self.real(self.resolve(path)))
        return status.st_uid in (0, os.geteuid()) and not stat.S_IMODE(status.st_mode) & 0o077

    def write(self, path: str, content: bytes, mode: int | None = None) -> None:
        """Make `path` (resolved) hold `content`, wholly or not at all, and on the disk when this returns.

        Mode, owner and extended attributes (SELinux's label, ACLs) stay those of the old file;
        `mode` overrides, and a private one makes the file ours: somebody else may have put one
        there that they could read. Raises FileError; the old file is then untouched.
        """
        real = self.real(path)
        temporary = _temporary(real)
        try:
            _unlink(temporary)  # of a run that was killed; one lock keeps others out
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
        """Remove a file, if it is there, durably; a link stays, and what it leads to goes, unless not to `follow`."""
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
        """Remove what a write of `path` left that was killed."""
        _unlink(_temporary(self.real(path)), quiet=True)

    def missing_directories(self, path: str) -> list[str]:
        """The directories that have to be made before `path` can be written, the outermost first."""
        missing: list[str] = []
        directory = posixpath.dirname(path)
        while not os.path.isdir(self.real(directory)) and directory != "/":
            missing.insert(0, directory)
            directory = posixpath.dirname(directory)
        return missing

    def make_directory(self, path: str) -> None:
        """Make one directory, if it is not there, durably; everybody may look into it, whatever the umask."""
        try:
            os.mkdir(self.real(path), 0o755)  # at no moment may others write there
            os.chmod(self.real(path), 0o755)  # noqa: S103 -- as mkdir makes directories everywhere
            _sync_directory(os.path.dirname(self.real(path)))
        except FileExistsError:
            return
        except OSError as error:
            raise FileError(f"{path}: cannot be created: {error.strerror}") from None

    def remove_directory(self, path: str) -> bool:
        """Remove a directory if it is empty; whether it is gone."""
        try:
            os.rmdir(self.real(self.resolve(path)))
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def put(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """`write`, with the directories made, and nothing done when the file is so already: for state of our own."""
        path = self.resolve(path)
        if self.state(path, len(content)) == FileState(content, mode):
            return
        for directory in self.missing_directories(path):
            self.make_directory(directory)
        self.write(path, content, mode)

    def _read(self, path: str, limit: int) -> tuple[bytes, os.stat_result]:
        # O_NONBLOCK: opening a FIFO that somebody put there must not hang.
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
    """Give the new file the old one's owner, extended attributes and mode."""
    try:
        status: os.stat_result | None = os.stat(old)
    except FileNotFoundError:
        status = None
    if status is not None:
        private = mode is not None and not mode & 0o077
        if not private and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, status.st_uid, status.st_gid)
        for name in _attributes(old):
            if private and name == _ACL:  # its mask would be that of the mode in the end, and not until then
                continue
            try:
                os.setxattr(descriptor, name, os.getxattr(old, name))
            except OSError as error:
                if error.errno not in _NO_RIGHT:
                    raise
    wanted = mode if mode is not None else (0o644 if status is None else stat.S_IMODE(status.st_mode))
    os.fchmod(descriptor, wanted)


def _attributes(path: str) -> list[str]:
    try:
        return os.listxattr(path)
    except OSError as error:
        if error.errno not in _NO_RIGHT:
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
