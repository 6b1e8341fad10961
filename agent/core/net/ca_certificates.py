"""The operator's CA certificates, with which programs verify a proxy that inspects TLS."""

from __future__ import annotations

from collections.abc import Sequence

from agent.core.record import field, record


@record
class CaCertificates:
    """The operator's CA certificates as one file of the trust store.

    `summaries` has one readable line for each certificate.  `not_after` is their `next_expiry`, in
    seconds since 1970.
    """

    path: str
    pem: bytes = field(repr=False)
    summaries: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    not_after: int | None = None


def next_expiry(expiries: Sequence[float], now: float) -> float:
    """Return the first expiry after `now`; the last one if all of them have passed.

    All values are in seconds since 1970; `expiries` has at least one.  A certificate that has
    expired is a warning of its own.  Here it would hide the expiry of those that are in use: a
    bundle of a company often keeps an old one.
    """
    return min((expiry for expiry in expiries if expiry > now), default=max(expiries))
