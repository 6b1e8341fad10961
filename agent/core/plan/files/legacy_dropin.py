"""What the shell recipe left behind: drop-ins without the minus, which stop docker when /etc/environment is missing."""

from __future__ import annotations

#: The units that the recipe gives a drop-in.
UNITS = ("docker.service", "kubelet.service")
_LINES = [b"[Service]", b"EnvironmentFile=/etc/environment"]


def path(unit: str) -> str:
    return f"/etc/systemd/system/{unit}.d/proxy.conf"


def without(current: bytes | None) -> bytes | None:
    """None for the recipe's own text, blanks aside; anything else is somebody's and stays."""
    if current is not None and [line.strip() for line in current.splitlines() if line.strip()] == _LINES:
        return None
    return current


def leftovers(before: bytes, unit: str) -> str:
    """What to say of a drop-in that `without` removes."""
    return f"proxy.conf of the shell recipe is removed from {unit}.d: 90-eks-proxy.conf does its work"
