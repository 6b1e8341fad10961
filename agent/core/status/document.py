"""status.json as one type: validated when it is read, and written from it.

docs/status.schema.json is the contract.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Callable, TypeVar

from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import Credentials
from agent.core.noproxy.entries import Entry
from agent.core.plan.baseline import plain_path
from agent.core.record import field, fields, record
from agent.core.status.counters import Counters
from agent.core.status.records import (
    MetricsStatus,
    PreflightStatus,
    ProxyPair,
    ProxyStatus,
    RepairsStatus,
    is_plain_name,
    optional,
    required,
    texts,
    timestamp,
    without_none,
)
from agent.core.status.timestamps import parse_timestamp
from agent.errors import AgentError

T = TypeVar("T")

SCHEMA = 1
CONFIGURED, UNCONFIGURED, DEGRADED = "configured", "unconfigured", "degraded"
PHASES = (CONFIGURED, UNCONFIGURED, DEGRADED)
#: The phase that `status` shows for a node without a status.json.
NOT_RUN = "not run"


@record
class StatusDocument:
    """The content of status.json, without credentials; timestamps are seconds since 1970.

    None means not known yet.  The fields from `instance_id` to `warnings` belong to the last
    reconcile that composed an Intent, or found no proxy, and are written together.  `extra` holds
    the keys of a newer version.
    """

    phase: str
    error: str | None = None
    version: str | None = None
    since: int | None = None
    updated: int | None = None
    last_success: int | None = None
    next_pass: int | None = None
    instance_id: str | None = None
    region: str | None = None
    digest: str | None = None
    proxy: ProxyPair | None = None
    no_proxy: tuple[Entry, ...] = ()
    files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    stale_units: tuple[str, ...] | None = None
    deferred_units: tuple[str, ...] = ()
    repairs: RepairsStatus | None = None
    proxies: tuple[ProxyStatus, ...] | None = None
    preflight: PreflightStatus | None = None
    metrics: MetricsStatus | None = None
    kept_flags: int | None = None
    ca_not_after: int | None = None
    counters: Counters | None = None
    extra: Mapping[str, Any] = field(factory=dict)

    @classmethod
    def from_json(cls, data: Any) -> StatusDocument:
        """Return the document of status.json or of the output of `status --json`.

        Raises ValueError for anything else.
        """
        if not isinstance(data, dict):
            raise ValueError("not a JSON object")
        if data.get("schema") != SCHEMA:
            raise ValueError(f"schema: expected {SCHEMA}")
        try:
            return cls(
                phase=required(data, "phase", str),
                error=optional(data, "error", str),
                version=optional(data, "version", str),
                since=parse_timestamp(data.get("since")),
                updated=parse_timestamp(data.get("updated")),
                last_success=parse_timestamp(data.get("last_success")),
                next_pass=parse_timestamp(data.get("next_pass")),
                instance_id=_instance_id(data),
                region=optional(data, "region", str),
                digest=optional(data, "intent", str),
                proxy=_record(data, "proxy", ProxyPair.from_json),
                no_proxy=tuple(map(_entry, optional(data, "no_proxy", list) or ())),
                files=tuple(map(_path, optional(data, "files", list) or ())),
                warnings=texts(data, "warnings"),
                stale_units=texts(data, "stale_units") if "stale_units" in data else None,
                deferred_units=texts(data, "deferred_units"),
                repairs=_record(data, "repairs", RepairsStatus.from_json),
                proxies=_proxies(data),
                preflight=_record(data, "preflight", PreflightStatus.from_json),
                metrics=_record(data, "metrics", MetricsStatus.from_json),
                kept_flags=optional(data, "kept_flags", int),
                ca_not_after=parse_timestamp(data.get("ca_not_after")),
                counters=_record(data, "counters", Counters.from_json),
                extra={key: value for key, value in data.items() if key not in _KEYS},
            )
        except KeyError as error:
            raise ValueError(f"missing key {error}") from None
        except (TypeError, AttributeError) as error:
            raise ValueError(str(error)) from None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON that `from_json` reads, without the keys whose value is not known yet."""
        reconcile: dict[str, Any] = {
            "instance_id": self.instance_id,
            "region": self.region,
            "intent": self.digest,
            "proxy": self.proxy.to_json() if self.proxy else None,
            "no_proxy": entries_to_json(self.no_proxy),
            "files": list(self.files),
            "warnings": list(self.warnings),
        }
        proxies: dict[str, Any] = {
            "proxies": [proxy.to_json() for proxy in self.proxies or ()],
            "preflight": self.preflight.to_json() if self.preflight else None,
        }
        others = {
            "version": self.version,
            "since": timestamp(self.since),
            "updated": timestamp(self.updated),
            "last_success": timestamp(self.last_success),
            "next_pass": timestamp(self.next_pass),
            "stale_units": None if self.stale_units is None else list(self.stale_units),
            "deferred_units": list(self.deferred_units) or None,
            "repairs": self.repairs.to_json() if self.repairs else None,
            "metrics": self.metrics.to_json() if self.metrics else None,
            "kept_flags": self.kept_flags,
            "ca_not_after": timestamp(self.ca_not_after),
            "counters": self.counters.to_json() if self.counters else None,
        }
        return {
            "schema": SCHEMA,
            "phase": self.phase,
            "error": self.error,
            **(reconcile if self.instance_id else {}),
            **(proxies if self.proxies is not None else {}),
            **without_none(others),
            **self.extra,
        }

    def intent(self, credentials: Credentials | None = None) -> Intent | None:
        """Return the Intent with these credentials, because the document has none.

        None for a node without a proxy.
        """
        if self.proxy is None:
            return None
        return Intent(self.proxy.http, self.proxy.https, self.no_proxy, credentials)


