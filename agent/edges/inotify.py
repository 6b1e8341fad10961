"""Watches of files through inotify(7) and ctypes: 0.5 MB, where a library would take more."""

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


class FileWatcher:
    """Watches of files, set on the directories that hold them.

    An editor replaces a file, and a watch on the old file would see nothing of that.

    A path that ends in `/` is a directory whose every file counts.  A path that does not exist yet
    is watched in the nearest directory above it.  Where the kernel refuses (all watches or
    instances of the machine are in use, as happens on busy nodes), watch.interval has to do, and
    the next `watch` tries again.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._open()
        self._names: dict[int, set[bytes]] = {}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Return the descriptor that is readable after a change; none while the kernel refuses."""
        return (self._descriptor,) if self._descriptor >= 0 else ()

    def watch(self, paths: Iterable[str]) -> None:
        """Watch only these paths; call it after each cycle, since directories come and go."""
        if self._descriptor < 0:
            self._descriptor = self._open()
        names: dict[int, set[bytes]] = {}
        for directory, name in map(_existing_directory, paths):
            number = self._add(directory)
            if number >= 0:
                names.setdefault(number, set()).add(name)
        for number in set(self._names) - set(names):
            self._libc.inotify_rm_watch(self._descriptor, number)
        self._names = names

    def changed(self) -> bool:
        """Return True if a watched file changed since the last call; does not wait."""
        has_changed = False
        while True:
            try:
                data = os.read(self._descriptor, 65536)
            except OSError:  # EAGAIN: no more events; EBADF: no descriptor, the kernel refused
                return has_changed
            for number, mask, name in _events(data):
                watched = self._names.get(number, ())
                has_changed = has_changed or bool(mask & _OVERFLOW) or name in watched or b"" in watched
                if watched and mask & (_DELETE_SELF | _MOVE_SELF):
                    has_changed = True

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


def _existing_directory(path: str) -> tuple[str, bytes]:
    """Return the nearest existing directory of a path, and the name to watch in it.

    An empty name stands for every name.
    """
    directory, name = os.path.split(path)
    while not os.path.isdir(directory) and directory not in ("/", ""):
        directory, name = os.path.split(directory)
    return directory or "/", os.fsencode(name)


def _events(data: bytes) -> list[tuple[int, int, bytes]]:
    """Return watch, mask and name of each event in the data of one read."""
    events, offset = [], 0
    while offset + _EVENT.size <= len(data):
        number, mask, _, length = _EVENT.unpack_from(data, offset)
        offset += _EVENT.size
        events.append((number, mask, data[offset : offset + length].rstrip(b"\0")))
        offset += length
    return events
