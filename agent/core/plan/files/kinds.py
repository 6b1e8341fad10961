"""The kinds of files that the baseline knows: by these names revert finds how to take a file back."""

from __future__ import annotations

from agent.core.plan.files.ca_anchor import CaAnchor
from agent.core.plan.files.environment import EnvironmentFile
from agent.core.plan.files.managed_file import ManagedFile, WholeFile
from agent.core.plan.files.systemd_dropin import DIRECTORY, Dropin
from agent.core.plan.files.yum_conf import YumConf

_CLASSES: tuple[type[ManagedFile], ...] = (WholeFile, EnvironmentFile, YumConf, Dropin, CaAnchor)
#: A file of another class needs a place here only if it is taken back otherwise, or has another
#: effect.
KINDS = {file.kind: file for file in _CLASSES}


def kind_of(name: str, path: str) -> str:
    """Give the kind that a baseline calls `name`; raises ValueError for one that this version cannot take back.

    Version 0.1.0 knew drop-ins and CA by their paths, and called them whole files.
    """
    if name == WholeFile.kind and path.startswith(DIRECTORY):
        return Dropin.kind
    if name == WholeFile.kind and path.endswith(("/eks-proxy-agent.pem", "/eks-proxy-agent.crt")):
        return CaAnchor.kind
    if name not in KINDS:
        raise ValueError(f"unknown kind of file: {name!r}")
    return name
