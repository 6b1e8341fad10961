"""Copies of directories of the repository over a node's root."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def install(source: Path, root: Path) -> None:
    """Copy the content of `source` over `root`: links stay links, and the owner is root.

    Modes are 0755 and 0644, whatever the checkout has.
    """
    for directory, directories, files in os.walk(source):
        target = root / Path(directory).relative_to(source)
        target.mkdir(mode=0o755, exist_ok=True)
        for name in [*files, *(name for name in directories if (Path(directory) / name).is_symlink())]:
            place(Path(directory) / name, target / name)


def place(source: Path, target: Path) -> None:
    """Copy one file or link, as `install` does."""
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target, follow_symlinks=False)
    if not source.is_symlink():
        target.chmod(0o755 if os.access(source, os.X_OK) and source.stat().st_mode & 0o111 else 0o644)
