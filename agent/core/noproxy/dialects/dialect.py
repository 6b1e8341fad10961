"""What one family of clients makes of the proxy's variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable

import attrs

from agent.core.noproxy.dialects.request import Request


@attrs.frozen
class Variables:
    """Names of the environment that a family reads, best first; a name that is set but empty counts as unset.

    Unless it is one of `decisive`: then its spelling in capitals is not looked at either.
    """

    http: tuple[str, ...]
    https: tuple[str, ...]
    no_proxy: tuple[str, ...]
    decisive: tuple[str, ...] = ()

    def proxy(self, environment: Mapping[str, str], scheme: str) -> str | None:
        """The proxy's URL for `http` or `https`, None when there is none."""
        return self._read(environment, self.https if scheme == "https" else self.http) or None

    def exceptions(self, environment: Mapping[str, str]) -> str:
        """The value of NO_PROXY, as raw as it is; "" when there is none."""
        return self._read(environment, self.no_proxy)

    def _read(self, environment: Mapping[str, str], names: tuple[str, ...]) -> str:
        decided = {name.upper() for name in self.decisive if environment.get(name) == ""}
        return next((environment[name] for name in names if environment.get(name) and name not in decided), "")


@attrs.frozen
class Dialect:
    """A family of clients that treats NO_PROXY alike.

    `bypass(target, no_proxy)` takes the raw value of the variable (families split it differently,
    too) and gives the entry that makes the request go directly, as it stands there without blanks;
    None when it goes through the proxy. No family resolves a name to compare the address: a CIDR
    exempts literal addresses only. `libcurl` is the first version of libcurl that reads it so, up
    to the next family's; None for all other clients.
    """

    name: str
    title: str
    clients: tuple[str, ...]
    variables: Variables
    bypass: Callable[[Request, str], str | None]
    libcurl: tuple[int, int] | None = None
