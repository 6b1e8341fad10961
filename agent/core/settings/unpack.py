"""Wrappings of user data: gzip and base64, undone within a limit.  Pure."""

from __future__ import annotations

import base64
import binascii
import re
import zlib

_GZIP = b"\x1f\x8b"
#: gzip files may be concatenated; a longer row is an attack.
_MEMBERS = 16
_WHITESPACE = b" \t\r\n"


class DamagedError(ValueError):
    """Data that begins like gzip and cannot be unpacked."""


def unpack(data: bytes, limit: int) -> bytes:
    """Return `data` without gzip, without base64, and without the gzip inside that.

    Raises ValueError if the result, or what lies between, is longer than `limit` bytes; its
    subclass DamagedError for gzip that is damaged or truncated.
    """
    data = _gunzip(data, limit)
    inner = _from_base64(data)
    return data if inner is None else _gunzip(inner, limit)


def is_cut_base64(data: bytes) -> bool:
    """Return True for a long text of base64 characters that is not base64, such as half of one."""
    return len(data) > 16 and re.fullmatch(rb"[A-Za-z0-9+/]+={0,2}", data.translate(None, _WHITESPACE)) is not None


def _from_base64(data: bytes) -> bytes | None:
    """Return what the base64 of `data` stands for, None if it is not base64 as a whole.

    Neither TOML nor YAML nor MIME nor a script consists of these characters alone.
    """
    text = data.lstrip(b"\xef\xbb\xbf").translate(None, _WHITESPACE)
    if not text or len(text) % 4:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def _gunzip(data: bytes, limit: int) -> bytes:
    if not data.startswith(_GZIP):
        return _bounded(data, limit)
    unpacked = b""
    for _ in range(_MEMBERS):
        member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            unpacked = _bounded(unpacked + member.decompress(data, limit + 1 - len(unpacked)), limit)
        except zlib.error:
            break
        if not member.eof:
            break
        data = member.unused_data
        if not data.startswith(_GZIP):
            return unpacked
    raise DamagedError("damaged or truncated gzip")


def _bounded(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise ValueError("too long")
    return data
