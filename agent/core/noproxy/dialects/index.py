"""Index of a NO_PROXY list, to find the first entry that covers a target.

Each dialect adds its entries under keys, and searches for the keys that a target may have.  So the
length of the list does not matter, and lint, which searches once for each entry, stays linear.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable, Iterable
from typing import Callable, TypeVar

from agent.core.net.addresses import Address

T = TypeVar("T")


class Index:
    """The entries of a list by their keys; of several entries with one key the first one counts."""

    def __init__(self) -> None:
        self._entries: list[str] = []
        self._positions: dict[Hashable, int] = {}
        self._lengths: dict[int, set[int]] = {4: set(), 6: set()}

    def add(self, key: Hashable, entry: str) -> None:
        """Add an entry behind all others."""
        if key not in self._positions:
            self._positions[key] = len(self._entries)
            self._entries.append(entry)

    def add_network(self, base: Address, bits: int, entry: str) -> None:
        """Add an entry that covers the addresses of a network."""
        self._lengths[base.version].add(bits)
        self.add((base.version, bits, int(base) >> (base.max_prefixlen - bits)), entry)

    def first(self, keys: Iterable[Hashable]) -> str | None:
        """Return the first entry that has one of the keys, or None."""
        positions = self._positions
        hits = [positions[key] for key in keys if key in positions]
        return self._entries[min(hits)] if hits else None

    def network_keys(self, literal: Address) -> list[Hashable]:
        """Return the keys of the networks of this list that an address may be in."""
        version, number, size = literal.version, int(literal), literal.max_prefixlen
        return [(version, bits, number >> (size - bits)) for bits in self._lengths[version]]


@functools.lru_cache(maxsize=64)
def domains(host: str) -> tuple[str, ...]:
    """Return the host, and what follows each of its dots: the domains that it is in."""
    return (host, *(host[place + 1 :] for place, char in enumerate(host) if char == "."))


@functools.lru_cache(maxsize=64)
def suffixes(host: str) -> tuple[str, ...]:
    """Return what begins with a dot at the end of a host: `.corp.example` and `.example`."""
    return tuple(host[place:] for place, char in enumerate(host) if char == ".")


def per_list(parse: Callable[..., T]) -> Callable[..., T]:
    """Cache the results of a parser whose first argument is a list.

    Lists and single entries have separate caches: lint asks about thousands of single entries,
    which must not evict the complete list.
    """
    of_list, of_entry = functools.lru_cache(maxsize=4)(parse), functools.lru_cache(maxsize=64)(parse)
    return lambda no_proxy, *options: (of_list if "," in no_proxy else of_entry)(no_proxy, *options)
