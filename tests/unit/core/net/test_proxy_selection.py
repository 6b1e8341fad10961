"""Which of several proxies is used, and when that changes."""

import json
from itertools import accumulate

import attrs
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

A, B, C = (parse_proxy_url(f"http://{name}.corp:3128") for name in "abc")
UP, BROKEN, DOWN = (
    Verdict(True, "ok", "up", seconds=0.01),
    Verdict(False, "upstream", "5xx"),
    Verdict(False, "dns", "?"),
)
REFUSES = Verdict(False, "denied", "403")
AFTER = 600.0


def seen(choice, *verdicts, now, after=AFTER):
    """The choice after a look."""
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
def test_the_first_that_serves_is_chosen(verdicts, chosen):
    """Else the first that lives, else the first; a proxy that refuses (403, 407) lives and
    serves.
    """
    assert choose([A, B, C], verdicts) == chosen
    assert first_choice([A, B, C], verdicts, now=5.0, wall=1e9).chosen == chosen


@pytest.mark.parametrize(
    ("verdicts", "enough"),
    [
        ([None, UP, UP], False),
        ([DOWN, UP, None], True),
        ([UP, None, None], True),
        ([DOWN, BROKEN, None], False),
        ([DOWN, BROKEN, DOWN], True),
    ],
)
def test_a_boot_waits_for_those_that_are_preferred_only(verdicts, enough):
    """Once one serves and all before it have been heard, docker is held up no longer."""
    assert decided(verdicts) is enough


def test_other_settings_make_another_choice():
    """The choice counts for the list that it was made of, in that order; without one the first is
    used.
    """
    choice = first_choice([A, B], [DOWN, UP], now=0.0, wall=0.0)
    assert current((A, B), choice) == B
    assert current((B, A), choice) == B
    assert current((A, B, C), choice) == A
    assert current((A,), choice) == A
    assert current((A, B), None) == A
    assert current((), choice) is None


def test_one_switch_after_the_set_time_none_before_none_back():
    """The story of an outage: ten minutes of patience, one change, and the first proxy's return
    changes nothing.
    """
    choice = first_choice([A, B], [UP, UP], now=0.0, wall=0.0)
    now = 0.0
    while choice.chosen == A:
        now += min(pause(choice, interval=600.0, after=AFTER), 60.0)
        choice = seen(choice, DOWN, UP, now=now)
        assert now < 2000
    failed_first = 60.0
    assert now - failed_first == pytest.approx(AFTER)
    for _ in range(100):
        now += 300
        choice = seen(choice, UP, UP, now=now)
        assert choice.chosen == B


def test_an_outage_that_ends_counts_for_nothing():
    """Nine minutes down, a moment up, nine minutes down: no change."""
    choice = first_choice([A, B], [UP, UP], now=0.0, wall=0.0)
    now = 0.0
    for verdict in ([DOWN] * 9 + [UP]) * 5:
        now += 60
        choice = seen(choice, verdict, UP, now=now)
    assert choice.chosen == A


def test_nothing_changes_while_no_other_is_better():
    """All dead: the chosen one stays; the first that comes back is taken at once, because the time
    has long passed.
    """
    choice = first_choice([A, B, C], [DOWN, DOWN, DOWN], now=0.0, wall=0.0)
    for now in range(60, 6000, 60):
        choice = seen(choice, DOWN, DOWN, DOWN, now=float(now))
        assert choice.chosen == A
    assert seen(choice, DOWN, DOWN, UP, now=6000.0).chosen == C


def test_a_second_outage_may_lead_back():
    """Not by itself, but when the second proxy fails for as long and the first is there."""
    choice = attrs.evolve(first_choice([A, B], [DOWN, UP], now=0.0, wall=0.0))
    for now in range(60, 60 * 12, 60):
        choice = seen(choice, UP, DOWN, now=float(now))
    assert choice.chosen == A


def test_never_means_never():
    """Without failover_after the choice of the boot stays, whatever happens."""
    choice = first_choice([A, B], [UP, UP], now=0.0, wall=0.0)
    for now in range(60, 60000, 60):
        choice = seen(choice, DOWN, UP, now=float(now), after=None)
    assert choice.chosen == A


def test_a_single_proxy_is_looked_at_and_stays():
    """Its health is news; there is nothing to change to."""
    choice = Choice((A,), A)
    for now in range(0, 6000, 60):
        choice = seen(choice, DOWN, now=float(now))
    assert choice.chosen == A
    assert not choice.seen[0].up


def test_since_is_when_it_came_up_or_went_down():
    """And not when it was last looked at, or broke in another way."""
    choice = seen(Choice((A, B), A), UP, DOWN, now=10.0)
    choice = seen(choice, UP, BROKEN, now=20.0)
    assert [one.since for one in choice.seen] == [1e9 + 10, 1e9 + 10]
    choice = seen(choice, DOWN, UP, now=30.0)
    assert [one.since for one in choice.seen] == [1e9 + 30, 1e9 + 30]


