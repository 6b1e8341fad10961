"""What the daemon remembers: which change was asked for, which file is fought over, what metadata
only forgot.
"""

from __future__ import annotations

import json

import attrs
import pytest

from agent.core.facts.instance import Facts
from agent.core.intent.intent import Intent
from agent.core.net.proxy_url import Credentials, ProxyUrl
from agent.core.plan.desired import desired_files
from agent.core.plan.drift import (
    ABSENT,
    HOUR,
    PASSES,
    REPAIRS,
    USER_DATA,
    Memory,
    desired_digest,
    memory_from_json,
    steady,
)
from agent.core.plan.files.environment import ENVIRONMENT, NODE_ENV, EnvironmentFile, render
from agent.core.plan.files.managed_file import Effect, WholeFile
from agent.core.plan.files.yum_conf import YUM_CONF
from agent.core.plan.plan import Baseline, Change, FileState, Plan, digest, make_plan, make_revert
from agent.core.settings.schema import Settings
from agent.errors import FileError

PATH = "/etc/environment"
PLAN = Plan((Change(PATH, b"x", b"y"),))
WISHES = {PATH: "as before"}
MEMORY = Memory(instance="i-0123456789abcdef0", desired=WISHES)
FACTS = Facts("i-0123456789abcdef0", "", ("10.0.0.0/16", "10.1.0.0/16"), (), "eu-west-1", "amazonaws.com", "aws")


def test_what_was_wanted_before_and_differs_is_drift() -> None:
    """A change is drift when the same was wanted of the file at the last pass; else the wish has
    changed.
    """
    assert MEMORY.drifted(PLAN, WISHES) == PLAN.changes
    assert MEMORY.drifted(PLAN, {PATH: "something else"}) == ()
    assert Memory().drifted(PLAN, WISHES) == (), "before the first pass since power on nothing is known"
    assert MEMORY.drifted(PLAN, {}) == (), "what is taken back is wanted no longer"


def test_what_could_not_be_written_is_still_asked_for() -> None:
    """When the disk takes it at last it is no drift, unless it was one before."""
    other = Change("/etc/dnf/dnf.conf", None, b"z")
    asked = {PATH: "new", other.path: "new"}
    missed = attrs.evolve(MEMORY, desired=MEMORY.still_desired(asked, [*PLAN.changes, other]))
    assert missed.desired == WISHES
    assert missed.drifted(Plan((*PLAN.changes, other)), asked) == ()
    assert MEMORY.drifted(PLAN, MEMORY.still_desired(WISHES, PLAN.changes)) == PLAN.changes


def test_a_person_s_plan_is_no_drift_and_makes_peace() -> None:
    """After `apply` nothing counts as mended or fought over, and its wishes are the ones to compare
    with.
    """
    contested = attrs.evolve(MEMORY, repairs={PATH: (1.0,)}, contested={PATH: 1.0}, total=5)
    after = contested.asked(PLAN, {PATH: "new"}, 2.0)
    assert (after.repairs, after.contested, after.desired, after.total) == ({}, {}, {PATH: "new"}, 5)


def test_a_file_is_fought_over_after_so_many_repairs_within_an_hour() -> None:
    """The last repair is still done; then the file is left alone, as long as nothing else is wanted
    of it.
    """
    memory = MEMORY
    for number in range(REPAIRS):
        assert memory.left_alone(WISHES) == frozenset()
        memory = memory.after(PLAN, WISHES, number * HOUR / REPAIRS)
    assert memory.left_alone(WISHES) == {PATH}
    assert memory.total == REPAIRS
    assert memory.left_alone({PATH: "something else"}) == frozenset(), "another wish is a new matter"
    assert memory.reset().left_alone(WISHES) == frozenset()
    quiet = memory.after(Plan(), WISHES, 10 * HOUR)
    assert quiet.left_alone(WISHES) == {PATH}, "time alone makes no peace"


def test_repairs_that_are_far_apart_are_no_fight() -> None:
    """As many repairs over more than an hour are repairs."""
    memory = MEMORY
    for number in range(5 * REPAIRS):
        memory = memory.after(PLAN, WISHES, number * HOUR / (REPAIRS - 1))
    assert memory.contested == {}
    assert len(memory.repairs[PATH]) < REPAIRS


def test_a_fight_is_told_at_once_and_then_once_an_hour() -> None:
    """Loud, but no flood."""
    memory, reported = MEMORY, []
    for _ in range(REPAIRS):
        memory = memory.after(PLAN, WISHES, 99.5)
    for now in range(100, 100 + int(2.5 * HOUR), 600):
        due, memory = memory.to_say(float(now))
        reported += [now] if due else []
    assert reported == [100, 3700, 7300]


