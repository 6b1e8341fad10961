"""A disk with a volatile write cache, as a network block device (NBD) that QEMU's virtio disk uses.

What the guest has written since its last flush is in the cache.  A power cut loses it: each of
these writes is kept, lost or torn at a sector, by chance, so that writes also arrive out of order.
That is what a real disk may do; a disk that forgets nothing would hide a missing fsync(2).

The protocol is that of NetworkBlockDevice/nbd, doc/proto.md: fixed newstyle, simple replies.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

SECTOR = 512  # a disk writes a sector wholly or not at all
_GREETING = struct.pack(">8sQH", b"NBDMAGIC", 0x49484156454F5054, 1)  # "IHAVEOPT", fixed newstyle
_OPT_ABORT, _OPT_GO = 2, 7
_REP_ACK, _REP_INFO, _REP_ERR_UNSUP = 1, 3, 2**31 + 1
#: HAS_FLAGS and SEND_FLUSH.  Without SEND_FUA, QEMU flushes after such a write.
_FLAGS = 1 | 4
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3


@dataclass(frozen=True)
class Write:
    """Data at an offset of the disk, and what was there before."""

    offset: int
    before: bytes
    after: bytes


@dataclass(frozen=True)
class Loss:
    """What a power cut found in the cache, and what became of it."""

    writes: int  # since power on
    flushes: int  # since power on
    cached: int  # writes since the last flush
    kept: int
    torn: int


def survivors(cache: Sequence[Write], chance: random.Random) -> list[Write]:
    """Return the writes that reach the medium when the power is cut; a torn one is shorter."""
    share = chance.choice((0.0, 0.5, 0.9))
    kept = []
    for write in cache:
        if chance.random() >= share:
            continue
        end = len(write.after)
        if end > SECTOR and chance.random() < 0.25:
            end = SECTOR * chance.randrange(1, -(-end // SECTOR))
        kept.append(Write(write.offset, write.before, write.after[:end]))
    return kept


class Disk:
    """Disk of one machine, from power on to power off; it changes the file `image` in place."""

    def __init__(self, image: Path, address: Path, chance: random.Random, *, is_recorded: bool = False) -> None:
        """Listen on the UNIX socket `address` and serve one client, in a thread.

        If the disk `is_recorded`, its history has each write and flush.
        """
        self._is_recorded = is_recorded
        self._image = os.open(image, os.O_RDWR | os.O_CLOEXEC)
        self._size = os.fstat(self._image).st_size
        self._chance = chance
        self._cache: list[Write] = []
        self._lock = threading.Lock()
        self._is_on = True
        self._cut_after = 0
        self._on_cut: Callable[[], object] = lambda: None
        self.writes = 0
        self.flushes = 0
        self.loss: Loss | None = None
        self.history: list[Write | None] = []  # None: a flush
        address.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(address))
        self._listener.listen(1)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def cut_after(self, writes: int, on_cut: Callable[[], object]) -> None:
        """Cut the power after so many more writes, then call `on_cut` (in the disk's thread)."""
        with self._lock:
            self._cut_after, self._on_cut = self.writes + writes, on_cut

    def cut(self) -> None:
        """Cut the power: the cache is lost, and no request is served any more."""
        with self._lock:
            self._lose()

    def close(self) -> None:
        """Release the image; of a machine that still runs this is a power cut without loss."""
        with self._lock:
            self._is_on = False
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        os.close(self._image)

    def _lose(self) -> None:
        if not self._is_on:
            return
        self._is_on = False
        for write in reversed(self._cache):
            os.pwrite(self._image, write.before, write.offset)
        kept = survivors(self._cache, self._chance)
        for write in kept:
            os.pwrite(self._image, write.after, write.offset)
        torn = sum(len(write.after) < len(write.before) for write in kept)
        self.loss = Loss(self.writes, self.flushes, len(self._cache), len(kept), torn)

    def _serve(self) -> None:
        with suppress(OSError, EOFError):  # the end of QEMU, at any byte
            connection, _ = self._listener.accept()
            with connection:
                stream = _Stream(connection)
                if self._negotiate(stream):
                    while self._request(stream):
                        pass

    def _negotiate(self, stream: _Stream) -> bool:
        """Agree on the only export; return True if the client wants it."""
        stream.send(_GREETING)
        stream.receive(4)  # the client's flags
        while True:
            _, option, length = struct.unpack(">QII", stream.receive(16))
            stream.receive(length)
            if option == _OPT_GO:
                _reply(stream, option, _REP_INFO, struct.pack(">HQH", 0, self._size, _FLAGS))
                _reply(stream, option, _REP_ACK)
                return True
            if option == _OPT_ABORT:
                _reply(stream, option, _REP_ACK)
                return False
            _reply(stream, option, _REP_ERR_UNSUP)

    def _request(self, stream: _Stream) -> bool:
        """Serve one request; return False after the last one."""
        _, _, kind, cookie, offset, length = struct.unpack(">IHHQQI", stream.receive(28))
        data = stream.receive(length) if kind == _WRITE else b""
        with self._lock:
            if not self._is_on or kind == _DISCONNECT:
                return False
            if kind == _READ:
                data = os.pread(self._image, length, offset)
            elif kind == _WRITE:
                self._write(offset, data)
                data = b""
            elif kind == _FLUSH:
                self.flushes += 1
                self._cache.clear()
                if self._is_recorded:
                    self.history.append(None)
            else:
                raise OSError(f"NBD request {kind} was not offered")
            if not self._is_on:
                self._on_cut()
                return False
        stream.send(struct.pack(">IIQ", 0x67446698, 0, cookie) + data)
        return True

    def _write(self, offset: int, data: bytes) -> None:
        write = Write(offset, os.pread(self._image, len(data), offset), data)
        self._cache.append(write)
        if self._is_recorded:
            self.history.append(write)
        os.pwrite(self._image, data, offset)
        self.writes += 1
        if self.writes == self._cut_after:
            self._lose()


class _Stream:
    """A connection, read by whole messages."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def receive(self, length: int) -> bytes:
        """Return exactly so many bytes.  Raises EOFError."""
        data = bytearray(length)
        view = memoryview(data)
        while view:
            count = self._connection.recv_into(view)
            if count == 0:
                raise EOFError
            view = view[count:]
        return bytes(data)


def _reply(stream: _Stream, option: int, kind: int, data: bytes = b"") -> None:
    stream.send(struct.pack(">QIII", 0x3E889045565A9, option, kind, len(data)) + data)
