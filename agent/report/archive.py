"""The archive of a report: a gzip-compressed tar file with one directory."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable


def pack(top: str, files: Iterable[tuple[str, bytes]], moment: int) -> bytes:
    """Return the archive of `files` (path and content) below the directory `top`.

    Every time stamp is `moment`, in seconds since 1970; files are private and belong to root.
    """
    buffer = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", fileobj=buffer, mtime=moment) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        archive.addfile(_entry(top, moment, tarfile.DIRTYPE, 0o700))
        for path, content in files:
            entry = _entry(f"{top}/{path}", moment, tarfile.REGTYPE, 0o600)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _entry(name: str, moment: int, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = kind, mode, moment
    entry.uname = entry.gname = "root"
    return entry
