"""Differences between the variables of containers and the ConfigMap, whatever means set them.

A container with the same values from elsewhere is right: by `env` of a chart, by references to
single keys, or injected by an admission policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.cluster.objects import NAME, VARIABLES, Source
from agent.core.cluster.patch import (
    containers,
    env_overrides,
    has_reference,
    later_references,
    requires_source,
    shown_group,
)
from agent.core.cluster.pod_env import ObjectData, ObjectRef, container_envs
from agent.core.record import record


@record
class ContainerState:
    """One container, compared with the ConfigMap or Secret.

    `lacks_reference`: nothing gives it all variables.  `overrides`: its own env with another value.
    `later`: envFrom entries that may override ours.  `uses_source`: it takes a value of the object;
    `needs_source`: it cannot start without it.
    """

    group: str
    name: str
    lacks_reference: bool
    overrides: tuple[str, ...]
    later: tuple[str, ...]
    uses_source: bool
    needs_source: bool

    @property
    def where(self) -> str:
        return f"{shown_group(self.group)} {self.name}"


def container_states(pod_spec: Mapping[str, Any], source: Source) -> tuple[ContainerState, ...]:
    """Return the state of each container of a pod spec."""
    ref = ObjectRef(source.kind, NAME)
    envs = container_envs(pod_spec, {ref: ObjectData(source.data)}, VARIABLES.__contains__)
    own: dict[tuple[str, str], list[str]] = {}
    for override in env_overrides(pod_spec, source.kind):
        own.setdefault((override.group, override.container), []).append(override.variable)
    later: dict[tuple[str, str], list[str]] = {}
    for group, name, entry in later_references(pod_spec, source.kind):
        later.setdefault((group, name), []).append(entry)
    states = []
    for env, (group, _, container) in zip(envs, containers(pod_spec)):
        key = (group, str(container["name"]))
        values = {name: variable.value for name, variable in env.variables.items()}
        wrong = tuple(name for name in dict.fromkeys(own.get(key, ())) if values.get(name) != source.data.get(name))
        is_complete = values == dict(source.data) and len(values) == len(VARIABLES)
        has_env_alone = is_complete and not any(
            variable.origin.startswith("envFrom") for variable in env.variables.values()
        )
        states.append(
            ContainerState(
                *key,
                lacks_reference=not has_reference(container, source.kind) and not is_complete,
                overrides=wrong,
                later=() if has_env_alone else tuple(later.get(key, ())),
                uses_source=ref in env.used,
                needs_source=requires_source(container, source.kind),
            )
        )
    return tuple(states)
