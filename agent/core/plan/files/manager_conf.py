"""system.conf of systemd, from which `clean` removes a proxy."""

from __future__ import annotations

from agent.core.plan.elsewhere.manager import without_proxies
from agent.core.plan.files.managed_file import ManagedFile


class ManagerConf(ManagedFile):
    """system.conf or a file of system.conf.d without a proxy in DefaultEnvironment=."""

    kind = "whole"
    needed_by_units = False

    def merge(self, current: bytes | None) -> bytes | None:
        return None if current is None else without_proxies(current)
