"""What `explain` prints: a paragraph, a row of the matrix, or JSON objects for each target.  Pure; a target at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agent.core.noproxy.dialects.dialect import Dialect
from agent.core.noproxy.dialects.families import DIALECTS
from agent.core.noproxy.dialects.java import NonProxyHosts
from agent.core.noproxy.dialects.request import Request
from agent.core.noproxy.entries import spellings
from agent.core.noproxy.explain import BUILT_IN, UNNAMED, Values, Way, disagree, groups, printable

DIRECT, PROXY = "D", "-"
#: Columns of a host in the matrix; a longer one moves only what stands behind it.
_HOST = 46

_BOLD, _GREEN, _YELLOW, _RESET = "\x1b[1m", "\x1b[32m", "\x1b[33m", "\x1b[0m"


def paragraph(target: Request, found: Sequence[Way]) -> Iterator[str]:
    """The target, then each way with the families that take it, one a line unless all take the same."""
    yield target.spelled
    by_text = groups(found)
    if len(by_text) == 1 or (not disagree(found) and why(found)):
        yield f"  {by_text[0][0] if len(by_text) == 1 else 'direct: ' + why(found)}, for every client"
        return
    for text, families in by_text:
        yield "  " + text
        for family in families:
            yield "    {:<15}  {}".format(family.title, ", ".join(_programs(family))).rstrip()
    if disagree(found):
        names = " and ".join(f'"{name}"' for name in spellings(target.host))
        yield f"  clients disagree; to have it direct for all, add {names} to proxy.no_proxy"


def why(found: Sequence[Way]) -> str:
    """The entries that make it direct, with their reasons; what is built into a client counts if there is nothing else."""
    direct = [way for way in found if way.proxy is None and way.entry]
    texts = dict.fromkeys(f"{printable(way.entry)} ({way.reason})" for way in direct if way.reason != BUILT_IN)
    return ", ".join(texts) or (f"needs no entry ({BUILT_IN})" if direct else "")


def _programs(family: Dialect) -> list[str]:
    """The programs that the family's title does not name already."""
    return [name for name in family.clients if name not in family.title.split()]


def matrix_head(values: Values, *, colour: bool = False) -> Iterator[str]:
    """What the columns mean, as a staircase: the cells can then be one character wide."""
    known = values.environment
    proxies = dict.fromkeys(known.get(name) or known.get(name.upper()) or "" for name in ("http_proxy", "https_proxy"))
    shown = " or ".join(filter(None, proxies)) or UNNAMED
    yield f"{DIRECT} direct   {PROXY} through {shown}   ! clients disagree"
    for at, family in enumerate(DIALECTS):
        programs = ", ".join(_programs(family))
        title = family.title + (f" ({programs})" if programs else "")
        yield "| " * at + (_BOLD + title + _RESET if colour else title)


def matrix_row(target: Request, found: Sequence[Way], *, colour: bool = False, width: int | None = None) -> str:
    """One cell for each family, the target, and the entries that make it direct; cut to `width` where they stand."""
    cells = " ".join(DIRECT if way.proxy is None else PROXY for way in found)
    mark = "!" if disagree(found) else " "
    line = f"{cells} {mark} {target.spelled:<{_HOST}}"
    text = (f"{line} {why(found)}").rstrip()
    if width is not None and len(text) > max(width, len(line.rstrip())):
        text = text[: max(width, len(line.rstrip()))]
    return _painted(text, len(cells)) if colour else text


def _painted(text: str, cells: int) -> str:
    marks = {DIRECT: _GREEN + DIRECT + _RESET, "!": _YELLOW + "!" + _RESET}
    return "".join(marks.get(char, char) for char in text[: cells + 2]) + text[cells + 2 :]


def objects(target: Request, found: Sequence[Way]) -> list[dict[str, Any]]:
    """One object for each family; `proxy` is null where the request goes directly, or where nobody named the proxy."""
    return [
        {
            "target": target.spelled,
            "scheme": target.scheme,
            "host": target.host,
            "port": target.port,
            "client": way.dialect.name,
            "programs": list(way.dialect.clients),
            "direct": way.proxy is None,
            "proxy": None if way.proxy == UNNAMED else way.proxy,
            "entry": way.entry or None,
            "reason": way.reason or None,
        }
        for way in found
    ]


def java_object(java: NonProxyHosts) -> dict[str, Any]:
    """The object of Java, which has an option instead of ways; null when there is nothing to say with it."""
    left_out = [printable(entry) for entry in java.left_out]
    return {"client": "java", "programs": ["java"], "option": java.option or None, "left_out": left_out}


def problem(text: str, error: str) -> dict[str, Any]:
    """The object of a target that cannot be explained."""
    return {"target": printable(text), "error": error}
