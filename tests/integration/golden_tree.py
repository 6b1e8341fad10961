"""Trees of files in git, which keeps neither modes nor empty folders: a manifest beside each tree has these and the links.

`python tests/integration/golden_tree.py ROOT FOLDER` stores a tree; `unpack` makes one of it again.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from pathlib import Path


def store(root: Path, folder: Path) -> None:
    """Keep the files below `root` in `folder`/files, and all else in `folder`/manifest.json."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "files").mkdir(parents=True)
    manifest: dict[str, dict[str, str]] = {"folders": {}, "files": {}, "links": {}}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        mode = f"{stat.S_IMODE(path.lstat().st_mode):04o}"
        if path.is_symlink():
            manifest["links"][name] = os.readlink(path)
        elif path.is_dir():
            manifest["folders"][name] = mode
        else:
            manifest["files"][name] = mode
            (folder / "files" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "files" / name).write_bytes(path.read_bytes())
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def unpack(folder: Path, root: Path) -> None:
    """Make the tree that `store` kept; `root` does not exist yet."""
    manifest = json.loads((folder / "manifest.json").read_text())
    root.mkdir()
    for name, mode in sorted(manifest["folders"].items()):
        (root / name).mkdir()
        (root / name).chmod(int(mode, 8))
    for name, mode in manifest["files"].items():
        (root / name).write_bytes((folder / "files" / name).read_bytes())
        (root / name).chmod(int(mode, 8))
    for name, target in manifest["links"].items():
        (root / name).symlink_to(target)


if __name__ == "__main__":
    store(Path(sys.argv[1]), Path(sys.argv[2]))
