"""Drop-ins that the published shell recipes left behind.

Their EnvironmentFile= has no minus, so docker does not start when /etc/environment is missing.
"""

from __future__ import annotations

from agent.core.plan.files.environment import ENVIRONMENT
from agent.core.plan.files.systemd_dropin import Dropin, EnvironmentDropin

#: The units for which a recipe writes a drop-in: that of docker, and that of containerd.
UNITS = ("docker.service", "kubelet.service", "containerd.service", "sandbox-image.service")
_LINES = [b"[Service]", b"EnvironmentFile=" + ENVIRONMENT.encode("ascii")]


class LegacyDropin(Dropin):
    """A recipe's drop-in of a unit, which is to be removed; the recipe of docker names it so."""

    name = "proxy.conf"

    def merge(self, current: bytes | None) -> bytes | None:
        """Return None for the recipe's own text, ignoring blanks.

        Any other text belongs to someone else and stays.
        """
        if current is not None and [line.strip() for line in current.splitlines() if line.strip()] == _LINES:
            return None
        return current

    def note(self, before: bytes) -> str:
        return f"{self.unit}.d: {self.name} of the shell recipe is removed; {EnvironmentDropin.name} replaces it"


class LegacyHttpDropin(LegacyDropin):
    """The same drop-in, as the recipe of containerd names it."""

    name = "http-proxy.conf"


def legacy_dropins(unit: str, *, replaced_by: str = "") -> tuple[LegacyDropin, ...]:
    """Return the drop-ins that the recipes may have left for a unit."""
    return tuple(cls(unit, replaced_by=replaced_by) for cls in (LegacyDropin, LegacyHttpDropin) if unit in UNITS)
