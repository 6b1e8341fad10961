"""Counters of status.json, for metrics: each starts at 0 at power-on and only grows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

#: Phases that a reconcile ends in, categories of errors (AgentError.category), results of a unit's
#: restart and of a proxy's health check: each has a sample before it first happens.
RESULTS = ("configured", "unconfigured", "degraded")
CATEGORIES = ("settings", "metadata", "file", "command", "crash", "other")
RESTARTS = ("restarted", "refused", "failed")
PROBES = ("up", "down")


class Counters(NamedTuple):
    """Numbers of events since power-on, by result.

    `passes`: reconciles of the daemon by the phase they end in.  `failures`: reported errors of the
    daemon by category.  `failovers`: changes of the proxy in use after boot.  `restarts`: restarts
    of stale units.  `probes`: health checks of proxies, one for each proxy.
    """

    passes: Mapping[str, int] = dict.fromkeys(RESULTS, 0)
    failures: Mapping[str, int] = dict.fromkeys(CATEGORIES, 0)
    failovers: int = 0
    restarts: Mapping[str, int] = dict.fromkeys(RESTARTS, 0)
    probes: Mapping[str, int] = dict.fromkeys(PROBES, 0)

    def after_pass(self, phase: str) -> Counters:
        """Return the counters after a reconcile of the daemon that ended in this phase."""
        return self._replace(passes=_added(self.passes, [phase]))

    def after_failure(self, category: str) -> Counters:
        """Return the counters after an error of this category."""
        return self._replace(failures=_added(self.failures, [category]))

    def after_restart(self, result: str) -> Counters:
        """Return the counters after the restart of a unit with this result."""
        return self._replace(restarts=_added(self.restarts, [result]))

    def after_check(self, up: Iterable[bool], *, failover: bool) -> Counters:
        """Return the counters after a health check with the state of each proxy."""
        results = ["up" if is_up else "down" for is_up in up]
        return self._replace(probes=_added(self.probes, results), failovers=self.failovers + failover)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Counters:
        return cls(
            _table(data, "passes", RESULTS),
            _table(data, "failures", CATEGORIES),
            _number(data["failovers"]),
            _table(data, "restarts", RESTARTS),
            _table(data, "probes", PROBES),
        )

    def to_json(self) -> dict[str, Any]:
        return {name: value if isinstance(value, int) else dict(value) for name, value in self._asdict().items()}


def _added(table: Mapping[str, int], names: Iterable[str]) -> Mapping[str, int]:
    counts = dict(table)
    for name in names:
        if name in counts:
            counts[name] += 1
    return counts


def _table(data: Mapping[str, Any], key: str, names: Iterable[str]) -> Mapping[str, int]:
    """Return a table of numbers; a missing name counts as 0, an unknown one is dropped."""
    table = data[key]
    return {name: _number(table.get(name, 0)) for name in names}


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("counters: expected a number of events")
    return value
