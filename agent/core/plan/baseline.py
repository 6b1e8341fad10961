"""The baseline: what the files were before the agent, so that revert can restore them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from agent.core.plan.files.kinds import KINDS, kind_of
from agent.core.plan.files.managed_file import Effect, ManagedFile
from agent.core.record import evolve, field, record

#: A name of a unit, as systemd.unit(5) allows it; systemctl would take more, such as paths.
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,254}")


@record
class Attributes:
    """Owner, group and extended attributes of a file; ACLs and SELinux labels are such too."""

    owner: int
    group: int
    extended: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)


@record
class FileState:
    """Current state of a file.

    `content`: None if it does not exist.  `problem`: why an existing file cannot be used.
    `attributes`: None if they are unknown; two states with other attributes are equal.
    `is_foreign`: neither root nor this user owns it.
    """

    content: bytes | None = field(default=None, repr=False)
    mode: int = 0o644
    problem: str = ""
    attributes: Attributes | None = field(default=None, eq=False, repr=False)
    is_foreign: bool = field(default=False, eq=False)


@record
class Record:
    """The baseline of one file.

    `before`: its content without the agent, None for no file; edits by others are added to it.
    `written`: digests of what the agent wrote last.  `attributes`: with `mode` those of the
    original; None in the record of an earlier version.
    """

    kind: str
    before: bytes | None = field(default=None, repr=False)
    mode: int = 0o644
    written: tuple[str, ...] = ()
    attributes: Attributes | None = field(default=None, repr=False)

    @property
    def file(self) -> type[ManagedFile]:
        """The class that can restore it."""
        return KINDS[self.kind]


@record
class Baseline:
    """State that revert restores, for the whole machine.

    `files`: a Record for each resolved path.  `directories`: those that the agent created.
    `enabled`: units that the agent enabled.  `baked`: the drop-ins belong to the image, and stay on
    an instance without a proxy.
    """

    files: Mapping[str, Record] = field(factory=dict)
    directories: tuple[str, ...] = ()
    enabled: tuple[str, ...] = ()
    baked: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Baseline:
        """Return the baseline from the JSON of `to_json`.

        Raises ValueError for anything else, also for a path that could lead out of the tree.
        """
        try:
            return cls(
                files={plain_path(path): _record(path, record) for path, record in data["files"].items()},
                directories=tuple(map(plain_path, _list(data["folders"]))),
                enabled=tuple(map(_unit, _list(data["enabled"]))),
                baked=bool(data["baked"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"baseline: {error!r}") from None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON that `from_json` reads.  The originals may hold a password."""
        return {
            "files": {path: _plain(record) for path, record in sorted(self.files.items())},
            "folders": list(self.directories),
            "enabled": list(self.enabled),
            "baked": self.baked,
        }


def forget_instance(baseline: Baseline, failed: frozenset[str] = frozenset()) -> Baseline:
    """Return the baseline of a cleaned image: only the drop-ins and the CA.

    The original content of the other files must not come back on another instance.  `failed`: paths
    that could not be cleaned, whose records stay.
    """
    kept = {
        path: record
        for path, record in baseline.files.items()
        if path in failed or (record.before is None and record.file.effect is not Effect.NONE)
    }
    return evolve(baseline, files=kept)


def plain_path(path: Any) -> str:
    """Return a path of a state file that is absolute and has no `..` in it.

    The agent writes only such paths.  Raises ValueError for any other: it could lead out of the
    tree of an image.
    """
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise ValueError("not an absolute path")
    if any(part in ("", ".", "..") for part in path[1:].split("/")):
        raise ValueError("not a plain path")
    return path


def _unit(name: Any) -> str:
    if not isinstance(name, str) or not _UNIT.fullmatch(name):
        raise ValueError("not the name of a unit")
    return name


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("expected a list")
    return value


def _plain(record: Record) -> dict[str, Any]:
    data: dict[str, Any] = {
        "kind": record.kind,
        "before": None if record.before is None else _encoded(record.before),
        "mode": record.mode,
        "written": list(record.written),
    }
    if record.attributes:
        extended = {name: _encoded(value) for name, value in record.attributes.extended}
        data["attributes"] = {"owner": record.attributes.owner, "group": record.attributes.group, "extended": extended}
    return data


def _record(path: str, data: Mapping[str, Any]) -> Record:
    attributes = data.get("attributes")
    return Record(
        kind=kind_of(str(data["kind"]), path),
        before=None if data["before"] is None else _decoded(data["before"]),
        mode=_number(data["mode"], 0o7777),
        written=tuple(map(str, _list(data["written"]))),
        attributes=None if attributes is None else _attributes(attributes),
    )


def _attributes(data: Mapping[str, Any]) -> Attributes:
    extended = tuple((str(name), _decoded(value)) for name, value in data["extended"].items())
    if any("\0" in name for name, _ in extended):
        raise ValueError("NUL in a name")
    return Attributes(_number(data["owner"], 2**32 - 2), _number(data["group"], 2**32 - 2), extended)


def _number(value: Any, largest: int) -> int:
    if type(value) is not int or not 0 <= value <= largest:
        raise ValueError(f"not a number from 0 to {largest}")
    return value


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _decoded(text: Any) -> bytes:
    if not isinstance(text, str):
        raise TypeError("expected base64")
    return base64.b64decode(text, validate=True)
