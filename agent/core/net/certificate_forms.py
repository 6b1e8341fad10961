"""Certificates in another form than PEM: the name of the form, and the command that converts it.

Source: openssl-x509(1), openssl-pkcs7(1), openssl-pkcs12(1); RFC 2315 for the object identifier.
"""

from __future__ import annotations

import base64
import re

_SIGNED_DATA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"  # 1.2.840.113549.1.7.2
_DATA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"  # 1.2.840.113549.1.7.1, in a PKCS#12 file
_SEQUENCE = 0x30
_BEGIN = re.compile(rb"-----BEGIN (PKCS7|CMS)-----")
#: What a certificate in base64 may have around and between its characters: a line end may be lost,
#: or be a blank, or a backslash and an n.
_AROUND = re.compile(rb"-----(?:BEGIN|END) CERTIFICATE-----|\\n|\s")
_LINE_END = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n")


def conversion(content: bytes, source: str, target: str) -> str:
    """Return the form of a file that is not PEM, and the command that converts it; else "".

    `source` and `target` are the paths for the command, quoted for a shell.
    """
    form = _BEGIN.search(content)
    if form:
        return f"PKCS#7, not PEM certificates; convert it: openssl pkcs7 -print_certs -in {source} -out {target}"
    if content[:1] == bytes([_SEQUENCE]) and content[1:2] >= b"\x80":  # no text has such a byte there
        return _binary(content, source, target)
    if _LINE_END.search(content) or not _is_der(_AROUND.sub(b"", content)):
        return ""
    cut = rf"sed 's/-----[^-]*-----//g;s/\\n//g' {source} | tr -d ' \r\n'"
    decode = f"{cut} | openssl base64 -d -A | openssl x509 -inform der -out {target}"
    return f"a certificate without its line ends, not PEM; restore them: {decode}"


def _binary(content: bytes, source: str, target: str) -> str:
    if _SIGNED_DATA in content[:30]:
        command = f"openssl pkcs7 -inform der -print_certs -in {source} -out {target}"
        return f"PKCS#7 in DER, not PEM certificates; convert it: {command}"
    if _DATA in content[:40]:
        command = f"openssl pkcs12 -nokeys -cacerts -in {source} -out {target}"
        return f"PKCS#12, not PEM certificates; take the CA out of it: {command}"
    return f"DER, not PEM; convert it: openssl x509 -inform der -in {source} -out {target}"


def _is_der(text: bytes) -> bool:
    """Return True for base64 of an ASN.1 sequence."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return data[:1] == bytes([_SEQUENCE])
