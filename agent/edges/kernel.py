"""Modes of the running kernel."""

from __future__ import annotations

FIPS = "/proc/sys/crypto/fips_enabled"


def is_fips() -> bool:
    """Return True in FIPS mode (kernel parameter fips=1); crypto libraries read the same file."""
    try:
        with open(FIPS, "rb") as file:
            return file.read(2).strip() == b"1"
    except OSError:  # a kernel without it, or a container
        return False
