"""One family of clients and how it reads the proxy variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable

from agent.core.noproxy.dialects.request import Request
from agent.core.record import record


@record
class Variables:
    """Names of the variables that a family reads, in order of precedence.

    An empty variable counts as unset.  If it is one of `decisive`, it also hides its upper-case
    spelling.
    """

    http: tuple[str, ...]
    https: tuple[str, ...]
    no_proxy: tuple[str, ...]
    decisive: tuple[str, ...] = ()

    def proxy(self, environment: Mapping[str, str], scheme: str) -> str | None:
        """Return the proxy's URL for a scheme, `http` or `https`, or None."""
        return self._read(environment, self.https if scheme == "https" else self.http) or None

    def exceptions(self, environment: Mapping[str, str]) -> str:
        """Return the raw value of NO_PROXY, "" if it is not set."""
        return self._read(environment, self.no_proxy)

    def _read(self, environment: Mapping[str, str], names: tuple[str, ...]) -> str:
        for name in names:
            value = environment.get(name)
            if value and not self._is_hidden(environment, name):
                return value
        return ""

    def _is_hidden(self, environment: Mapping[str, str], name: str) -> bool:
        lower = name.lower()
        return name != lower and lower in self.decisive and environment.get(lower) == ""


@record
class Dialect:
    """A family of clients that read NO_PROXY alike.

    `bypass(target, no_proxy)` takes the raw value of the variable, because families also split it
    differently. It returns the entry that makes the request direct, without blanks; None if the
    request uses the proxy. No family resolves a name to compare its address: a CIDR exempts literal
    addresses only. `libcurl` is the first version of libcurl with this dialect, which is valid up
    to the version of the next family; None for all other clients.  Node.js reads the variables
    only if the variable `switch` is 1.
    """

    name: str
    title: str
    clients: tuple[str, ...]
    variables: Variables
    bypass: Callable[[Request, str], str | None]
    libcurl: tuple[int, int] | None = None
    switch: str = ""
