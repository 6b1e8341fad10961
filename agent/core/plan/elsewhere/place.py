"""A place outside the agent's files that sets a proxy, and how it differs from the desired one."""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.record import field, record
from agent.core.redact import redact_proxy

#: The variables that set a proxy; `all_proxy` is not one of the agent's.
NAMES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
#: Characters of a value in a text.
_LONGEST = 200


@record
class ProxyPlace:
    """A place that sets a proxy.

    `path`: the file.  `setting`: the setting in it, empty for the whole file.  `used_by`: the
    programs that read it.  `values`: the value by the name of the variable.  `remedy`: how to
    remove it.  `unit`: the unit whose environment it overrides, empty for other programs.
    """

    path: str
    setting: str
    used_by: str
    values: Mapping[str, str] = field(repr=False)
    remedy: str
    unit: str = ""

    def text(self, desired: Mapping[str, str], *, has_credentials: bool = True) -> str:
        """Return what the place sets that differs from the desired values, empty if nothing does.

        Credentials count only if the place overrides those of a unit, which needs them, and if the
        desired values have theirs.
        """
        texts = {
            name.lower(): _describe(name, value)
            for name, value in self.values.items()
            if not _is_same(value, desired.get(name, ""), is_exact=bool(self.unit) and has_credentials)
        }
        setting = f"{self.setting} sets" if self.setting else "sets"
        return f"{setting} {', '.join(texts.values())} for {self.used_by}" if texts else ""


def is_proxy_name(name: str) -> bool:
    """Return True for a variable that sets a proxy, in lower or upper case."""
    return name in NAMES or (name.isupper() and name.lower() in NAMES)


def _is_same(value: str, desired: str, *, is_exact: bool) -> bool:
    value, desired = value.rstrip("/"), desired.rstrip("/")
    return value == desired or (not is_exact and _without_user(value) == _without_user(desired))


def _without_user(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]


def _describe(name: str, value: str) -> str:
    if not value:
        return f"{name} to nothing"
    if name.lower() == "no_proxy":
        return f"another {name}"
    return f"{name} to {ascii(redact_proxy(value)[:_LONGEST])[1:-1]}"
