"""Environments with which a running process counts as current after an upgrade of the agent.

NO_PROXY is a function of the inputs.  If the inputs are the same and the list is longer, only
another version of the agent can have added to it, and likewise to the units.  Units need no restart
for that, see docs/decisions/daemon.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from agent.core.intent.inputs import Inputs
from agent.core.intent.reachability import ProbeResults
from agent.core.noproxy.entries import host_of
from agent.core.record import field, record
from agent.core.systemd import is_deferred

#: The sections of settings that NO_PROXY depends on.
_SECTIONS = ("proxy", "cluster", "aws", "vpc")
_FACTS = ("vpc_cidrs_v4", "vpc_cidrs_v6", "region", "domain", "partition", "account")


@record
class Accepted:
    """The accepted values of NO_PROXY, the desired one last, and the inputs they were composed of.

    `inputs` are named digests, see `inputs_of`.  `units` are those that this version covers, and an
    earlier one did not; their processes may run without any proxy.
    """

    inputs: Mapping[str, str] = field(factory=dict)
    values: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def after(self, inputs: Mapping[str, str], value: str, units: Iterable[str] = ()) -> Accepted:
        """Return what is accepted once `value` is the list for these inputs, and `units` are new.

        The earlier values stay accepted if every input of theirs is the same and the list only
        grew.  An input that was not recorded is one that only this version has, such as the probe
        of a name that it added.
        """
        is_same = all(inputs.get(name) == digest for name, digest in self.inputs.items())
        if not self.values or not is_same or not _includes(value, self.values[-1]):
            return Accepted(dict(inputs), (value,))
        values = (*(earlier for earlier in self.values if earlier != value), value)
        return Accepted(dict(inputs), values, tuple(dict.fromkeys((*self.units, *units))))

    def defers(self, unit: str, different: Mapping[str, str]) -> bool:
        """Return True if a process of a unit lacks only what a new version of the agent added.

        `different` is the result of `systemd.differences`.
        """
        is_uncovered = unit in self.units and bool(different) and not any(different.values())
        return is_uncovered or is_deferred(different, self.earlier)

    @property
    def earlier(self) -> frozenset[str]:
        """Return the accepted values that lack what the agent's new version added."""
        return frozenset(self.values[:-1])

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Accepted:
        """Return the value from the JSON of `asdict`.  Raises TypeError, KeyError."""
        inputs = {str(name): str(digest) for name, digest in data["inputs"].items()}
        return cls(inputs, tuple(map(str, data["values"])), tuple(map(str, data.get("units", ()))))


def inputs_of(inputs: Inputs, results: ProbeResults) -> dict[str, str]:
    """Return the inputs of NO_PROXY by name, as short digests that do not depend on the version.

    Settings count as written: a key or a default that a new version brings changes no digest.
    """
    layered, cluster = inputs.layered, inputs.cluster_info
    written = {f"{section}.{key}": value for (section, key), value in layered.raw.items() if section in _SECTIONS}
    values: dict[str, Any] = {"settings": written, "endpoint": cluster.endpoint, "services": cluster.service_cidrs}
    values.update((name, getattr(inputs.facts, name)) for name in _FACTS)
    values.update((f"probe {host}", result.direct) for host, result in results.items())
    return {name: _digest(value) for name, value in values.items()}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _includes(value: str, earlier: str) -> bool:
    """Return True if each entry of the earlier list is in the later one.

    Its address stands for a network of one address.
    """
    entries = set(value.split(","))
    return all(entry in entries or host_of(entry) in entries for entry in earlier.split(","))
