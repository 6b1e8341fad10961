"""Flags that `apply` keeps for this instance, as a layer of settings, each with the date."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from agent.core.settings.layers import Layer, names_of
from agent.edges.state import LockedState, State
from agent.errors import CorruptError, UsageError

#: Names of the files of an instance.
_FLAGS, _DATES = "flags", "kept"


def today() -> str:
    """Return the date in UTC, as YYYY-MM-DD."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def kept_layer(state: State, instance_id: str) -> Layer | None:
    """Return the kept flags, None if there are none.  Raises CorruptError."""
    flags = state.of_instance(instance_id, _FLAGS)
    return Layer("flags kept by apply", flags, dates=_dates(state, instance_id)) if flags else None


def keep(state: LockedState, instance_id: str, flags: Mapping[str, Mapping[str, Any]]) -> None:
    """Merge the flags of a run into the kept flags, key by key."""
    if not flags:
        return
    merged = dict(state.of_instance(instance_id, _FLAGS) or {})
    for section, table in flags.items():
        merged[section] = {**merged.get(section, {}), **table}
    dates = {**_dates(state, instance_id), **dict.fromkeys(names_of(flags), today())}
    state.save_of_instance(instance_id, _DATES, dates)
    state.save_of_instance(instance_id, _FLAGS, merged)


def count(state: State, instance_id: str) -> int:
    """Return the number of kept flags; a corrupt file has none."""
    return len(names_of(state.cached(instance_id, _FLAGS) or {}))


def forget(state: LockedState, instance_id: str, names: Sequence[str]) -> tuple[str, ...]:
    """Drop kept flags by SECTION.KEY, or "all"; return the dropped ones.

    Raises UsageError, which lists the kept flags, for one that is not kept.
    """
    flags = state.of_instance(instance_id, _FLAGS) or {}
    kept = names_of(flags)
    for name in names:
        if name not in (*kept, "all"):
            raise UsageError(f"--forget {name}: not kept (kept flags: {', '.join(kept) or 'none'})")
    dropped = kept if "all" in names else tuple(dict.fromkeys(names))
    remaining: dict[str, dict[str, Any]] = {}
    for section, key in (name.split(".", 1) for name in kept if name not in dropped):
        remaining.setdefault(section, {})[key] = flags[section][key]
    state.save_of_instance(instance_id, _FLAGS, remaining)
    return dropped


def _dates(state: State, instance_id: str) -> Mapping[str, str]:
    """Return the dates by SECTION.KEY; without those that are lost."""
    try:
        return state.of_instance(instance_id, _DATES) or {}
    except CorruptError:
        return {}
