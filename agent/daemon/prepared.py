"""What this node's last pass wanted of the units, so that the next boot's `prepare` need not ask the image alone.

An image may say failure.policy = "closed" and user data "open": without this, each boot would write the gates first and
take them back a second later, with two reloads of systemd.  It is a guess, for a machine known by its id: what is wrong in
it the pass puts right.
"""

from __future__ import annotations

from typing import Any

import attrs

from agent.core.settings.schema import Settings
from agent.node.apply import Host


def remember(host: Host, image: Settings, settings: Settings) -> None:
    """Keep what `prepare` works with, as long as it differs from what the image says.  Raises FileError."""
    wanted = {"machine": _machine_id(host), "image": _units(image), **_units(settings)}
    host.state.save_prepared(wanted if _units(settings) != _units(image) else None)


def recall(host: Host, image: Settings) -> Settings:
    """The image's settings with the units as this machine last wanted them, if it was of this image."""
    known = host.state.prepared()
    if not known or known.get("machine") != _machine_id(host) or known.get("image") != _units(image):
        return image
    try:
        return attrs.evolve(
            image,
            node=attrs.evolve(image.node, units=tuple(known["units"]), enable=tuple(known["enable"])),
            failure=attrs.evolve(image.failure, policy=str(known["policy"])),
        )
    except (KeyError, TypeError):
        return image  # of another version, or spoilt: the pass writes it anew


def _units(settings: Settings) -> dict[str, Any]:
    node = settings.node
    return {"units": list(node.units), "enable": list(node.enable), "policy": settings.failure.policy}


def _machine_id(host: Host) -> str:
    return (host.files.read("/etc/machine-id") or b"").decode("ascii", "replace").strip()
