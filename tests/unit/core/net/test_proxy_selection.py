"""Selection among several proxies, and when it changes."""

import json
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.net.proxy_health import SERVES, Verdict
from agent.core.net.proxy_selection import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    Choice,
    choice_from_json,
    choice_to_json,
    choose,
    current,
    decided,
    first_choice,
    observe,
    pause,
    wait,
)
from agent.core.net.proxy_url import parse_proxy_url
from agent.core.record import evolve

A, B, C = (parse_proxy_url(f"http://{name}.corp:3128") for name in "abc")
UP, BROKEN, DOWN = (
    Verdict(True, "ok", "up", seconds=0.01),
    Verdict(False, "upstream", "5xx"),
    Verdict(False, "dns", "?"),
)
REFUSES = Verdict(False, "denied", "403")
AFTER = 600.0


def checked(choice, *verdicts, now, after=AFTER):
    """Return the choice after a health check."""
    return observe(choice, verdicts, now=now, wall=1e9 + now, after=after)


@pytest.mark.parametrize(
    ("verdicts", "chosen"),
    [
        ([UP, UP, UP], A),
        ([DOWN, UP, UP], B),
        ([DOWN, DOWN, REFUSES], C),
        ([BROKEN, UP, UP], B),
        ([DOWN, BROKEN, DOWN], B),
        ([DOWN, DOWN, DOWN], A),
        ([BROKEN, BROKEN, DOWN], A),
        ([UP, None, None], A),
    ],
)
def test_first_proxy_that_serves_is_chosen(verdicts, chosen):
    """Otherwise the first that is up, else the first; a proxy that refuses (403, 407) serves."""
    assert choose([A, B, C], verdicts) == chosen
    assert first_choice([A, B, C], verdicts, now=5.0, wall=1e9).chosen == chosen


@pytest.mark.parametrize(
    ("verdicts", "is_decided"),
    [
        ([None, UP, UP], False),
        ([DOWN, UP, None], True),
        ([UP, None, None], True),
        ([DOWN, BROKEN, None], False),
        ([DOWN, BROKEN, DOWN], True),
    ],
)
def test_boot_waits_for_preferred_proxies_only(verdicts, is_decided):
    """Docker waits until a proxy serves and all proxies before it have a verdict."""
    assert decided(verdicts) is is_decided


def test_choice_is_valid_for_its_list_only():
    """With another list or order, or without a choice, the first proxy is used."""
    choice = first_choice([A, B], [DOWN, UP], now=0.0, wall=0.0)
    assert current((A, B), choice) == B
    assert current((B, A), choice) == B
    assert current((A, B, C), choice) == A
    assert current((A,), choice) == A
    assert current((A, B), None) == A
    assert current((), choice) is None


def test_failover_happens_once_after_the_configured_time():
    """In an outage the proxy changes once, after ten minutes, and never back by itself."""
    choice = first_choice([A, B], [UP, UP], now=0.0, wall=0.0)
    now = 0.0
    while choice.chosen == A:
        now += min(pause(choice, interval=600.0, after=AFTER), 60.0)
        choice = checked(choice, DOWN, UP, now=now)
        assert now < 2000
    failed_first = 60.0
    assert now - failed_first == pytest.approx(AFTER)
    for _ in range(100):
        now += 300
        choice = checked(choice, UP, UP, now=now)
        assert choice.chosen == B


def test_outage_starts_again_after_a_recovery():
    """Nine minutes down, a moment up, nine minutes down: the proxy does not change."""
    choice = first_choice([A, B], [UP, UP], now=0.0, wall=0.0)
    now = 0.0
    for verdict in ([DOWN] * 9 + [UP]) * 5:
        now += 60
        choice = checked(choice, verdict, UP, now=now)
    assert choice.chosen == A


