"""Power cuts at every flush of a recorded boot, without booting again.

The record has each write of the disk, so the disk of any moment can be made from it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import image
from .disk import Write, survivors


def disks(
    base: Path, history: Sequence[Write | None], window: tuple[int, int], chance: random.Random
) -> Iterator[Path]:
    """Yield the disk as a cut before each flush in the window of the history leaves it.

    What was flushed before is there; of the writes since, some survive.  The caller may change the
    file.
    """
    growing, disk = base.with_suffix(".growing"), base.with_suffix(".cut")
    image.copy(base, growing)
    cache: list[Write] = []
    for number, write in enumerate(history[: window[1]]):
        if write is not None:
            cache.append(write)
            continue
        if number >= window[0] and cache:
            image.copy(growing, disk)
            _apply(disk, survivors(cache, chance))
            yield disk
        _apply(growing, cache)
        cache.clear()
    growing.unlink()
    disk.unlink()


def _apply(disk: Path, writes: Sequence[Write]) -> None:
    descriptor = os.open(disk, os.O_WRONLY)
    try:
        for write in writes:
            os.pwrite(descriptor, write.after, write.offset)
    finally:
        os.close(descriptor)
