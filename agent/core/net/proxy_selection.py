"""Selection among several proxies.  Pure.

The proxy is chosen at boot.  It changes only after an outage of the chosen one, and never back by
itself.  Verdicts and time are arguments.  An outage is counted in seconds between health checks,
and a gap counts at most LONGEST_PAUSE: neither a jumping clock nor a stopped daemon makes an outage
longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.core.net.proxy_health import DEAD, SERVES, Verdict
from agent.core.net.proxy_url import ProxyUrl, parse_proxy_url
from agent.core.record import asdict, evolve, record

#: Seconds until the next health check while the chosen proxy fails: the first pause, doubled up to
#: the longest.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
#: While the proxies serve, the pause is half of watch.failover_after, but at least this (seconds).
SHORTEST_WELL = 10.0


@record
class ProxyObservation:
    """Result of the last health check of one proxy.

    `seconds` is the response time.  `since` is when the proxy came up or went down (seconds since
    1970).
    """

    url: ProxyUrl
    rank: int
    text: str
    seconds: float
    since: float

    @property
    def up(self) -> bool:
        """Return True if the proxy carries requests."""
        return self.rank == SERVES


@record
class Choice:
    """The proxies in the operator's order, the one in use, and the length of its outage.

    `urls` is the key: other settings need another choice.  `checked_at` is the time of the last
    health check (monotonic seconds), None before the first.  `failed_for` is the length of the
    outage in seconds, None while the chosen proxy serves.
    """

    urls: tuple[ProxyUrl, ...]
    chosen: ProxyUrl
    seen: tuple[ProxyObservation, ...] = ()
    checked_at: float | None = None
    failed_for: float | None = None
    failed_checks: int = 0


def current(urls: Sequence[ProxyUrl], choice: Choice | None) -> ProxyUrl | None:
    """Return the proxy to use.

    It is the chosen one if the choice was made among `urls`, else the first of them.
    """
    if not urls:
        return None
    return choice.chosen if choice is not None and choice.urls == tuple(urls) else urls[0]


def decided(verdicts: Sequence[Verdict | None]) -> bool:
    """Return True if no further verdict can change the choice.

    That is so if a proxy serves and all proxies before it have a verdict.
    """
    for verdict in verdicts:
        if verdict is None:
            return False
        if verdict.rank == SERVES:
            return True
    return True


def choose(urls: Sequence[ProxyUrl], verdicts: Sequence[Verdict | None]) -> ProxyUrl:
    """Return the first proxy that serves, else the first that is up, else the first."""
    ranks = [DEAD if verdict is None else verdict.rank for verdict in verdicts]
    return urls[ranks.index(max(ranks))]


def first_choice(urls: Sequence[ProxyUrl], verdicts: Sequence[Verdict | None], *, now: float, wall: float) -> Choice:
    """Return the choice at boot.

    It does not count as a health check, because it does not wait for all proxies.
    """
    choice = observe(Choice(tuple(urls), choose(urls, verdicts)), verdicts, now=now, wall=wall, after=None)
    return evolve(choice, checked_at=None)


def observe(
    choice: Choice, verdicts: Sequence[Verdict | None], *, now: float, wall: float, after: float | None
) -> Choice:
    """Return the choice after a health check; a verdict is None if it was not waited for.

    `now` is in monotonic seconds, `wall` in seconds since 1970.  Another proxy is chosen, in the
    operator's order, if the current one has failed for `after` seconds (None: never) and the other
    one has a higher rank.  A higher rank alone is not enough.
    """
    seen = tuple(_observation(choice, url, verdict, wall) for url, verdict in zip(choice.urls, verdicts) if verdict)
    ranks = {url: DEAD if verdict is None else verdict.rank for url, verdict in zip(choice.urls, verdicts)}
    if ranks[choice.chosen] == SERVES:
        return evolve(choice, seen=seen, checked_at=now, failed_for=None, failed_checks=0)
    failed_for = 0.0
    if choice.failed_for is not None and choice.checked_at is not None:
        failed_for = choice.failed_for + min(max(0.0, now - choice.checked_at), LONGEST_PAUSE)
    better = choose(choice.urls, verdicts)
    if after is not None and failed_for >= after and ranks[better] > ranks[choice.chosen]:
        serves = ranks[better] == SERVES
        return evolve(
            choice, chosen=better, seen=seen, checked_at=now, failed_for=None if serves else 0.0, failed_checks=0
        )
    return evolve(choice, seen=seen, checked_at=now, failed_for=failed_for, failed_checks=choice.failed_checks + 1)


def pause(choice: Choice, *, interval: float, after: float | None) -> float:
    """Return the seconds until the next health check.

    The pause is long while the chosen proxy serves.  In an outage it backs off, and never exceeds
    the rest of `after`.
    """
    if choice.failed_for is None:
        if len(choice.urls) < 2 or after is None:
            return interval
        return min(interval, max(SHORTEST_WELL, after / 2))
    backed_off = min(FIRST_PAUSE * 2.0 ** min(max(choice.failed_checks - 1, 0), 10), LONGEST_PAUSE, interval)
    remaining = after - choice.failed_for if after is not None else 0.0
    return min(backed_off, remaining) if remaining > 0 else backed_off


def wait(choice: Choice | None, urls: Sequence[ProxyUrl], *, now: float, interval: float, after: float | None) -> float:
    """Return the seconds until a health check is due, 0 if it is due.

    It is due after 80 % of the pause, for callers with jitter.
    """
    if choice is None or choice.urls != tuple(urls) or choice.checked_at is None:
        return 0.0
    elapsed, total = now - choice.checked_at, pause(choice, interval=interval, after=after)
    return total - elapsed if 0 <= elapsed < 0.8 * total else 0.0


def _observation(choice: Choice, url: ProxyUrl, verdict: Verdict, wall: float) -> ProxyObservation:
    before = next((observation for observation in choice.seen if observation.url == url), None)
    is_same = before is not None and before.up == (verdict.rank == SERVES)
    since = before.since if before is not None and is_same else wall
    return ProxyObservation(url, verdict.rank, verdict.text, verdict.seconds, since)


def choice_to_json(choice: Choice) -> dict[str, Any]:
    """Return the choice as JSON data, which `choice_from_json` reads."""
    return {
        "urls": [str(url) for url in choice.urls],
        "chosen": str(choice.chosen),
        "seen": [{**asdict(observation), "url": str(observation.url)} for observation in choice.seen],
        "looked": choice.checked_at,
        "failed_for": choice.failed_for,
        "looks_failed": choice.failed_checks,
    }


#: Seconds: no check takes longer, and no clock is set later, to the year 3000.
_LONGEST, _LATEST = 1e9, 32503680000


def choice_from_json(data: Mapping[str, Any] | None) -> Choice | None:
    """Return the Choice, or None if there is none or the data is corrupt.

    Then the proxies are checked again.
    """
    if not data:
        return None
    try:
        urls = tuple(map(parse_proxy_url, data["urls"]))
        choice = Choice(
            urls,
            parse_proxy_url(data["chosen"]),
            tuple(map(_observation_from_json, data["seen"])),
            _seconds(data["looked"]),
            _seconds(data["failed_for"]),
            int(data["looks_failed"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return choice if choice.chosen in urls else None


def _observation_from_json(data: Mapping[str, Any]) -> ProxyObservation:
    if not (0 <= float(data["seconds"]) < _LONGEST and 0 <= float(data["since"]) < _LATEST):
        raise ValueError("not a duration and a moment of this millennium")
    return ProxyObservation(
        parse_proxy_url(data["url"]), int(data["rank"]), str(data["text"]), float(data["seconds"]), float(data["since"])
    )


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)
