"""The kernel's word that a file changed, inotify(7), through ctypes: 0.5 MB, where a library would take more."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

# <sys/inotify.h>; the same numbers on every architecture.
_CLOSE_WRITE, _ATTRIB, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x8, 0x4, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _OVERFLOW = 0x400, 0x800, 0x4000
_ONLYDIR = 0x1000000
_MASK = _CLOSE_WRITE | _ATTRIB | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_EVENT = struct.Struct("iIII")
_NONBLOCK, _CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC


class Files:
    """Watches files by the directories they lie in: an editor replaces a file, and a watch of the old one would be blind.

    A path that ends in `/` is a directory of which every file counts.  What does not exist yet is
    waited for in the directory above.  Where the kernel refuses (all watches of the machine are
    taken, or all its instances, as busy nodes know it) the interval has to do, and the next `watch`
    tries again.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._open()
        self._names: dict[int, set[bytes]] = {}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What can be read when something happened; nothing while the kernel refuses."""
        return (self._descriptor,) if self._descriptor >= 0 else ()

    def watch(self, paths: Iterable[str]) -> None:
        """Watch these and no others; to be said again after each pass, since directories come and go."""
        if self._descriptor < 0:
            self._descriptor = self._open()
        names: dict[int, set[bytes]] = {}
        for directory, name in map(_place, paths):
            number = self._add(directory)
            if number >= 0:
                names.setdefault(number, set()).add(name)
        for number in set(self._names) - set(names):
            self._libc.inotify_rm_watch(self._descriptor, number)
        self._names = names

    def changed(self) -> bool:
        """Whether anything happened to the files since the last call; does not wait."""
        found = False
        while True:
            try:
                data = os.read(self._descriptor, 65536)
            except OSError:  # EAGAIN: that was all; EBADF: this kernel has none
                return found
            for number, mask, name in _events(data):
                wanted = self._names.get(number, ())
                found = found or bool(mask & _OVERFLOW) or name in wanted or b"" in wanted
                if wanted and mask & (_DELETE_SELF | _MOVE_SELF):
                    found = True

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def _open(self) -> int:
        descriptor: int = self._libc.inotify_init1(_NONBLOCK | _CLOEXEC)
        return descriptor

    def _add(self, directory: str) -> int:
        if self._descriptor < 0:
            return -1
        number: int = self._libc.inotify_add_watch(self._descriptor, os.fsencode(directory), _MASK)
        return number


def _place(path: str) -> tuple[str, bytes]:
    """The nearest directory that is there, and the name in it that matters: none for all of them."""
    directory, name = os.path.split(path)
    while not os.path.isdir(directory) and directory not in ("/", ""):
        directory, name = os.path.split(directory)
    return directory or "/", os.fsencode(name)


def _events(data: bytes) -> list[tuple[int, int, bytes]]:
    found, at = [], 0
    while at + _EVENT.size <= len(data):
        number, mask, _, length = _EVENT.unpack_from(data, at)
        at += _EVENT.size
        found.append((number, mask, data[at : at + length].rstrip(b"\0")))
        at += length
    return found
