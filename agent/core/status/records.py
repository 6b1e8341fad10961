"""The nested objects of status.json.

Each `from_json` raises KeyError, TypeError or ValueError for invalid data, and ignores unknown
keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from agent.core.net.proxy_url import ProxyUrl, parse_proxy_url
from agent.core.plan.baseline import plain_path
from agent.core.status.timestamps import format_timestamp, parse_timestamp

T = TypeVar("T")
#: The name of the metrics file, in whichever directory: no other file is ever removed for it.
METRICS_FILE = "eks_proxy_agent.prom"
#: The agent's own state is flat.
_MAX_DEPTH = 16


class ProxyPair(NamedTuple):
    """The proxy in use, for http:// and for https:// URLs."""

    http: ProxyUrl
    https: ProxyUrl

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProxyPair:
        return cls(parse_proxy_url(data["http"]), parse_proxy_url(data["https"]))

    def to_json(self) -> dict[str, Any]:
        return {"http": str(self.http), "https": str(self.https)}


class ProxyStatus(NamedTuple):
    """One proxy of proxy.url at its last health check.

    `up`: None without a health check.  `latency_seconds` in seconds, `since` in seconds since 1970.
    """

    url: str
    up: bool | None
    latency_seconds: float | None
    chosen: bool
    since: int | None
    text: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProxyStatus:
        return cls(
            url=required(data, "url", str),
            up=optional(data, "up", bool),
            latency_seconds=_number(data, "latency_seconds"),
            chosen=bool(data.get("chosen")),
            since=parse_timestamp(data.get("since")),
            text=optional(data, "text", str) or "",
        )

    def to_json(self) -> dict[str, Any]:
        return {**self._asdict(), "since": timestamp(self.since)}


class PreflightStatus(NamedTuple):
    """The result of the preflight.

    `ok`: the proxy opened a connection.  `kind`, `text`, `hint`: the reason for a failure and its
    remedy.  `at`: seconds since 1970.
    """

    ok: bool
    kind: str
    text: str
    hint: str
    proxy: str | None
    at: int | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PreflightStatus:
        return cls(
            ok=required(data, "ok", bool),
            kind=required(data, "kind", str),
            text=required(data, "text", str),
            hint=optional(data, "hint", str) or "",
            proxy=optional(data, "proxy", str),
            at=parse_timestamp(data.get("at")),
        )

    def to_json(self) -> dict[str, Any]:
        return without_none({**self._asdict(), "at": timestamp(self.at)})


class RepairsStatus(NamedTuple):
    """The number of files repaired since power-on, and the contested files."""

    total: int
    fought: tuple[str, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RepairsStatus:
        return cls(required(data, "total", int), texts(data, "fought"))

    def to_json(self) -> dict[str, Any]:
        return {"total": self.total, "fought": list(self.fought)}


class MetricsStatus(NamedTuple):
    """Places of the metrics.

    `paths`: the files for collectors.  `error`: why they could not be written.  `reason`: why there
    is no path.  `copy`: the file in /run, None if the metrics are off.
    """

    paths: tuple[str, ...] = ()
    error: str | None = None
    reason: str | None = None
    copy: str | None = None

    @property
    def path(self) -> str | None:
        """Return the first path; None without any."""
        return self.paths[0] if self.paths else None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MetricsStatus:
        first = optional(data, "path", str)  # all that version 0.1 wrote
        paths = texts(data, "paths") if "paths" in data else (first,) if first is not None else ()
        if not all(plain_path(path).endswith("/" + METRICS_FILE) for path in (*paths, first) if path is not None):
            raise ValueError(f"metrics: path: not a {METRICS_FILE}")
        return cls(paths, optional(data, "error", str), optional(data, "reason", str), optional(data, "copy", str))

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, **self._asdict(), "paths": list(self.paths)}


class BootstrapStatus(NamedTuple):
    """The result of bootstrap.sh, or of the wait for kubelet, on this instance.

    `exit_code`: None if it has not finished.  `time`: seconds since 1970.  `refused`: the error
    with which CloudFormation refused the signal for good.
    """

    exit_code: int | None
    signalled: bool
    time: int | None
    refused: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BootstrapStatus:
        exit_code, signalled = optional(data, "exit_code", int), bool(data.get("signalled"))
        refused = optional(data, "refused", str) or ""
        return cls(exit_code, signalled, parse_timestamp(data.get("time")), refused)

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "exit_code": self.exit_code,
            "signalled": self.signalled,
            "time": timestamp(self.time),
        }
        return {**data, **({"refused": self.refused} if self.refused else {})}


def _number(data: Mapping[str, Any], key: str) -> float | None:
    value = data.get(key)
    if value is not None and (not isinstance(value, (int, float)) or not 0 <= value < 1e9):  # nor NaN or Infinity
        raise TypeError(f"{key}: expected a number from 0 to 1e9")
    return value


def required(data: Mapping[str, Any], key: str, kind: type[T]) -> T:
    """Return the value of a key.

    Raises KeyError without the key, and TypeError for a value of another type.
    """
    value = data[key]
    if not isinstance(value, kind):
        raise TypeError(f"{key}: expected {kind.__name__}, got {type(value).__name__}")
    return value


def optional(data: Mapping[str, Any], key: str, kind: type[T]) -> T | None:
    """Return the value of a key like `required`, or None if the key is absent or null."""
    return None if data.get(key) is None else required(data, key, kind)


def texts(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return a list of strings, empty if the key is absent.  Raises TypeError."""
    values = required(data, key, list) if key in data else []
    if not all(isinstance(value, str) for value in values):
        raise TypeError(f"{key}: expected a list of strings")
    return tuple(values)


def is_plain_name(name: str) -> bool:
    """Return True for a name that leads to no other directory than the one it is in."""
    return name not in ("", ".", "..") and "/" not in name and name.isprintable()


def is_sane(data: Any) -> bool:
    """Return True for JSON with text and numbers that can be written again.

    Not so: half of a surrogate pair, Infinity and NaN, and nesting that no writer gets through.
    """
    todo = [(data, 0)]
    while todo:
        value, depth = todo.pop()
        if depth > _MAX_DEPTH:
            return False
        if isinstance(value, dict):
            todo += [(item, depth + 1) for pair in value.items() for item in pair]
        elif isinstance(value, list):
            todo += [(item, depth + 1) for item in value]
        elif isinstance(value, str):
            if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
                return False
        elif isinstance(value, (int, float)) and not -1e15 < value < 1e15:  # nor NaN
            return False
    return True


def timestamp(seconds: int | None) -> str | None:
    """Return a timestamp as JSON; None stays None."""
    return None if seconds is None else format_timestamp(seconds)


def without_none(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data without the keys whose value is None."""
    return {key: value for key, value in data.items() if value is not None}
