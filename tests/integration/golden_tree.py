"""Trees of files in git, with a manifest of what git does not keep.

These are modes, empty directories and links. `python tests/integration/golden_tree.py ROOT
DIRECTORY` stores a tree; `unpack` restores it.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from pathlib import Path


def store(root: Path, directory: Path) -> None:
    """Write the files below `root` to `directory`/files, and the rest to its manifest.json."""
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "files").mkdir(parents=True)
    manifest: dict[str, dict[str, str]] = {"directories": {}, "files": {}, "links": {}}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        mode = f"{stat.S_IMODE(path.lstat().st_mode):04o}"
        if path.is_symlink():
            manifest["links"][name] = os.readlink(path)
        elif path.is_dir():
            manifest["directories"][name] = mode
        else:
            manifest["files"][name] = mode
            (directory / "files" / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / "files" / name).write_bytes(path.read_bytes())
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def unpack(directory: Path, root: Path) -> None:
    """Create the tree that `store` wrote; `root` must not exist yet."""
    manifest = json.loads((directory / "manifest.json").read_text())
    root.mkdir()
    for name, mode in sorted(manifest["directories"].items()):
        (root / name).mkdir()
        (root / name).chmod(int(mode, 8))
    for name, mode in manifest["files"].items():
        (root / name).write_bytes((directory / "files" / name).read_bytes())
        (root / name).chmod(int(mode, 8))
    for name, target in manifest["links"].items():
        (root / name).symlink_to(target)


if __name__ == "__main__":
    store(Path(sys.argv[1]), Path(sys.argv[2]))
