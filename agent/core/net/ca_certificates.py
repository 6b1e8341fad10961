"""The owner's CA certificates, by which programs know a proxy that looks into TLS."""

from __future__ import annotations

import attrs


@attrs.frozen
class CaCertificates:
    """The owner's CA certificates as a file of the trust store; `summaries` is a line about each, for people."""

    path: str
    pem: bytes = attrs.field(repr=False)
    summaries: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
