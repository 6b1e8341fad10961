"""The operator's CA certificates, parsed with OpenSSL of the standard library."""

from __future__ import annotations

import re
import ssl
import time

from agent.core.net.ca_certificates import next_expiry
from agent.core.record import record

_BEGIN = "-----BEGIN "
_PRIVATE_KEY = re.compile(_BEGIN + "[A-Z0-9 ]*PRIVATE KEY")
#: Stops at the next BEGIN line: otherwise a file of BEGIN lines alone would take hours.
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\r?\n(?:(?!-----BEGIN ).)*?-----END \1-----", re.DOTALL)


@record
class Bundle:
    """Validated CA certificates.

    `pem`: the certificates and nothing else.  `summaries`: one line for each.  `warnings`: expired
    certificates.  `not_after`: their `next_expiry`, in seconds since 1970.
    """

    pem: bytes
    summaries: tuple[str, ...]
    warnings: tuple[str, ...]
    not_after: int


def read_bundle(text: str) -> Bundle:
    """Return the validated certificates of a PEM bundle.

    Raises ValueError for a private key, a truncated certificate, a certificate that is not a CA, or
    other content.
    """
    if _PRIVATE_KEY.search(text):
        raise ValueError("contains a private key; remove it, a node needs only certificates")
    blocks = list(_BLOCK.finditer(text))
    if text.count(_BEGIN) != len(blocks):
        raise ValueError(f"truncated: a {_BEGIN}... line has no matching -----END line")
    if not blocks or any(block.group(1) != "CERTIFICATE" for block in blocks):
        raise ValueError("expected PEM certificates (-----BEGIN CERTIFICATE-----) and nothing else")
    now = time.time()
    summaries: list[str] = []
    warnings: list[str] = []
    expiries: list[float] = []
    for number, block in enumerate(blocks, 1):
        name, not_after = _certificate(number, block.group(0))
        expiries.append(not_after)
        day = time.strftime("%Y-%m-%d", time.gmtime(not_after))
        summaries.append(f"{name}, CA, valid until {day}")
        if not_after <= now:
            warnings.append(f"certificate {number} ({name}) expired on {day}")
    pem = "".join(block.group(0).replace("\r\n", "\n") + "\n" for block in blocks)
    return Bundle(pem.encode("ascii"), tuple(summaries), tuple(warnings), int(next_expiry(expiries, now)))


def _certificate(number: int, pem: str) -> tuple[str, float]:
    """Return name and expiry (seconds since 1970) of one CA certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, TypeError, ValueError) as error:  # TypeError: a character that is not ASCII
        raise ValueError(f"certificate {number}: cannot be parsed: {error}") from None
    authorities = context.get_ca_certs()
    if not authorities:
        raise ValueError(f"certificate {number}: not a CA certificate (basicConstraints)")
    subject = dict(pair for part in authorities[0].get("subject", ()) for pair in part)  # type: ignore[misc]
    not_after = ssl.cert_time_to_seconds(str(authorities[0]["notAfter"]))
    name = str(subject.get("commonName") or subject.get("organizationName") or "no name")
    return "".join(char if char.isprintable() else "?" for char in name), not_after
