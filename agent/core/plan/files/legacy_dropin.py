"""Drop-ins that the shell recipe left behind.

Their EnvironmentFile= has no minus, so docker does not start when /etc/environment is missing.
"""

from __future__ import annotations

from agent.core.plan.files.environment import ENVIRONMENT
from agent.core.plan.files.systemd_dropin import Dropin

#: The units for which the recipe writes a drop-in.
UNITS = ("docker.service", "kubelet.service")
_LINES = [b"[Service]", b"EnvironmentFile=" + ENVIRONMENT.encode("ascii")]


class LegacyDropin(Dropin):
    """The recipe's drop-in of a unit, which is to be removed."""

    name = "proxy.conf"

    def merge(self, current: bytes | None) -> bytes | None:
        """Return None for the recipe's own text, ignoring blanks.

        Any other text belongs to someone else and stays.
        """
        if current is not None and [line.strip() for line in current.splitlines() if line.strip()] == _LINES:
            return None
        return current

    def note(self, before: bytes) -> str:
        return f"{self.unit}.d: proxy.conf of the shell recipe is removed; 90-eks-proxy.conf replaces it"
