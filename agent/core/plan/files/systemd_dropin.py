"""systemd drop-ins.  Their text does not depend on the instance: a baked image needs no daemon-reload at boot."""

from __future__ import annotations

import re

#: The units that failure.policy = "closed" holds back; gating others would lock people out of the node.
GATED_UNITS = ("docker.service", "containerd.service", "kubelet.service")

_HEAD = """\
# Written by eks-proxy-agent, which overwrites edits.  To undo: eks-proxy-agent revert.
"""

_ENVIRONMENT = (
    _HEAD
    + """\
[Service]
# The minus: a missing file must not keep the unit from starting.  The later file wins.
EnvironmentFile=-/etc/environment
EnvironmentFile=-/etc/eks-proxy-agent/node.env
"""
)

_CLOSED = (
    _HEAD
    + """\
[Unit]
# failure.policy = "closed": no start before the node is configured.  It blocks the start only; what runs stays.
AssertPathExists=/run/eks-proxy-agent/ready
"""
)


def environment_path(unit: str) -> str:
    return f"/etc/systemd/system/{unit}.d/90-eks-proxy.conf"


def unit_of(path: str) -> str | None:
    """The unit of which `path` is the drop-in with the environment; None for other paths."""
    match = re.fullmatch(re.escape(environment_path("UNIT")).replace("UNIT", "([^/]+)"), path)
    return match.group(1) if match else None


def closed_path(unit: str) -> str:
    return f"/etc/systemd/system/{unit}.d/91-eks-proxy-closed.conf"


def environment_text() -> bytes:
    return _ENVIRONMENT.encode("ascii")


def closed_text() -> bytes:
    return _CLOSED.encode("ascii")