def test_no_failover_while_all_proxies_are_down():
    """The first proxy that comes up again is chosen immediately, because the time has passed."""
    choice = first_choice([A, B, C], [DOWN, DOWN, DOWN], now=0.0, wall=0.0)
    for now in range(60, 6000, 60):
        choice = checked(choice, DOWN, DOWN, DOWN, now=float(now))
        assert choice.chosen == A
    assert checked(choice, DOWN, DOWN, UP, now=6000.0).chosen == C


def test_second_outage_may_return_to_the_first_proxy():
    """The second proxy fails for the configured time, and the first one serves."""
    choice = evolve(first_choice([A, B], [DOWN, UP], now=0.0, wall=0.0))
    for now in range(60, 60 * 12, 60):
        choice = checked(choice, UP, DOWN, now=float(now))
    assert choice.chosen == A


def test_no_failover_without_failover_after():
    """With "never" the choice of the boot stays, whatever happens."""
    choice = first_choice([A, B], [UP, UP], now=0.0, wall=0.0)
    for now in range(60, 60000, 60):
        choice = checked(choice, DOWN, UP, now=float(now), after=None)
    assert choice.chosen == A


def test_single_proxy_is_checked_and_stays():
    """Its health is recorded; there is no other proxy to change to."""
    choice = Choice((A,), A)
    for now in range(0, 6000, 60):
        choice = checked(choice, DOWN, now=float(now))
    assert choice.chosen == A
    assert not choice.seen[0].up


def test_since_is_when_the_proxy_came_up_or_went_down():
    """It is not the time of the last health check, and another failure does not change it."""
    choice = checked(Choice((A, B), A), UP, DOWN, now=10.0)
    choice = checked(choice, UP, BROKEN, now=20.0)
    assert [observation.since for observation in choice.seen] == [1e9 + 10, 1e9 + 10]
    choice = checked(choice, DOWN, UP, now=30.0)
    assert [observation.since for observation in choice.seen] == [1e9 + 30, 1e9 + 30]


def test_pause_is_long_while_proxies_serve_and_backs_off_in_an_outage():
    """It is 600 s for one proxy and half of failover_after for several.

    In an outage it is 5, 10, 20, 40, then 60 s.
    """
    assert pause(checked(Choice((A,), A), UP, now=0.0), interval=600.0, after=AFTER) == 600
    assert pause(checked(Choice((A, B), A), UP, UP, now=0.0), interval=600.0, after=AFTER) == 300
    assert pause(checked(Choice((A, B), A), UP, UP, now=0.0), interval=600.0, after=None) == 600
    assert pause(checked(Choice((A, B), A), UP, UP, now=0.0), interval=10.0, after=10.0) == 10
    choice, now, pauses = Choice((A, B), A), 0.0, []
    for _ in range(20):
        choice = checked(choice, DOWN, DOWN, now=now)
        pauses.append(pause(choice, interval=600.0, after=AFTER))
        now += pauses[-1]
    assert pauses[:6] == [FIRST_PAUSE, 10, 20, 40, 60, 60]
    assert max(pauses) == LONGEST_PAUSE
    assert AFTER in accumulate(pauses), "one health check is exactly when the time has passed"


def test_health_check_is_due_when_the_pause_is_nearly_over():
    """It is also due without an earlier one, with other settings, or after the clock went back."""
    choice = checked(first_choice([A, B], [UP, None], now=900.0, wall=0.0), UP, UP, now=1000.0)
    settings = {"interval": 600.0, "after": AFTER}
    assert wait(choice, (A, B), now=1100.0, **settings) == 200
    assert wait(choice, (A, B), now=1250.0, **settings) == 0
    assert wait(choice, (A, B), now=10.0, **settings) == 0
    assert wait(choice, (B, A), now=1100.0, **settings) == 0
    assert wait(None, (A, B), now=1100.0, **settings) == 0
    assert wait(first_choice([A, B], [UP, None], now=1000.0, wall=0.0), (A, B), now=1001.0, **settings) == 0