def test_the_same_is_said_once() -> None:
    """What is news of its kind is told, the same again is not; nothing is no news, and makes the
    next one news.
    """
    news, memory = MEMORY.says("stale", "docker")
    assert news
    assert memory.says("stale", "docker") == (False, memory)
    quiet, memory = memory.says("stale", "")
    assert not quiet
    assert memory.says("stale", "docker")[0]


def test_the_memory_survives_a_restart_of_the_daemon() -> None:
    """As JSON and back it is the same; garbage is a new memory."""
    memory = Memory("i", {"a": "b"}, {"a": (1.5, 2.0)}, 3, {"c": 4.0}, {"10.0.0.0/16": (2, 5.0)}, 1, {"x": "y"}, 6.0)
    assert memory_from_json(json.loads(json.dumps(attrs.asdict(memory)))) == memory
    for data in (None, {}, {"instance": 1}, {**attrs.asdict(memory), "missing": {"x": [1]}}):
        assert memory_from_json(data) == Memory()


def test_an_upgrade_at_run_time_forgets_nothing() -> None:
    """Version 0.1 called some of the fields otherwise."""
    old = {"instance": "i", "wishes": {"a": "b"}, "repairs": {}, "total": 3, "fought": {"c": 4.0}, "missing": {}}
    old.update(failures=1, told={"x": "y"}, anchored=6.0)
    memory = Memory("i", {"a": "b"}, {}, 3, {"c": 4.0}, {}, 1, {"x": "y"}, 6.0)
    assert memory_from_json(old) == memory


def lived(*answers: tuple[float, Facts]) -> tuple[Facts, Memory]:
    """What is believed after these answers of the metadata service, the first of which made the
    memory.
    """
    memory, known = MEMORY, FACTS
    for now, facts in answers:
        known, memory = steady(facts, known, memory, now)
    return known, memory


def test_a_cidr_that_is_missing_for_a_pass_stays() -> None:
    """And when it is back, nothing is remembered of that."""
    lie = attrs.evolve(FACTS, vpc_cidrs_v4=("10.1.0.0/16",))
    assert lived((0.0, lie)) == (FACTS, attrs.evolve(MEMORY, missing={"10.0.0.0/16": (1, 0.0)}))
    assert lived((0.0, lie), (600.0, FACTS)) == (FACTS, MEMORY)
    assert lived((0.0, lie), (600.0, FACTS), (1200.0, lie), (1800.0, lie))[0] == FACTS, "counted in a row"


def test_a_cidr_goes_when_it_was_missing_often_and_long_enough() -> None:
    """Neither many quick passes nor a few slow ones are enough alone."""
    lie = attrs.evolve(FACTS, vpc_cidrs_v4=("10.1.0.0/16",))
    quick = [(number * 1.0, lie) for number in range(50)]
    assert lived(*quick)[0] == FACTS
    assert lived((0.0, lie), (ABSENT + 1, lie))[0] == FACTS
    assert lived(*[(number * ABSENT, lie) for number in range(PASSES)])[0] == lie


def test_a_new_cidr_counts_at_once_also_beside_one_that_is_missing() -> None:
    """And the list stays sorted by number."""
    answer = attrs.evolve(FACTS, vpc_cidrs_v4=("10.1.0.0/16", "100.64.0.0/16", "9.0.0.0/16"))
    found, _ = lived((0.0, answer))
    assert found.vpc_cidrs_v4 == ("9.0.0.0/16", "10.0.0.0/16", "10.1.0.0/16", "100.64.0.0/16")


def test_user_data_does_not_vanish_at_once() -> None:
    """It may hold the settings; other user data is taken at once."""
    known = attrs.evolve(FACTS, user_data=b"settings")
    assert steady(FACTS, known, MEMORY, 0.0) == (known, attrs.evolve(MEMORY, missing={USER_DATA: (1, 0.0)}))
    other = attrs.evolve(FACTS, user_data=b"others")
    assert steady(other, known, MEMORY, 0.0) == (other, MEMORY)


@pytest.mark.parametrize("known", [None, attrs.evolve(FACTS, instance_id="i-00000000")])
def test_the_first_answer_since_power_on_is_believed(known: Facts | None) -> None:
    """There is nothing to compare it with; nor with what another instance had."""
    less = attrs.evolve(FACTS, vpc_cidrs_v4=())
    assert steady(less, known, MEMORY, 0.0)[0] == less
    assert steady(less, FACTS, Memory(), 0.0) == (less, Memory(instance=FACTS.instance_id))


