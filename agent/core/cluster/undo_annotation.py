"""Record of our changes to a workload, kept as an annotation on it: revert reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from agent.core.cluster.objects import REFERENCE, UNDO
from agent.core.record import evolve, field, record
from agent.errors import AgentError

#: More than any object can hold (1.5 MB).
_MAX_INDEX = 10**6


@record
class RemovedEnv:
    """Env entry that --take-over removed from `container` (GROUP/NAME), and the index it had."""

    container: str
    index: int
    entry: Any = field(repr=False)


@record
class Undo:
    """Changes to undo.

    `env_from`: container (GROUP/NAME) → the kind of reference that it got.  `env`: the entries that
    each run removed.  An index is the one that the entry had at the start of its run.
    """

    env_from: Mapping[str, str] = field(factory=dict)
    env: tuple[tuple[RemovedEnv, ...], ...] = ()

    @classmethod
    def read(cls, obj: Mapping[str, Any]) -> Undo:
        """Read the annotation of a workload.

        Raises AgentError if the agent did not write it.
        """
        kinds = {kind: kind for kind in REFERENCE}
        metadata = obj.get("metadata") or {}
        text = (metadata.get("annotations") or {}).get(UNDO)
        if text is None:
            return cls()
        try:
            table = json.loads(text)
            runs = tuple(tuple(_removed_env(*item) for item in run) for run in table["env"])
            return cls({str(name): kinds[kind] for name, kind in table["envFrom"].items()}, runs)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            name = f"{metadata.get('namespace')}/{metadata.get('name')}"
            hint = "if you remove the annotation, the current state counts as the original one"
            raise AgentError(f"{name}: cannot read annotation {UNDO}: the agent did not write it", hint=hint) from None

    def __bool__(self) -> bool:
        return bool(self.env_from or self.env)

    def text(self) -> str:
        """Return the value of the annotation; equal records have equal texts."""
        runs = [[[removed.container, removed.index, removed.entry] for removed in run] for run in self.env]
        table = {"envFrom": dict(self.env_from), "env": runs}
        return json.dumps(table, sort_keys=True, separators=(",", ":"))

    def only(self, containers: AbstractSet[str]) -> Undo:
        """Return the record without other containers: an update of the add-on may rename them."""
        runs = (tuple(removed for removed in run if removed.container in containers) for run in self.env)
        env_from = {name: kind for name, kind in self.env_from.items() if name in containers}
        return Undo(env_from, tuple(filter(None, runs)))

    def with_reference(self, container: str, kind: str) -> Undo:
        """Return the record with our reference in a container set to `kind`; "" means none."""
        env_from = {name: old for name, old in self.env_from.items() if name != container}
        return evolve(self, env_from={**env_from, **({container: kind} if kind else {})})

    def with_removed(self, entries: Iterable[RemovedEnv]) -> Undo:
        """Return the record with one more run, unless that run removed nothing."""
        run = tuple(entries)
        return evolve(self, env=(*self.env, run)) if run else self

    def restore(self, container: str, env: Sequence[Any]) -> list[Any]:
        """Return the env list of a container with the removed entries.

        If the operator has set a variable again, the new value stays.
        """
        present = {entry.get("name") for entry in env}
        restored = list(env)
        for run in reversed(self.env):
            for removed in run:
                if removed.container == container and removed.entry.get("name") not in present:
                    restored.insert(removed.index, removed.entry)
        return restored


def _removed_env(container: Any, index: Any, entry: Any) -> RemovedEnv:
    if not isinstance(index, int) or not 0 <= index <= _MAX_INDEX or not isinstance(entry["name"], str):
        raise ValueError("not an env entry with its index")
    return RemovedEnv(str(container), index, dict(entry))