verdicts_ = st.sampled_from([UP, BROKEN, DOWN, REFUSES])
#: Verdicts of a health check, seconds since the one before, and a jump of the clock.
checks_ = st.lists(
    st.tuples(st.tuples(verdicts_, verdicts_, verdicts_), st.floats(0, 90), st.floats(-1e6, 1e6) | st.just(0.0)),
    max_size=60,
)


@given(checks_, st.sampled_from([10.0, 60.0, 600.0]))
def test_failover_needs_an_outage_of_the_configured_time(checks, after):
    """Whatever the clock does, the chosen proxy failed in every health check for `after` seconds.

    The new proxy is better, and no proxy before it in the list is as good.
    """
    choice, clock, outage = Choice((A, B, C), A), 1000.0, 0.0
    has_failed = False
    for verdicts, elapsed, jump in checks:
        clock += elapsed + jump
        ranks = dict(zip((A, B, C), (verdict.rank for verdict in verdicts)))
        outage = outage + min(max(0.0, elapsed + jump), LONGEST_PAUSE) if has_failed else 0.0
        next_choice = checked(choice, *verdicts, now=clock, after=after)
        if next_choice.chosen != choice.chosen:
            assert ranks[choice.chosen] < SERVES
            assert outage >= after - 1e-3
            assert ranks[next_choice.chosen] == max(ranks.values()) > ranks[choice.chosen]
            assert next_choice.chosen == next(url for url in (A, B, C) if ranks[url] == max(ranks.values()))
            outage = 0.0
        choice = next_choice
        has_failed = ranks[choice.chosen] < SERVES
        if not has_failed:
            outage = 0.0


@given(checks_)
def test_no_failover_while_the_chosen_proxy_serves(checks):
    """A preferred proxy that comes up again is not a reason: flapping is impossible."""
    choice, clock = Choice((A, B, C), B), 0.0
    for (first, _, third), elapsed, jump in checks:
        clock += elapsed + jump
        choice = checked(choice, first, UP, third, now=clock, after=10.0)
        assert choice.chosen == B


@given(checks_)
def test_choice_survives_a_round_trip_through_json(checks):
    """A restarted daemon continues with the choice in /run."""
    choice, clock = Choice((A, B, C), A), 0.0
    for verdicts, elapsed, jump in checks:
        clock += elapsed + jump
        choice = checked(choice, *verdicts, now=clock, after=10.0)
    data = json.loads(json.dumps(choice_to_json(choice)))
    assert set(data) == {"urls", "chosen", "seen", "looked", "failed_for", "looks_failed"}
    assert choice_from_json(data) == choice


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"urls": 5},
        {
            "urls": ["http://a:1"],
            "chosen": "http://b:1",
            "seen": [],
            "looked": 0,
            "failed_for": None,
            "looks_failed": 0,
        },
        {"urls": ["http://a:1"], "chosen": "x", "seen": [], "looked": 0, "failed_for": None, "looks_failed": 0},
        {"urls": ["http://a:1"], "chosen": "http://a:1", "seen": [{}], "looked": 0, "failed_for": 0, "looks_failed": 0},
        {"urls": ["http://a:1"], "chosen": "http://a:1", "seen": [], "looked": "x", "failed_for": 0, "looks_failed": 0},
        {
            "urls": ["http://a:1"],
            "chosen": "http://a:1",
            "seen": [{"url": "http://a:1", "rank": 1, "text": "", "seconds": 1, "since": "x"}],
            "looked": 0,
            "failed_for": None,
            "looks_failed": 0,
        },
        {
            "urls": ["http://a:1"],
            "chosen": "http://a:1",
            "seen": [],
            "looked": 0,
            "failed_for": None,
            "looks_failed": float("inf"),
        },
    ],
)
def test_corrupt_choice_is_ignored(data):
    """The proxies are then checked again."""
    assert choice_from_json(data) is None
