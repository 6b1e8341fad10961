"""The state of the proxies that is kept until the next boot, and its part of status.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from agent.core.net.proxy_selection import Choice, choice_from_json, choice_to_json
from agent.core.status.records import PreflightStatus, ProxyStatus


class ProxyMemory(NamedTuple):
    """The choice among several proxies and the last preflight, both of this boot."""

    choice: Choice | None = None
    preflight: PreflightStatus | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProxyMemory:
        """Return the memory from the JSON of `to_json`.

        An invalid part is dropped, and so determined again.
        """
        return cls(choice_from_json(data.get("choice")), _preflight(data.get("preflight")))

    def is_all_of(self, data: Mapping[str, Any]) -> bool:
        """Return True if no part of the JSON was dropped."""
        dropped = (data.get("choice") and not self.choice) or (data.get("preflight") and not self.preflight)
        return not dropped

    def to_json(self) -> dict[str, Any]:
        return {
            "choice": choice_to_json(self.choice) if self.choice else None,
            "preflight": self.preflight.to_json() if self.preflight else None,
        }


def proxy_statuses(choice: Choice) -> tuple[ProxyStatus, ...]:
    """Return the status of each proxy of a choice, in the order of proxy.url."""
    return tuple(
        ProxyStatus(
            url=str(seen.url),
            up=seen.up,
            latency_seconds=round(seen.seconds, 4) if seen.up else None,
            chosen=seen.url == choice.chosen,
            since=int(seen.since),
            text=seen.text,
        )
        for seen in choice.seen
    )


def _preflight(data: Any) -> PreflightStatus | None:
    try:
        return PreflightStatus.from_json(data)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
