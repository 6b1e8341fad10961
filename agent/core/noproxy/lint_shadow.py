"""Search for entries that another entry may cover, without a comparison of every pair."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from agent.core.net.addresses import address
from agent.core.noproxy.entries import Network
from agent.core.noproxy.explain import network

#: Spellings of one name or network that are compared, in the order of the list.
_SPELLINGS = 16
#: Characters; no host name with a port is longer.
_LONGEST = 300


class Candidates:
    """The different entries of a list, by the names and networks that they may cover."""

    def __init__(self, entries: Sequence[str]) -> None:
        self._entries: dict[Hashable, list[tuple[int, str]]] = {}
        self._prefixes: set[tuple[int, int]] = set()
        first: dict[str, int] = {}
        for index, entry in enumerate(entries):
            first.setdefault(entry, index)
        for entry, index in first.items():
            self._add(index, entry)

    def _add(self, index: int, entry: str) -> None:
        text = _plain(entry)
        keys: list[Hashable] = [text]
        cidr = network(text)
        if cidr is not None:
            self._prefixes.add((cidr.version, cidr.prefixlen))
            keys.append(_network_key(cidr, cidr.prefixlen))
        elif "/" not in text:
            keys.append(("below", text.lstrip(".")))
        for key in keys:
            spellings = self._entries.setdefault(key, [])
            if len(spellings) < _SPELLINGS:
                spellings.append((index, entry))

    def of(self, entry: str) -> list[tuple[int, str]]:
        """Return all entries that may cover this one, in order, each with its index in the list.

        The entry itself, or its first duplicate, is one of them.
        """
        return sorted({pair for key in self._keys(_plain(entry)) for pair in self._entries.get(key, ())})

    def _keys(self, text: str) -> Iterator[Hashable]:
        """Yield the keys of a text, and of the domains and networks that it may be in."""
        yield text
        inner = network(text) or network(text + ("/128" if ":" in text else "/32"))
        if inner is not None:
            for version, bits in self._prefixes:
                if version == inner.version and bits <= inner.prefixlen:
                    yield _network_key(inner, bits)
        if "/" not in text and address(text) is None:
            dot = text.find(".", max(0, len(text) - _LONGEST))
            while dot >= 0:
                yield "below", text[dot + 1 :]
                dot = text.find(".", dot + 1)


def _plain(entry: str) -> str:
    return entry.strip().lower().strip("[]")


def _network_key(cidr: Network, bits: int) -> Hashable:
    return cidr.version, bits, int(cidr.network_address) >> (cidr.max_prefixlen - bits)
