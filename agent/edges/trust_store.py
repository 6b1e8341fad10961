"""The distribution's trust store: a folder for certificates of one's own, and a tool that takes them in."""

from __future__ import annotations

import os

from agent.edges import command
from agent.edges.files import FileSystem

#: Folder, name of our file there, the tool.  Amazon Linux and EL (update-ca-trust(8)), Debian (update-ca-certificates(8)).
_STORES: tuple[tuple[str, str, str], ...] = (
    ("/etc/pki/ca-trust/source/anchors", "eks-proxy-agent.pem", "update-ca-trust"),
    ("/usr/local/share/ca-certificates", "eks-proxy-agent.crt", "update-ca-certificates"),
)


def ca_path(files: FileSystem) -> str | None:
    """Where our certificates go on this node; None when it has no trust store that we know."""
    return next((f"{folder}/{name}" for folder, name, _ in _STORES if os.path.isdir(files.real(folder))), None)


def update(files: FileSystem) -> None:
    """Take in what is in the folder; raises CommandError."""
    for folder, _, tool in _STORES:
        if os.path.isdir(files.real(folder)):
            command.run([tool], timeout=120)
            return
