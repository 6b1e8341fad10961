"""Which of several proxies: chosen once at boot, changed only after an outage of the chosen one, never changed back.

Pure: what was seen and how much time has passed are handed in.  Time is counted in seconds between
looks, and a gap counts no more than the longest pause: a clock that jumps, or a daemon that was
stopped, makes no outage longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from agent.core.net.proxy_health import DEAD, SERVES, Verdict
from agent.core.net.proxy_url import ProxyUrl, parse_proxy_url

#: Seconds until the next look while the chosen proxy fails: the first pause, doubled up to the
#: longest.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
#: Between looks at proxies that are well it takes half of watch.failover_after, but never less than
#: this.
SHORTEST_WELL = 10.0


@attrs.frozen
class Seen:
    """What the last look found of one proxy; `since` is when (seconds since 1970) it came up or went down.

    `seconds` is how long its answer took.
    """

    url: ProxyUrl
    rank: int
    text: str
    seconds: float
    since: float

    @property
    def up(self) -> bool:
        """Whether it carries requests."""
        return self.rank == SERVES


@attrs.frozen
class Choice:
    """The proxies in the owner's order, the one in use, and for how long it has failed without a break.

    `urls` is the key: other settings make another choice.  `looked` is when (monotonic seconds) the
    last look was, None before the first; `failed_for` is None while the chosen one serves.
    """

    urls: tuple[ProxyUrl, ...]
    chosen: ProxyUrl
    seen: tuple[Seen, ...] = ()
    looked: float | None = None
    failed_for: float | None = None
    looks_failed: int = 0


def current(urls: Sequence[ProxyUrl], choice: Choice | None) -> ProxyUrl | None:
    """The proxy to be used: the chosen one if the choice was made among these, else the first."""
    if not urls:
        return None
    return choice.chosen if choice is not None and choice.urls == tuple(urls) else urls[0]


def decided(verdicts: Sequence[Verdict | None]) -> bool:
    """Whether the rest need not be waited for: one serves, and all that are preferred to it have been heard."""
    for verdict in verdicts:
        if verdict is None:
            return False
        if verdict.rank == SERVES:
            return True
    return True


def choose(urls: Sequence[ProxyUrl], verdicts: Sequence[Verdict | None]) -> ProxyUrl:
    """The first that serves, else the first that lives, else the first."""
    ranks = [DEAD if verdict is None else verdict.rank for verdict in verdicts]
    return urls[ranks.index(max(ranks))]


def first_choice(urls: Sequence[ProxyUrl], verdicts: Sequence[Verdict | None], *, now: float, wall: float) -> Choice:
    """The choice of a boot; it is no look yet, because it did not wait for all."""
    choice = observe(Choice(tuple(urls), choose(urls, verdicts)), verdicts, now=now, wall=wall, after=None)
    return attrs.evolve(choice, looked=None)


def observe(
    choice: Choice, verdicts: Sequence[Verdict | None], *, now: float, wall: float, after: float | None
) -> Choice:
    """The choice after a look, at `now` in monotonic seconds and `wall` in seconds since 1970; None was not waited for.

    The chosen one changes when it has failed for `after` seconds (None: never) and another is
    better, in the owner's order; what is better by itself is no reason.
    """
    seen = tuple(_seen(choice, url, verdict, wall) for url, verdict in zip(choice.urls, verdicts) if verdict)
    ranks = {url: DEAD if verdict is None else verdict.rank for url, verdict in zip(choice.urls, verdicts)}
    if ranks[choice.chosen] == SERVES:
        return attrs.evolve(choice, seen=seen, looked=now, failed_for=None, looks_failed=0)
    failed_for = 0.0
    if choice.failed_for is not None and choice.looked is not None:
        failed_for = choice.failed_for + min(max(0.0, now - choice.looked), LONGEST_PAUSE)
    better = choose(choice.urls, verdicts)
    if after is not None and failed_for >= after and ranks[better] > ranks[choice.chosen]:
        serves = ranks[better] == SERVES
        return attrs.evolve(
            choice, chosen=better, seen=seen, looked=now, failed_for=None if serves else 0.0, looks_failed=0
        )
    return attrs.evolve(choice, seen=seen, looked=now, failed_for=failed_for, looks_failed=choice.looks_failed + 1)


def pause(choice: Choice, *, interval: float, after: float | None) -> float:
    """Seconds until the next look: rare while all is well; with back-off in an outage, and just when its time is up."""
    if choice.failed_for is None:
        if len(choice.urls) < 2 or after is None:
            return interval
        return min(interval, max(SHORTEST_WELL, after / 2))
    backed_off = min(FIRST_PAUSE * 2.0 ** min(max(choice.looks_failed - 1, 0), 10), LONGEST_PAUSE, interval)
    left = after - choice.failed_for if after is not None else 0.0
    return min(backed_off, left) if left > 0 else backed_off


def wait(choice: Choice | None, urls: Sequence[ProxyUrl], *, now: float, interval: float, after: float | None) -> float:
    """Seconds until a look is due, 0 when it is: a fifth too early is early enough, for callers with jitter."""
    if choice is None or choice.urls != tuple(urls) or choice.looked is None:
        return 0.0
    passed, whole = now - choice.looked, pause(choice, interval=interval, after=after)
    return whole - passed if 0 <= passed < 0.8 * whole else 0.0


def _seen(choice: Choice, url: ProxyUrl, verdict: Verdict, wall: float) -> Seen:
    before = next((one for one in choice.seen if one.url == url), None)
    same = before is not None and before.up == (verdict.rank == SERVES)
    since = before.since if before is not None and same else wall
    return Seen(url, verdict.rank, verdict.text, verdict.seconds, since)


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
            tuple(map(_seen_from_json, data["seen"])),
            _seconds(data["looked"]),
            _seconds(data["failed_for"]),
            int(data["looks_failed"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return choice if choice.chosen in urls else None


def _seen_from_json(one: Mapping[str, Any]) -> Seen:
    return Seen(
        parse_proxy_url(one["url"]), int(one["rank"]), str(one["text"]), float(one["seconds"]), float(one["since"])
    )


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)
