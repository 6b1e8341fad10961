"""The operator's CA certificates, with which programs verify a proxy that inspects TLS."""

from __future__ import annotations

from agent.core.record import field, record


@record
class CaCertificates:
    """The operator's CA certificates as one file of the trust store.

    `summaries` has one readable line for each certificate.  `not_after` is when the first of them
    expires, in seconds since 1970.
    """

    path: str
    pem: bytes = field(repr=False)
    summaries: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    not_after: int | None = None
