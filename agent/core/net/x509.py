"""The issuer of a certificate, read from its DER.  Pure.

The ssl module gives the issuer of trusted certificates only; here the untrusted ones matter.
Source: RFC 5280, sections 4.1 and 4.1.2.4; X.690 for the encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

_SEQUENCE, _SET, _OID, _VERSION = 0x30, 0x31, 0x06, 0xA0
#: Encoded object identifiers 2.5.4.3 and 2.5.4.10.
_COMMON_NAME, _ORGANIZATION = b"\x55\x04\x03", b"\x55\x04\x0a"
_UTF16 = 0x1E  # BMPString; the other string types in use are supersets of ASCII, or UTF-8


def issuer(der: bytes) -> str:
    """Return `Organization, Common Name` of the issuer, or those of the two that it has.

    Empty if `der` is not a certificate.
    """
    try:
        names = _names(_issuer_field(der))
    except (ValueError, IndexError):
        return ""
    return ", ".join(dict.fromkeys(names[oid] for oid in (_ORGANIZATION, _COMMON_NAME) if names.get(oid)))


def _issuer_field(der: bytes) -> bytes:
    (_, certificate), *_rest = _elements(der)
    (_, signed), *_rest = _elements(certificate)
    fields = [field for field in _elements(signed) if field[0] != _VERSION]
    return fields[2][1]  # serial number, signature algorithm, issuer


def _names(field: bytes) -> dict[bytes, str]:
    values: dict[bytes, str] = {}
    for tag, group in _elements(field):
        for inner, pair in _elements(group) if tag == _SET else ():
            parts = list(_elements(pair)) if inner == _SEQUENCE else []
            if len(parts) == 2 and parts[0][0] == _OID:
                kind, value = parts[1]
                values[parts[0][1]] = value.decode("utf-16-be" if kind == _UTF16 else "utf-8", "replace")
    return values


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element in a sequence.

    Raises ValueError or IndexError if the data is truncated.
    """
    offset = 0
    while offset < len(data):
        tag, length, start = data[offset], data[offset + 1], offset + 2
        if length & 0x80:
            size = length & 0x7F
            length, start = int.from_bytes(data[start : start + size], "big"), start + size
        if not 0 <= length <= len(data) - start:
            raise ValueError("an element is longer than the data that contains it")
        yield tag, data[start : start + length]
        offset = start + length
