"""Notes on the containers' own env that overrides the agent's, for `plan` and `render`."""

from __future__ import annotations

from collections.abc import Iterable

from agent.core.cluster.patch import EnvOverride

_MANUAL = " and contains a password; remove it with kubectl set env"


def override_notes(overrides: Iterable[EnvOverride]) -> list[str]:
    """Return a note for each container: its own env overrides the reference that it gets."""
    return [
        f"{where}: env {names} overrides envFrom{_MANUAL if secret else '; to remove it, use --take-over'}"
        for where, names, secret in _by_container(overrides)
    ]


def exclusion_notes(overrides: Iterable[EnvOverride], remedy: str) -> list[str]:
    """Return a note for each container that is left out because of its own env."""
    return [
        f"{where}: left out, because it has env {names}{_MANUAL if secret else f'; {remedy}'}"
        for where, names, secret in _by_container(overrides)
    ]


def _by_container(overrides: Iterable[EnvOverride]) -> list[tuple[str, str, bool]]:
    """Return each container with the names of its own env, and True if one has a password."""
    found: dict[str, list[EnvOverride]] = {}
    for override in overrides:
        found.setdefault(override.where, []).append(override)
    return [
        (where, ", ".join(override.variable for override in own), any(override.secret for override in own))
        for where, own in found.items()
    ]
