"""The distribution's trust store: a directory for local certificates and a tool that adds them."""

from __future__ import annotations

from agent.edges import command
from agent.edges.files import FileSystem

#: Directory, name of the agent's file in it, tool: for Amazon Linux and EL (update-ca-trust(8)),
#: and for Debian (update-ca-certificates(8)).
_STORES: tuple[tuple[str, str, str], ...] = (
    ("/etc/pki/ca-trust/source/anchors", "eks-proxy-agent.pem", "update-ca-trust"),
    ("/usr/local/share/ca-certificates", "eks-proxy-agent.crt", "update-ca-certificates"),
)


def ca_path(files: FileSystem) -> str | None:
    """Return the path of the agent's certificates; None without a supported trust store.

    Raises FileError.
    """
    return next((f"{directory}/{name}" for directory, name, _ in _STORES if files.is_directory(directory)), None)


def update(files: FileSystem) -> None:
    """Rebuild the trust store from its directory.  Raises CommandError and FileError."""
    for directory, _, tool in _STORES:
        if files.is_directory(directory):
            command.run([tool], timeout=120)
            return
