"""A network of its own, with its own metadata address; nothing in it leaves the machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .command import Argument, run

# 169.254.169.254 is the address that nodes use; the others are documentation addresses (RFC 5737).
METADATA = "169.254.169.254"
PROXY = "192.0.2.10"
REGISTRY = "192.0.2.20"
PACKAGES = "192.0.2.21"
SECURE = "192.0.2.22"


class Namespace:
    """A network namespace whose loopback, its only interface, has the addresses of the services."""

    def __init__(self, name: str) -> None:
        """Create it under /run/netns."""
        self.name = name
        self.path = Path("/run/netns") / name
        run(["ip", "netns", "add", name])
        run(["ip", "-n", name, "link", "set", "lo", "up"])
        for address in (METADATA, PROXY, REGISTRY, PACKAGES):
            self.add(address)

    def add(self, address: str) -> None:
        """Make an IPv4 address local; does nothing if it is already."""
        run(["ip", "-n", self.name, "address", "replace", f"{address}/32", "dev", "lo"])

    def inside(self, argv: Sequence[Argument]) -> list[Argument]:
        """Return the command that runs `argv` inside.

        `ip` replaces itself by it, so the process id is the command's own.
        """
        return ["ip", "netns", "exec", self.name, *argv]
