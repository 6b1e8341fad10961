"""The drop-ins of systemd units.

Their text depends on the unit alone, so a baked image needs no daemon-reload at boot.
"""

from __future__ import annotations

import re
from typing import ClassVar

from agent.core.plan.files.environment import ENVIRONMENT, NODE_ENV
from agent.core.plan.files.managed_file import Effect, ManagedFile
from agent.core.record import field, record
from agent.core.settings.unit_table import reads_etc_environment, unset_names
from agent.core.systemd import AGENT

DIRECTORY = "/etc/systemd/system/"
#: The units that failure.policy = "closed" holds back.  A gate on others would lock operators out
#: of the node.
GATED_UNITS = ("docker.service", "containerd.service", "kubelet.service")

_AFTER = "After=" + AGENT
_HEAD = """\
# Written by eks-proxy-agent, which overwrites edits.  To undo: eks-proxy-agent revert.
"""


@record
class Dropin(ManagedFile):
    """A drop-in of a unit, with the file name `name`."""

    kind = "drop-in"
    effect = Effect.DAEMON_RELOAD
    name: ClassVar[str]

    unit: str
    path: str = field()

    @path.default
    def _path(self) -> str:
        return self.path_of(self.unit)

    @classmethod
    def path_of(cls, unit: str) -> str:
        """Return the path of this drop-in for a unit."""
        return f"{DIRECTORY}{unit}.d/{cls.name}"


@record
class EnvironmentDropin(Dropin):
    """The drop-in that gives a unit the proxy variables.

    `waits`: the unit starts after the agent, although Before= of the agent's unit does not name it.

    systemd reads the drop-ins of a unit in the order of their names, from whatever directory.  The
    name comes after `http-proxy.conf` and `proxy.conf`, which others leave.
    """

    name = "zz-eks-proxy.conf"

    waits: bool = field(default=False, kw_only=True)

    def merge(self, current: bytes | None) -> bytes | None:
        """Return the constant text for this unit; see unit_table.py for the reasons."""
        order = f"[Unit]\n# Added by the operator: it waits for READY=1.\n{_AFTER}\n\n" if self.waits else ""
        lines = [_HEAD + order + "[Service]"]
        lines += ["# The minus: a missing file must not keep the unit from starting.  The later file wins."]
        lines += [f"EnvironmentFile=-{ENVIRONMENT}"] if reads_etc_environment(self.unit) else []
        lines += [f"EnvironmentFile=-{NODE_ENV}"]
        unset = unset_names(self.unit)
        if unset:
            lines += ["# Its plain http is for the metadata service, which no proxy reaches."]
            lines += ["UnsetEnvironment=" + " ".join(unset)]
        return ("\n".join(lines) + "\n").encode("ascii")

    @staticmethod
    def lets_wait(content: bytes | None) -> bool:
        """Return True if a drop-in makes its unit wait for the agent."""
        return _AFTER.encode("ascii") in (content or b"").splitlines()

    @classmethod
    def unit_of(cls, path: str) -> str | None:
        """Return the unit whose drop-in `path` is, by either name; None for other paths."""
        match = re.fullmatch(f"{re.escape(DIRECTORY)}([^/]+)[.]d/(?:{cls.name}|{FormerDropin.name})", path)
        return match.group(1) if match else None


class FormerDropin(Dropin):
    """The drop-in by the name that earlier versions gave it, which is to be removed."""

    name = "90-eks-proxy.conf"

    def merge(self, current: bytes | None) -> bytes | None:
        return None


class ClosedGate(Dropin):
    """The gate of failure.policy = "closed": no start of the unit before the node is configured."""

    name = "91-eks-proxy-closed.conf"
    text = f"""\
{_HEAD}[Unit]
# failure.policy = "closed": no start before the node is configured.  It blocks the start only; what runs stays.
AssertPathExists=/run/eks-proxy-agent/ready
"""

    def merge(self, current: bytes | None) -> bytes | None:
        return self.text.encode("ascii")
