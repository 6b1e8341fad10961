"""The distribution's trust store: a directory for certificates of one's own, and a tool that takes them in."""

from __future__ import annotations

import os

from agent.edges import command
from agent.edges.files import FileSystem

#: Directory, name of our file there, the tool.  Amazon Linux and EL (update-ca-trust(8)), Debian
#: (update-ca-certificates(8)).
_STORES: tuple[tuple[str, str, str], ...] = (
    ("/etc/pki/ca-trust/source/anchors", "eks-proxy-agent.pem", "update-ca-trust"),
    ("/usr/local/share/ca-certificates", "eks-proxy-agent.crt", "update-ca-certificates"),
)


def ca_path(files: FileSystem) -> str | None:
    """Where our certificates go on this node; None when it has no trust store that we know."""
    return next((f"{directory}/{name}" for directory, name, _ in _STORES if os.path.isdir(files.real(directory))), None)


def update(files: FileSystem) -> None:
    """Take in what is in the directory; raises CommandError."""
    for directory, _, tool in _STORES:
        if os.path.isdir(files.real(directory)):
            command.run([tool], timeout=120)
            return
