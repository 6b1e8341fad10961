"""The tree that --root names; what a command needs that only reads a file or two."""

from __future__ import annotations

import argparse
import os

from agent.edges.files import FileSystem
from agent.errors import UsageError


def files_of(arguments: argparse.Namespace) -> FileSystem:
    """The files below --root; raises UsageError when that is no folder."""
    if not os.path.isdir(arguments.root):
        raise UsageError(f"--root {arguments.root}: is no folder")
    return FileSystem(arguments.root)
