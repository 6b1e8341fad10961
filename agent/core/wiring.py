"""How systemd has wired a unit: what it loaded, which may differ from what is on disk.  Pure."""

from __future__ import annotations

import re

import attrs

#: What is asked of `systemctl show`.
PROPERTIES = (
    "Id,LoadState,UnitFileState,ActiveState,SubState,MainPID,NeedDaemonReload,DropInPaths,EnvironmentFiles,"
    "UnsetEnvironment,Before,ExecMainStartTimestampMonotonic"
)


@attrs.frozen
class Wiring:
    """`environment_files` in the order in which they are read: the later wins.

    `since`: when its process began, in seconds of CLOCK_MONOTONIC.
    """

    name: str
    exists: bool = True
    enabled: str = "enabled"
    active: str = "active"
    main_pid: int = 0
    needs_reload: bool = False
    drop_ins: tuple[str, ...] = ()
    environment_files: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    since: float = 0.0


def parse_wiring(name: str, block: str) -> Wiring:
    """Read what `systemctl show` says of one unit; a property may come several times, one line for each value.

    systemd 219 calls the property of the files EnvironmentFile, later ones EnvironmentFiles.
    """
    found: dict[str, list[str]] = {}
    for line in block.splitlines():
        key, _, value = line.partition("=")
        found.setdefault(key, []).append(value)

    def words(key: str) -> tuple[str, ...]:
        return tuple(" ".join(found.get(key, ())).split())

    def word(key: str) -> str:
        return found.get(key, [""])[0]

    began = word("ExecMainStartTimestampMonotonic")
    files = found.get("EnvironmentFiles", []) + found.get("EnvironmentFile", [])
    return Wiring(
        name=name,
        exists=word("LoadState") == "loaded",
        enabled=word("UnitFileState"),
        active=word("ActiveState"),
        main_pid=int(word("MainPID")) if word("MainPID").isdigit() else 0,
        needs_reload=word("NeedDaemonReload") == "yes",
        drop_ins=words("DropInPaths"),
        environment_files=tuple(re.sub(r" \(ignore_errors=(yes|no)\)$", "", file) for file in files if file),
        unset=words("UnsetEnvironment"),
        before=words("Before"),
        since=int(began) / 1e6 if began.isdigit() else 0.0,
    )
