"""What the shell recipe left behind: drop-ins without the minus, which stop docker when /etc/environment is missing."""

from __future__ import annotations

from typing import Optional

DROP_INS = (
    "/etc/systemd/system/docker.service.d/proxy.conf",
    "/etc/systemd/system/kubelet.service.d/proxy.conf",
)
_LINES = [b"[Service]", b"EnvironmentFile=/etc/environment"]


def without(current: Optional[bytes]) -> Optional[bytes]:
    """None for the recipe's own text, blanks aside; anything else is somebody's and stays."""
    if current is not None and [line.strip() for line in current.splitlines() if line.strip()] == _LINES:
        return None
    return current


def leftovers(before: bytes) -> str:
    """What to say of a drop-in that `without` removes."""
    return "a drop-in of the shell recipe is removed: 90-eks-proxy.conf does its work"
