"""Which way a request goes, client by client, because of which entry, and why that entry is there.  Pure."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import attrs

from agent.core.net.addresses import address
from agent.core.noproxy.dialects.dialect import Dialect
from agent.core.noproxy.dialects.families import DIALECTS
from agent.core.noproxy.dialects.go import LOOPBACK
from agent.core.noproxy.dialects.request import Request
from agent.core.noproxy.entries import Entry, Network, render

#: The proxy of somebody who gave a list and no proxy.
UNNAMED = "the proxy"
#: Reasons of what is no entry of the agent's: in a list that was given, in a file that somebody
#: edited, in the client itself.
GIVEN = "given"
FOREIGN = "not the agent's"
BUILT_IN = "built into the client"

_LINE = re.compile(
    r"[ \t]*(?:export[ \t]+)?((?:https?|all|no)_proxy|(?:HTTPS?|ALL|NO)_PROXY)[ \t]*=[ \t]*(.*)", re.DOTALL
)


@attrs.frozen
class Values:
    """The proxy variables that clients see, without credentials, and why each entry is there.

    `otherwise` is the reason of an entry that `reasons` does not have.
    """

    environment: Mapping[str, str]
    reasons: Mapping[str, str] = MappingProxyType({})
    otherwise: str = GIVEN

    @property
    def no_proxy(self) -> str:
        """The list as most clients read it."""
        return self.environment.get("no_proxy") or self.environment.get("NO_PROXY") or ""

    def with_list(self, no_proxy: str) -> Values:
        """The same with another list."""
        return attrs.evolve(self, environment={**self.environment, "no_proxy": no_proxy, "NO_PROXY": no_proxy})

    def reason(self, entry: str) -> str:
        return self.reasons.get(entry.strip(), self.otherwise)


@attrs.frozen
class Way:
    """How one family of clients reaches a target: through `proxy`, or directly (None) because of `entry`.

    Direct without an entry: this client finds no proxy in the environment at all.
    """

    dialect: Dialect
    proxy: str | None
    entry: str = ""
    reason: str = ""

    @property
    def text(self) -> str:
        """The way in words."""
        if self.proxy is not None:
            return "through " + self.proxy
        if self.reason == BUILT_IN:
            return "direct: loopback, which needs no entry"
        return f"direct: {printable(self.entry)} ({self.reason})" if self.entry else "direct: no proxy is set"


def variables(proxy: str, https_proxy: str, no_proxy: str) -> dict[str, str]:
    """The six variables as the agent writes them."""
    pairs = (("http_proxy", proxy), ("https_proxy", https_proxy), ("no_proxy", no_proxy))
    return {name: value for key, value in pairs for name in (key, key.upper())}


def of_entries(entries: Iterable[Entry], proxy: str = UNNAMED, https_proxy: str = UNNAMED) -> Values:
    """The values that the agent composed."""
    listed = tuple(entries)
    reasons = {entry.value: entry.reason for entry in listed}
    return Values(variables(proxy, https_proxy, render(listed)), reasons)


def variables_in(text: bytes) -> dict[str, str]:
    """The proxy variables in a file of lines NAME=VALUE, the last of two wins; one pair of quotes is not the value's."""
    found: dict[str, str] = {}
    for line in text.decode("utf-8", "replace").split("\n"):
        match = _LINE.match(line)
        if match:
            value = match.group(2).rstrip(" \t")
            quoted = re.fullmatch(r"([\"'])(.*)\1", value)
            found[match.group(1)] = quoted.group(2) if quoted else value
    return found


def ways(target: Request, values: Values) -> tuple[Way, ...]:
    """The way of every family, in their order."""
    return tuple(_way(target, values, dialect) for dialect in DIALECTS)


def _way(target: Request, values: Values, dialect: Dialect) -> Way:
    proxy = dialect.variables.proxy(values.environment, target.scheme)
    if proxy is None:
        return Way(dialect, None)
    entry = dialect.bypass(target, dialect.variables.exceptions(values.environment))
    if entry is None:
        return Way(dialect, proxy)
    if entry == LOOPBACK and not values.reasons.get(entry):
        return Way(dialect, None, entry, BUILT_IN)
    return Way(dialect, None, entry, values.reason(entry))


def groups(found: Sequence[Way]) -> list[tuple[str, list[Dialect]]]:
    """The different ways in words, each with the families that take it."""
    by_text: dict[str, list[Dialect]] = {}
    for way in found:
        by_text.setdefault(way.text, []).append(way.dialect)
    return list(by_text.items())


def titles(families: Iterable[Dialect], among: Sequence[Dialect] = DIALECTS) -> str:
    """Families in words; all generations of one that are `among` them together have its name alone."""
    chosen = list(families)
    if len(chosen) == len(DIALECTS):
        return "every client"
    left = {family.title.split()[0] for family in among if family not in chosen}
    words = (family.title.split()[0] for family in chosen)
    return ", ".join(dict.fromkeys(one.title if word in left else word for one, word in zip(chosen, words)))


def disagree(found: Sequence[Way]) -> bool:
    """Whether some go through the proxy and others do not."""
    return len({way.proxy is None for way in found}) > 1


def needs_literal(target: Request, found: Sequence[Way], values: Values) -> bool:
    """Whether a reader may wonder why a name is not exempt: it takes the proxy, and the list has CIDRs."""
    return any(way.proxy for way in found) and address(target.host) is None and bool(cidrs(values.no_proxy))


def cidrs(no_proxy: str) -> tuple[str, ...]:
    """The entries that are CIDRs."""
    return tuple(entry.strip() for entry in no_proxy.split(",") if "/" in entry and network(entry.strip()) is not None)


@functools.lru_cache(maxsize=4096)
def network(text: str) -> Network | None:
    """The network that an entry is, or None."""
    base, slash, bits = text.partition("/")
    if not slash or address(base) is None or not re.fullmatch("[0-9]{1,3}", bits):
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def printable(text: str) -> str:
    """Text that may hold anything, for one line of a terminal; what stands before an @ may be a password."""
    text = "***@" + text.rpartition("@")[2] if "@" in text else text
    return "".join(char if 0x20 <= ord(char) <= 0x7E else ascii(char)[1:-1] for char in text)