_KEYS = {"schema", "intent"} | {field.name for field in fields(StatusDocument)} - {"digest", "extra"}


def intent_from_status(text: str, name: str, credentials: Credentials | None) -> Intent:
    """Return the Intent of /run/eks-proxy-agent/status.json or of the output of `status --json`.

    The text has no credentials, so they come from these settings.  The digest is compared, so that
    an edited list is not used as a node's.  Raises AgentError for a text without a valid Intent;
    `name` is the name of the file in that error.
    """
    try:
        document = StatusDocument.from_json(json.loads(text))
        intent = document.intent(credentials)
        if intent is None:
            raise ValueError(f'the node has no proxy (phase "{document.phase}")')
    except (ValueError, RecursionError) as error:
        hint = "copy it from a configured node: /run/eks-proxy-agent/status.json, or eks-proxy-agent status --json"
        raise AgentError(f"{name}: not the status of a configured node: {error}", hint=hint) from None
    if document.digest != intent.digest():
        hint = "copy status.json from the node again"
        raise AgentError(f"{name}: edited since the node wrote it; its values do not match its intent hash", hint=hint)
    return intent


def entries_to_json(entries: Iterable[Entry]) -> list[dict[str, str]]:
    """Return NO_PROXY as JSON, for status.json and for `plan`."""
    return [{"entry": entry.value, "reason": entry.reason} for entry in entries]


def _entry(data: Mapping[str, Any]) -> Entry:
    value, reason = required(data, "entry", str), required(data, "reason", str)
    if not value or any(not 0x21 <= ord(char) <= 0x7E or char == "," for char in value):
        raise ValueError("no_proxy: invalid entry")
    return Entry(value, reason)


def _instance_id(data: Mapping[str, Any]) -> str | None:
    value = optional(data, "instance_id", str)
    if value is not None and not is_plain_name(value):
        raise ValueError("instance_id: not the name of a directory")
    return value


def _path(data: str | Mapping[str, Any]) -> str:
    """Return a path; `status --json` has it beside the state of the file."""
    return plain_path(data if isinstance(data, str) else required(data, "path", str))


def _proxies(data: Mapping[str, Any]) -> tuple[ProxyStatus, ...] | None:
    proxies = optional(data, "proxies", list)
    return None if proxies is None else tuple(map(ProxyStatus.from_json, proxies))


def _record(data: Mapping[str, Any], key: str, from_json: Callable[[dict[str, Any]], T]) -> T | None:
    value = optional(data, key, dict)
    return from_json(value) if value else None
