"""Output of `explain`, one target at a time: a paragraph, a row of the matrix, or JSON.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agent.core.noproxy.dialects.dialect import Dialect
from agent.core.noproxy.dialects.java import NonProxyHosts
from agent.core.noproxy.dialects.request import Request
from agent.core.noproxy.entries import spellings
from agent.core.noproxy.explain import BUILT_IN, UNNAMED, Route, Values, disagree, group_by_text, printable

DIRECT, PROXY = "D", "-"
#: Width of the host in the matrix; a longer host moves only the text after it.
_HOST = 46

_BOLD, _GREEN, _YELLOW, _RESET = "\x1b[1m", "\x1b[32m", "\x1b[33m", "\x1b[0m"


def paragraph(target: Request, routes: Sequence[Route], setting: str = "proxy.no_proxy") -> Iterator[str]:
    """Yield the target, then each route with its families, one family a line.

    The families are not listed if all have the same route.  `setting` is where the list is changed.
    """
    yield target.spelled
    groups = group_by_text(routes)
    if len(groups) == 1 or (not disagree(routes) and why(routes)):
        yield f"  {groups[0][0] if len(groups) == 1 else 'direct: ' + why(routes)}, for every client"
        return
    for text, families in groups:
        yield "  " + text
        for family in families:
            yield f"    {family.title:<15}  {', '.join(_programs(family))}".rstrip()
    if disagree(routes):
        names = " and ".join(f'"{name}"' for name in spellings(target.host))
        yield f"  clients disagree; to make it direct for all, add {names} to {setting}"


def why(routes: Sequence[Route]) -> str:
    """Return the entries that make the target direct, with their reasons.

    If there is no entry, an exemption that is built into a client counts.
    """
    direct = [route for route in routes if route.proxy is None and route.entry]
    texts = dict.fromkeys(f"{printable(route.entry)} ({route.reason})" for route in direct if route.reason != BUILT_IN)
    return ", ".join(texts) or (f"needs no entry ({BUILT_IN})" if direct else "")


def _programs(family: Dialect) -> list[str]:
    """Return the programs of a family without those that its title names."""
    return [name for name in family.clients if name not in family.title.split()]


def matrix_head(values: Values, *, colour: bool = False) -> Iterator[str]:
    """Yield the head of the matrix: a staircase of titles, so that a cell is one character wide."""
    environment, names = values.environment, ("http_proxy", "https_proxy")
    proxies = dict.fromkeys(environment.get(name) or environment.get(name.upper()) or "" for name in names)
    shown = " or ".join(filter(None, proxies)) or UNNAMED
    yield f"{DIRECT} direct   {PROXY} through {shown}   ! clients disagree"
    for column, family in enumerate(values.families):
        programs = ", ".join(_programs(family))
        title = family.title + (f" ({programs})" if programs else "")
        yield "| " * column + (_BOLD + title + _RESET if colour else title)


def matrix_row(target: Request, routes: Sequence[Route], *, colour: bool = False, width: int | None = None) -> str:
    """Return a row: a cell for each family, the target, and the entries that make it direct.

    `width` truncates the entries, never the target.
    """
    cells = " ".join(DIRECT if route.proxy is None else PROXY for route in routes)
    mark = "!" if disagree(routes) else " "
    line = f"{cells} {mark} {target.spelled:<{_HOST}}"
    text = f"{line} {why(routes)}".rstrip()
    if width is not None and len(text) > max(width, len(line.rstrip())):
        text = text[: max(width, len(line.rstrip()))]
    return _coloured(text, len(cells)) if colour else text


def _coloured(text: str, cells: int) -> str:
    marks = {DIRECT: _GREEN + DIRECT + _RESET, "!": _YELLOW + "!" + _RESET}
    return "".join(marks.get(char, char) for char in text[: cells + 2]) + text[cells + 2 :]


def objects(target: Request, routes: Sequence[Route]) -> list[dict[str, Any]]:
    """Return one object for each family.

    `proxy` is null if the route is direct, or if no proxy was named.
    """
    return [
        {
            "target": target.spelled,
            "scheme": target.scheme,
            "host": target.host,
            "port": target.port,
            "client": route.dialect.name,
            "programs": list(route.dialect.clients),
            "direct": route.proxy is None,
            "proxy": None if route.proxy == UNNAMED else route.proxy,
            "entry": route.entry or None,
            "reason": route.reason or None,
        }
        for route in routes
    ]


def java_object(java: NonProxyHosts) -> dict[str, Any]:
    """Return the object of Java, which has an option instead of routes.

    The option is null if its value would be empty.
    """
    left_out = [printable(entry) for entry in java.left_out]
    return {"client": "java", "programs": ["java"], "option": java.option or None, "left_out": left_out}


def problem(text: str, error: str) -> dict[str, Any]:
    """Return the object of a target that is not valid."""
    return {"target": printable(text), "error": error}
