"""The kinds of files in the baseline: revert finds the class of a file by the name of its kind."""

from __future__ import annotations

from agent.core.plan.files.ca_anchor import CaAnchor
from agent.core.plan.files.environment import EnvironmentFile
from agent.core.plan.files.managed_file import ManagedFile, WholeFile
from agent.core.plan.files.systemd_dropin import DIRECTORY, Dropin
from agent.core.plan.files.yum_conf import YumConf

_CLASSES: tuple[type[ManagedFile], ...] = (WholeFile, EnvironmentFile, YumConf, Dropin, CaAnchor)
#: Another class needs a place here only if its `restore` or its `effect` differs from these.
KINDS = {file.kind: file for file in _CLASSES}


def kind_of(name: str, path: str) -> str:
    """Return the kind for the name in a baseline.

    Version 0.1.0 recognized drop-ins and CA by their paths, and called them whole files.  Raises
    ValueError for a kind that this version cannot revert.
    """
    if name == WholeFile.kind and path.startswith(DIRECTORY):
        return Dropin.kind
    if name == WholeFile.kind and path.endswith(("/eks-proxy-agent.pem", "/eks-proxy-agent.crt")):
        return CaAnchor.kind
    if name not in KINDS:
        raise ValueError(f"unknown kind of file: {name!r}")
    return name