def test_looks_are_rare_while_all_is_well_and_back_off_in_an_outage():
    """Ten minutes for one proxy, half of failover_after for several; 5, 10, 20, 40 and then 60
    seconds in an outage.
    """
    assert pause(seen(Choice((A,), A), UP, now=0.0), interval=600.0, after=AFTER) == 600
    assert pause(seen(Choice((A, B), A), UP, UP, now=0.0), interval=600.0, after=AFTER) == 300
    assert pause(seen(Choice((A, B), A), UP, UP, now=0.0), interval=600.0, after=None) == 600
    assert pause(seen(Choice((A, B), A), UP, UP, now=0.0), interval=10.0, after=10.0) == 10
    choice, now, pauses = Choice((A, B), A), 0.0, []
    for _ in range(20):
        choice = seen(choice, DOWN, DOWN, now=now)
        pauses.append(pause(choice, interval=600.0, after=AFTER))
        now += pauses[-1]
    assert pauses[:6] == [FIRST_PAUSE, 10, 20, 40, 60, 60]
    assert max(pauses) == LONGEST_PAUSE
    assert AFTER in accumulate(pauses), "one look falls on the moment at which the time is up"


def test_a_look_is_due_when_the_pause_is_nearly_over():
    """Before that a caller is told how long to wait; without a look, with other settings or a clock
    that went back it is.
    """
    choice = seen(first_choice([A, B], [UP, None], now=900.0, wall=0.0), UP, UP, now=1000.0)
    rest = {"interval": 600.0, "after": AFTER}
    assert wait(choice, (A, B), now=1100.0, **rest) == 200
    assert wait(choice, (A, B), now=1250.0, **rest) == 0
    assert wait(choice, (A, B), now=10.0, **rest) == 0
    assert wait(choice, (B, A), now=1100.0, **rest) == 0
    assert wait(None, (A, B), now=1100.0, **rest) == 0
    assert wait(first_choice([A, B], [UP, None], now=1000.0, wall=0.0), (A, B), now=1001.0, **rest) == 0


verdicts_ = st.sampled_from([UP, BROKEN, DOWN, REFUSES])
#: What happens between two looks, and what the clock then says: it may stand still, jump ahead, or
#: go back.
looks_ = st.lists(
    st.tuples(st.tuples(verdicts_, verdicts_, verdicts_), st.floats(0, 90), st.floats(-1e6, 1e6) | st.just(0.0)),
    max_size=60,
)


@given(looks_, st.sampled_from([10.0, 60.0, 600.0]))
def test_a_change_takes_an_outage_of_the_set_time(looks, after):
    """Whatever the clock does: the chosen one had failed in every look of a span that took `after`
    seconds at least.

    The new one is better than it, and none that the owner prefers is as good.
    """
    choice, clock, failing = Choice((A, B, C), A), 1000.0, 0.0
    failed_before = False
    for verdicts, passed, jump in looks:
        clock += passed + jump
        ranks = dict(zip((A, B, C), (verdict.rank for verdict in verdicts)))
        failing = failing + min(max(0.0, passed + jump), LONGEST_PAUSE) if failed_before else 0.0
        after_it = seen(choice, *verdicts, now=clock, after=after)
        if after_it.chosen != choice.chosen:
            assert ranks[choice.chosen] < SERVES
            assert failing >= after - 1e-3
            assert ranks[after_it.chosen] == max(ranks.values()) > ranks[choice.chosen]
            assert after_it.chosen == next(url for url in (A, B, C) if ranks[url] == max(ranks.values()))
            failing = 0.0
        choice = after_it
        failed_before = ranks[choice.chosen] < SERVES
        if not failed_before:
            failing = 0.0


@given(looks_)
def test_while_the_chosen_one_serves_nothing_changes(looks):
    """A preferred proxy that is back is no reason: no flapping by construction."""
    choice, clock = Choice((A, B, C), B), 0.0
    for (first, _, third), passed, jump in looks:
        clock += passed + jump
        choice = seen(choice, first, UP, third, now=clock, after=10.0)
        assert choice.chosen == B


@given(looks_)
def test_a_choice_survives_its_file(looks):
    """What is read from /run is what was written, so a daemon that is started again goes on where
    it was.
    """
    choice, clock = Choice((A, B, C), A), 0.0
    for verdicts, passed, jump in looks:
        clock += passed + jump
        choice = seen(choice, *verdicts, now=clock, after=10.0)
    assert choice_from_json(json.loads(json.dumps(choice_to_json(choice)))) == choice


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
def test_what_we_did_not_write_is_no_choice(data):
    """Then the proxies are asked anew."""
    assert choice_from_json(data) is None
