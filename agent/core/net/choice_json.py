"""A Choice as JSON, as /run keeps it until the next boot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from agent.core.net.proxy_selection import Choice, Seen
from agent.core.net.proxy_url import parse_proxy_url


def choice_to_json(choice: Choice) -> dict[str, Any]:
    """What `choice_from_json` reads."""
    return {
        **attrs.asdict(choice),
        "urls": [str(url) for url in choice.urls],
        "chosen": str(choice.chosen),
        "seen": [{**attrs.asdict(one), "url": str(one.url)} for one in choice.seen],
    }


def choice_from_json(data: Mapping[str, Any] | None) -> Choice | None:
    """The Choice, or None when there is none or it is not what we wrote: then the proxies are asked anew."""
    if not data:
        return None
    try:
        urls = tuple(map(parse_proxy_url, data["urls"]))
        choice = Choice(
            urls,
            parse_proxy_url(data["chosen"]),
            tuple(map(_seen, data["seen"])),
            _seconds(data["looked"]),
            _seconds(data["failed_for"]),
            int(data["looks_failed"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return choice if choice.chosen in urls else None


def _seen(one: Mapping[str, Any]) -> Seen:
    return Seen(
        parse_proxy_url(one["url"]), int(one["rank"]), str(one["text"]), float(one["seconds"]), float(one["since"])
    )


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)
