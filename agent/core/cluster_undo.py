"""What we did to a workload and revert has to know: an annotation on the workload itself.  Pure."""

from __future__ import annotations

import json
from typing import AbstractSet, Any, FrozenSet, Iterable, List, Mapping, Sequence, Tuple

import attrs

from agent.core.cluster_objects import UNDO
from agent.errors import AgentError


@attrs.frozen
class Removed:
    """An env entry that --take-over removed from `container` (GROUP/NAME), and the index that it had."""

    container: str
    index: int
    entry: Any = attrs.field(repr=False)


@attrs.frozen
class Undo:
    """`env_from`: the containers (GROUP/NAME) that got our reference; `env`: what was removed, in this order of runs.

    Indexes are those that the entries had in the list as it was at the start of their run.
    """

    env_from: FrozenSet[str] = frozenset()
    env: Tuple[Tuple[Removed, ...], ...] = ()

    @classmethod
    def read(cls, found: Mapping[str, Any]) -> Undo:
        """What a workload's annotation says; raises AgentError when it is not what we write."""
        metadata = found.get("metadata") or {}
        text = (metadata.get("annotations") or {}).get(UNDO)
        if text is None:
            return cls()
        try:
            table = json.loads(text)
            runs = tuple(tuple(Removed(str(c), int(at), dict(entry)) for c, at, entry in run) for run in table["env"])
            return cls(frozenset(map(str, table["envFrom"])), runs)
        except (ValueError, KeyError, TypeError):
            name = "%s/%s" % (metadata.get("namespace"), metadata.get("name"))
            hint = "somebody edited it; take it away to have the present state count as the original one"
            raise AgentError("%s: the annotation %s cannot be read" % (name, UNDO), hint=hint) from None

    def __bool__(self) -> bool:
        return bool(self.env_from or self.env)

    def text(self) -> str:
        """The annotation's value, always the same for the same."""
        runs = [[[one.container, one.index, one.entry] for one in run] for run in self.env]
        table = {"envFrom": sorted(self.env_from), "env": runs}
        return json.dumps(table, sort_keys=True, separators=(",", ":"))

    def only(self, present: AbstractSet[str]) -> Undo:
        """Without the containers that are gone: an update of the add-on may have renamed them."""
        runs = (tuple(one for one in run if one.container in present) for run in self.env)
        return Undo(self.env_from & present, tuple(filter(None, runs)))

    def added(self, container: str) -> Undo:
        return attrs.evolve(self, env_from=self.env_from | {container})

    def removed(self, entries: Iterable[Removed]) -> Undo:
        """With one more run, unless nothing was removed."""
        run = tuple(entries)
        return attrs.evolve(self, env=(*self.env, run)) if run else self

    def restored(self, container: str, env: Sequence[Any]) -> List[Any]:
        """The env list of a container as it was; a name that the owner wrote again in the meantime keeps the owner's value."""
        present = {entry.get("name") for entry in env}
        restored = list(env)
        for run in reversed(self.env):
            for one in run:
                if one.container == container and one.entry.get("name") not in present:
                    restored.insert(one.index, one.entry)
        return restored
