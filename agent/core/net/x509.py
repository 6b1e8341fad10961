"""Who issued a certificate, read from its DER.  Pure.

The ssl module tells that only of certificates that it trusts, and the ones that matter here are the
others. Source: RFC 5280, sections 4.1 and 4.1.2.4; X.690 for the encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

_SEQUENCE, _SET, _OID, _VERSION = 0x30, 0x31, 0x06, 0xA0
#: Encoded object identifiers 2.5.4.3 and 2.5.4.10.
_COMMON_NAME, _ORGANIZATION = b"\x55\x04\x03", b"\x55\x04\x0a"
_UTF16 = 0x1E  # BMPString; the other string types in use are supersets of ASCII, or UTF-8


def issuer(der: bytes) -> str:
    """`Organization, Common Name` of the issuer, what there is of it; empty for what is no certificate."""
    try:
        names = _names(_issuer_field(der))
    except (ValueError, IndexError):
        return ""
    return ", ".join(dict.fromkeys(names[oid] for oid in (_ORGANIZATION, _COMMON_NAME) if names.get(oid)))


def _issuer_field(der: bytes) -> bytes:
    (_, certificate), *_rest = _items(der)
    (_, signed), *_rest = _items(certificate)
    fields = [field for field in _items(signed) if field[0] != _VERSION]
    return fields[2][1]  # serial number, signature algorithm, issuer


def _names(field: bytes) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    for tag, group in _items(field):
        for inner, pair in _items(group) if tag == _SET else ():
            parts = list(_items(pair)) if inner == _SEQUENCE else []
            if len(parts) == 2 and parts[0][0] == _OID:
                kind, value = parts[1]
                found[parts[0][1]] = value.decode("utf-16-be" if kind == _UTF16 else "utf-8", "replace")
    return found


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element in a row; raises ValueError or IndexError for what is cut off."""
    at = 0
    while at < len(data):
        tag, length, start = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, start = int.from_bytes(data[start : start + size], "big"), start + size
        if not 0 <= length <= len(data) - start:
            raise ValueError("an element is longer than what holds it")
        yield tag, data[start : start + length]
        at = start + length
