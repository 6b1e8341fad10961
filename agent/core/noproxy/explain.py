"""The route of a request in each family of clients, with the entry and its reason.  Pure."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from agent.core.net.addresses import address
from agent.core.noproxy.dialects.dialect import Dialect
from agent.core.noproxy.dialects.families import DIALECTS
from agent.core.noproxy.dialects.go import LOOPBACK
from agent.core.noproxy.dialects.nodejs import is_enabled
from agent.core.noproxy.dialects.request import Request
from agent.core.noproxy.entries import Entry, Network, render
from agent.core.record import record

#: The proxy when only a list was given.
UNNAMED = "the proxy"
#: Reasons of entries that the agent did not write: in a list of the command line, in an edited
#: file, in the client itself.
GIVEN = "given"
FOREIGN = "not the agent's"
BUILT_IN = "built into the client"


@record
class Values:
    """The proxy variables that clients see, without credentials, and the reason of each entry.

    `otherwise` is the reason of an entry that is not in `reasons`.  `families` are the clients to
    explain.  If `is_complete`, a process has no other variables, so that one without
    NODE_USE_ENV_PROXY ignores them.
    """

    environment: Mapping[str, str]
    reasons: Mapping[str, str] = MappingProxyType({})
    otherwise: str = GIVEN
    families: tuple[Dialect, ...] = DIALECTS
    is_complete: bool = False

    @property
    def no_proxy(self) -> str:
        """Return the list that most clients read: no_proxy, or NO_PROXY if that is not set."""
        return self.environment.get("no_proxy") or self.environment.get("NO_PROXY") or ""

    def reason(self, entry: str) -> str:
        """Return the reason of an entry; blanks around it are ignored."""
        return self.reasons.get(entry.strip(), self.otherwise)


@record
class Route:
    """Route of one family of clients to a target: through `proxy`, or direct (None).

    `entry` is what makes it direct; it is empty if this client finds no proxy in the environment.
    If the client does not read the environment, `reason` says why.
    """

    dialect: Dialect
    proxy: str | None
    entry: str = ""
    reason: str = ""

    @property
    def text(self) -> str:
        """Return the route in words."""
        if self.proxy is not None:
            return "through " + self.proxy
        if self.reason == BUILT_IN:
            return "direct: loopback (needs no entry)"
        if self.entry:
            return f"direct: {printable(self.entry)} ({self.reason})"
        return f"direct: {self.reason or 'no proxy is set'}"

    @property
    def is_off(self) -> bool:
        """Return True if the client does not read the environment."""
        return self.proxy is None and bool(self.reason) and not self.entry


def variables(proxy: str, https_proxy: str, no_proxy: str) -> dict[str, str]:
    """Return the six variables as the agent writes them."""
    pairs = (("http_proxy", proxy), ("https_proxy", https_proxy), ("no_proxy", no_proxy))
    return {name: value for key, value in pairs for name in (key, key.upper())}


def of_entries(entries: Iterable[Entry], proxy: str = UNNAMED, https_proxy: str = UNNAMED) -> Values:
    """Return the values for entries that the agent composed."""
    listed = tuple(entries)
    reasons = {entry.value: entry.reason for entry in listed}
    return Values(variables(proxy, https_proxy, render(listed)), reasons)


def routes_of(target: Request, values: Values) -> tuple[Route, ...]:
    """Return the route of each family, in their order."""
    return tuple(_route(target, values, dialect) for dialect in values.families)


def _route(target: Request, values: Values, dialect: Dialect) -> Route:
    proxy = dialect.variables.proxy(values.environment, target.scheme)
    if proxy is None:
        return Route(dialect, None)
    if values.is_complete and dialect.switch and not is_enabled(values.environment):
        return Route(dialect, None, reason=f"{dialect.switch}=1 is not set")
    entry = dialect.bypass(target, dialect.variables.exceptions(values.environment))
    if entry is None:
        return Route(dialect, proxy)
    if entry == LOOPBACK and not values.reasons.get(entry):
        return Route(dialect, None, entry, BUILT_IN)
    return Route(dialect, None, entry, values.reason(entry))


def group_by_text(routes: Sequence[Route]) -> list[tuple[str, list[Dialect]]]:
    """Return the different routes in words, each with its families."""
    families: dict[str, list[Dialect]] = {}
    for route in routes:
        families.setdefault(route.text, []).append(route.dialect)
    return list(families.items())


def titles(families: Iterable[Dialect], among: Sequence[Dialect] = DIALECTS) -> str:
    """Return families in words, such as "curl <7.86, wget".

    A family appears without versions if all its versions that are `among` the dialects are chosen.
    """
    chosen = list(families)
    if len(chosen) == len(among) >= len(DIALECTS):
        return "every client"
    selected = {family.name for family in chosen}
    incomplete = {family.title.split()[0] for family in among if family.name not in selected}
    names = (family.title.split()[0] for family in chosen)
    return ", ".join(dict.fromkeys(family.title if name in incomplete else name for family, name in zip(chosen, names)))


def disagree(routes: Sequence[Route]) -> bool:
    """Return True if some routes are direct and others are not.

    A client that does not read the environment has no part in it: no entry would change its route.
    """
    return len({route.proxy is None for route in routes if not route.is_off}) > 1


def should_explain_cidrs(target: Request, routes: Sequence[Route], values: Values) -> bool:
    """Return True if a reader may expect a CIDR to exempt a name.

    The target is a name that uses the proxy, and the list has CIDRs.
    """
    return any(route.proxy for route in routes) and address(target.host) is None and bool(cidrs(values.no_proxy))


@functools.lru_cache(maxsize=1)
def cidrs(no_proxy: str) -> tuple[str, ...]:
    """Return the entries that are CIDRs."""
    return tuple(entry.strip() for entry in no_proxy.split(",") if "/" in entry and network(entry.strip()) is not None)


@functools.lru_cache(maxsize=4096)
def network(text: str) -> Network | None:
    """Return the network of an entry that is a CIDR, else None."""
    base, slash, bits = text.partition("/")
    if not slash or address(base) is None or not re.fullmatch("[0-9]{1,3}", bits):
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def printable(text: str) -> str:
    """Return arbitrary text as one line of printable ASCII.

    Everything before an @ is masked, because it may be a password.
    """
    text = "***@" + text.rpartition("@")[2] if "@" in text else text
    return "".join(char if 0x20 <= ord(char) <= 0x7E else ascii(char)[1:-1] for char in text)


def shown_url(url: str) -> str:
    """Return a proxy's URL, safe to print.

    Clients also accept a URL without a scheme, and that may contain a password.
    """
    rest = re.sub(r"\A[A-Za-z][A-Za-z0-9+.-]*://", "", url)
    return url[: len(url) - len(rest)] + printable(rest)
