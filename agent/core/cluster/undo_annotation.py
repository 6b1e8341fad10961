"""What we did to a workload and revert has to know: an annotation on the workload itself.  Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import attrs

from agent.core.cluster.objects import REFERENCE, UNDO
from agent.errors import AgentError

#: More than any object can hold (1.5 MB).
_LAST = 10**6


@attrs.frozen
class Removed:
    """An env entry that --take-over removed from `container` (GROUP/NAME), and the index that it had."""

    container: str
    index: int
    entry: Any = attrs.field(repr=False)


@attrs.frozen
class Undo:
    """`env_from`: container (GROUP/NAME) → the kind of reference that it got; `env`: what was removed, run after run.

    Indexes are those that the entries had in the list as it was at the start of their run.
    """

    env_from: Mapping[str, str] = attrs.field(factory=dict)
    env: tuple[tuple[Removed, ...], ...] = ()

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Undo:
        """What a workload's annotation says; raises AgentError when it is not what we write."""
        kinds = {kind: kind for kind in REFERENCE}
        metadata = found.get("metadata") or {}
        text = (metadata.get("annotations") or {}).get(UNDO)
        if text is None:
            return cls()
        try:
            table = json.loads(text)
            runs = tuple(tuple(_removed(*one) for one in run) for run in table["env"])
            return cls({str(name): kinds[kind] for name, kind in table["envFrom"].items()}, runs)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            name = "{}/{}".format(metadata.get("namespace"), metadata.get("name"))
            hint = "somebody edited it; take it away to have the present state count as the original one"
            raise AgentError(f"{name}: the annotation {UNDO} cannot be read", hint=hint) from None

    def __bool__(self) -> bool:
        return bool(self.env_from or self.env)

    def text(self) -> str:
        """The annotation's value, always the same for the same."""
        runs = [[[one.container, one.index, one.entry] for one in run] for run in self.env]
        table = {"envFrom": dict(self.env_from), "env": runs}
        return json.dumps(table, sort_keys=True, separators=(",", ":"))

    def only(self, present: AbstractSet[str]) -> Undo:
        """Without the containers that are gone: an update of the add-on may have renamed them."""
        runs = (tuple(one for one in run if one.container in present) for run in self.env)
        env_from = {name: kind for name, kind in self.env_from.items() if name in present}
        return Undo(env_from, tuple(filter(None, runs)))

    def given(self, container: str, kind: str) -> Undo:
        """With the kind of reference that a container now has from us; empty for none."""
        env_from = {name: old for name, old in self.env_from.items() if name != container}
        return attrs.evolve(self, env_from={**env_from, **({container: kind} if kind else {})})

    def removed(self, entries: Iterable[Removed]) -> Undo:
        """With one more run, unless nothing was removed."""
        run = tuple(entries)
        return attrs.evolve(self, env=(*self.env, run)) if run else self

    def restored(self, container: str, env: Sequence[Any]) -> list[Any]:
        """The env list of a container as it was; a name that the owner wrote again in the meantime keeps the owner's value."""
        present = {entry.get("name") for entry in env}
        restored = list(env)
        for run in reversed(self.env):
            for one in run:
                if one.container == container and one.entry.get("name") not in present:
                    restored.insert(one.index, one.entry)
        return restored


def _removed(container: Any, index: Any, entry: Any) -> Removed:
    if not isinstance(index, int) or not 0 <= index <= _LAST or not isinstance(entry["name"], str):
        raise ValueError("it is no env entry with its index")
    return Removed(str(container), index, dict(entry))
