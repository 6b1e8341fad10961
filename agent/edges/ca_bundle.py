"""The owner's CA certificates: read with OpenSSL, which the standard library brings."""

from __future__ import annotations

import re
import ssl
import time

import attrs

_BEGIN = "-----BEGIN "
_PRIVATE_KEY = re.compile(_BEGIN + "[A-Z0-9 ]*PRIVATE KEY")
#: Looks no further than to the next beginning: a file of beginnings alone would take hours.
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\r?\n(?:(?!-----BEGIN ).)*?-----END \1-----", re.DOTALL)


@attrs.frozen
class Bundle:
    """Checked CA certificates: `pem` holds nothing else; one line about each; what to warn of."""

    pem: bytes
    summaries: tuple[str, ...]
    warnings: tuple[str, ...]


def read_bundle(text: str) -> Bundle:
    """Check a PEM bundle; raises ValueError for a private key, for what is no certificate, or half one, or no CA's."""
    if _PRIVATE_KEY.search(text):
        raise ValueError("contains a private key; remove it, a node needs only certificates")
    blocks = list(_BLOCK.finditer(text))
    if text.count(_BEGIN) != len(blocks):
        raise ValueError(f"truncated: a {_BEGIN}... line has no matching -----END line")
    if not blocks or any(block.group(1) != "CERTIFICATE" for block in blocks):
        raise ValueError("expected PEM certificates (-----BEGIN CERTIFICATE-----) and nothing else")
    found: list[str] = []
    warnings: list[str] = []
    for number, block in enumerate(blocks, 1):
        name, ends = _certificate(number, block.group(0))
        day = time.strftime("%Y-%m-%d", time.gmtime(ends))
        found.append(f"{name}, CA, valid until {day}")
        if ends < time.time():
            warnings.append(f"certificate {number} ({name}) expired on {day}")
    pem = "".join(block.group(0).replace("\r\n", "\n") + "\n" for block in blocks)
    return Bundle(pem.encode("ascii"), tuple(found), tuple(warnings))


def _certificate(number: int, pem: str) -> tuple[str, float]:
    """Subject and end (seconds since 1970) of one CA certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, TypeError, ValueError) as error:  # TypeError: a character that is not ASCII
        raise ValueError(f"certificate {number}: cannot be parsed: {error}") from None
    authorities = context.get_ca_certs()
    if not authorities:
        raise ValueError(f"certificate {number}: not a CA certificate (basicConstraints)")
    subject = dict(pair for part in authorities[0].get("subject", ()) for pair in part)  # type: ignore[misc]
    ends = ssl.cert_time_to_seconds(str(authorities[0]["notAfter"]))
    name = str(subject.get("commonName") or subject.get("organizationName") or "no name")
    return "".join(char if char.isprintable() else "?" for char in name), ends