@pytest.mark.parametrize("credentials", [None, Credentials("me", "secret")])
def test_another_proxy_is_another_wish_of_every_file(credentials: Credentials | None) -> None:
    """Of yum.conf too, which is not made where there is none."""

    def desired(port: int) -> dict[str, str]:
        url = ProxyUrl("http", "proxy.corp", port)
        intent = Intent(url, url, (), credentials)
        return {file.path: desired_digest(file) for file in desired_files(Settings(), intent)}

    one, other = desired(1), desired(2)
    for path in (NODE_ENV, ENVIRONMENT, YUM_CONF):
        assert one[path] != other[path]
    assert one == desired(1)


ANCHOR = "/etc/pki/ca-trust/source/anchors/eks-proxy-agent.pem"


def test_a_new_ca_makes_older_processes_stale_and_a_repaired_one_does_not() -> None:
    """Programs read the trust store when they start; a certificate that was only missing for a
    while they have read.
    """
    plan = Plan((Change(ANCHOR, None, b"pem", effect=Effect.TRUST_STORE),), trust=True)
    assert Memory().after(plan, {ANCHOR: "one"}, 7.0).ca_changed_at == 7.0
    assert Memory().asked(plan, {ANCHOR: "one"}, 7.0).ca_changed_at == 7.0
    assert Memory().prepared(plan, {ANCHOR: "one"}, 7.0) == Memory(ca_changed_at=7.0)
    assert Memory(desired={ANCHOR: "one"}).after(plan, {ANCHOR: "two"}, 8.0).ca_changed_at == 8.0
    assert Memory(desired={ANCHOR: "one"}, ca_changed_at=7.0).after(plan, {ANCHOR: "one"}, 9.0).ca_changed_at == 7.0


def test_a_wish_is_what_is_wanted_of_a_file_whatever_stands_in_it() -> None:
    """It depends on content and mode, and is there for a file that cannot be wanted, too."""

    class Refused(WholeFile):
        def merge(self, current: bytes | None) -> bytes | None:
            raise FileError("odd")

    assert desired_digest(WholeFile(PATH, b"a")) != desired_digest(WholeFile(PATH, b"b"))
    assert desired_digest(WholeFile(PATH, b"a")) != desired_digest(WholeFile(PATH, b"a", mode=0o600))
    assert desired_digest(Refused(PATH, None)) == ""


# --- what revert brings back after drift
# ------------------------------------------------------------------------------

VARIABLES = (("http_proxy", "http://p:1"),)
TARGET = EnvironmentFile(VARIABLES)


def after_drift(content: bytes) -> Plan:
    """The repair of /etc/environment that held LANG=C before us and that somebody changed to
    `content`.
    """
    first = make_plan((TARGET,), {PATH: FileState(b"LANG=C\n")}, Baseline())
    return make_plan((TARGET,), {PATH: FileState(content)}, first.baseline)


@pytest.mark.parametrize(
    ("content", "before"),
    [
        (b"LANG=C\nhttp_proxy=http://evil:1\n", b"LANG=C\n"),
        (b"http_proxy=http://evil:1\n", b""),
        (b"LANG=C\nEDITOR=vi\nhttps_proxy=x\n", b"LANG=C\nEDITOR=vi\n"),
        (b"LANG=C\n", b"LANG=C\n"),
    ],
)
def test_the_baseline_takes_other_people_s_lines_and_never_their_proxy(content: bytes, before: bytes) -> None:
    """After a repair `revert` gives what there would be without us: their other edits, not what
    they did to our lines.
    """
    plan = after_drift(content)
    (change,) = plan.changes
    assert plan.baseline.files[PATH].before == before
    assert change.after is not None
    (undo,) = make_revert({PATH: FileState(change.after)}, plan.baseline).changes
    assert undo.after == before


def test_a_file_that_is_left_alone_stays_and_stays_remembered() -> None:
    """It is no change, and not taken back either."""
    first = make_plan((TARGET,), {PATH: FileState(b"LANG=C\n")}, Baseline())
    plan = make_plan((TARGET,), {PATH: FileState(b"theirs\n")}, first.baseline, leave={PATH})
    assert plan.empty
    assert plan.baseline == first.baseline
    assert digest(b"LANG=C\n" + render(VARIABLES)) in plan.baseline.files[PATH].written
